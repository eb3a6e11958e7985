"""Merges: how shortcut and branch become one stream again."""

from __future__ import annotations

import keras
from keras import KerasTensor as Tensor

from companion import _checks


@keras.saving.register_keras_serializable("companion")
class Add(keras.layers.Layer):
    """shortcut + branch (He et al. 2015, eq. 1), never broadcast.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        _checks.same_shape(shortcut.shape, branch.shape)
        return shortcut + branch
