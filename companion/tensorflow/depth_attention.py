"""Attention over depth: each block reads all earlier outputs."""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow.hyper_connections import _Wrapped, rms_norm


@keras.saving.register_keras_serializable("companion")
class DepthPooling(keras.layers.Layer):
    """softmax over depth of w . norm(v_i), times v_i (arXiv 2603.15031): (N, T, L, C) to (N, T, C).

    w starts at zero: the mean of all earlier outputs, which is the plain residual stream divided
    by its number of terms.
    """

    own_parameters = ("query",)

    def __init__(self, channels: int, **keras_options: Any) -> None:
        self.channels = _checks.positive_int("channels", channels)
        super().__init__(**keras_options)
        self.query = self.add_weight(shape=(channels,), initializer="zeros", name="query")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        weights = ops.softmax(ops.matmul(rms_norm(x), self.query), axis=2)  # (N, T, L)
        return ops.sum(ops.expand_dims(weights, 3) * x, axis=2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channels": self.channels}


@keras.saving.register_keras_serializable("companion")
class Append(keras.layers.Layer):
    """Shortcut (N, T, L, C) and branch (N, T, C) to (N, T, L + 1, C): every output is kept."""

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        branch = ops.expand_dims(branch, 2)
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape, except_axis=2)
        return ops.concatenate([shortcut, branch], axis=2)


@keras.saving.register_keras_serializable("companion")
class DepthAttentionBlock(_Wrapped):
    """The branch reads all earlier outputs by attention; its own is appended (arXiv 2603.15031).

    (N, T, L, channels) to (N, T, L + 1, channels); :class:`ExpandStreams` of one stream before the first,
    :class:`DepthPooling` after the last.

    Parameters
    ----------
    branch: maps (N, T, channels) to the same shape.
    channels: of the stream.
    """

    def __init__(self, branch: keras.layers.Layer, channels: int, **keras_options: Any) -> None:
        branch.name = "inner"
        reading = [DepthPooling(channels, name="attend"), branch]
        super().__init__(keras.Sequential(reading), merge=Append(), **keras_options)
        self.wrapped = branch
        self.settings = {"channels": channels}
