"""Fixup: a residual block without norms."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor as Tensor

from companion import _checks
from companion.tensorflow._layer import PassesMask
from companion.tensorflow._saving import Sequential
from companion.tensorflow.blocks import Block
from companion.tensorflow.layers import Conv2d
from companion.tensorflow.merges import make_merge
from companion.tensorflow.shortcuts import Shortcut
from companion.tensorflow.shortcuts import shortcut as make_shortcut


@keras.saving.register_keras_serializable("companion")
class ScalarBias(PassesMask):
    """x plus one learned number, from 0 (Fixup, arXiv 1901.09321, section 3, rule 3)."""

    own_parameters = ("bias",)
    known_shape = ()  # its weights depend on no shape

    def build(self, shape: Any = None) -> None:
        self.bias = self.add_weight(shape=(1,), initializer="zeros", name="bias")

    def call(self, x: Tensor) -> Tensor:
        return x + self.bias


@keras.saving.register_keras_serializable("companion")
class ScalarScale(PassesMask):
    """x times one learned number, from 1 (Fixup, arXiv 1901.09321, section 3, rule 3)."""

    own_parameters = ("scale",)
    known_shape = ()

    def build(self, shape: Any = None) -> None:
        self.scale = self.add_weight(shape=(1,), initializer="ones", name="scale")

    def call(self, x: Tensor) -> Tensor:
        return self.scale * x


@keras.saving.register_keras_serializable("companion")
class FixupBlock(Block):
    """A basic block without norms: scalar biases, one scalar multiplier (arXiv 1901.09321, fig. 1).

    (N, H, W, in_channels) to (N, ceil(H / stride), ceil(W / stride), out_channels). It is Fixup
    only after ``weights.initialize(model, seed, "fixup")``, which :func:`fixup_resnet` calls.
    Arguments and errors are those of :class:`PreActivationBlock`.
    """

    normalized = False

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        merge: Callable[[int], keras.layers.Layer] | None = None,
        **keras_options: Any,
    ) -> None:
        branch = [
            ScalarBias(name="bias1"),
            Conv2d(in_channels, out_channels, kernel_size=3, stride=stride, name="conv1"),
            ScalarBias(name="bias2"),
            keras.layers.ReLU(name="relu1"),
            ScalarBias(name="bias3"),
            Conv2d(out_channels, out_channels, kernel_size=3, name="conv2"),
            ScalarScale(name="scale"),
        ]
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        residual = _checks.boolean("residual", residual)
        joined = make_merge(merge, out_channels)
        bias, relu = ScalarBias(name="bias"), keras.layers.ReLU(name="relu")
        after = Sequential([bias, relu], name="activation")
        super().__init__(branch, carry if residual else None, joined, after, **keras_options)
