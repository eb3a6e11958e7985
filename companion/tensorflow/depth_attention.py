"""Attention over depth: each block reads all earlier outputs.

The state is (N, T, L, C): the outputs of all L earlier blocks. A block reads one vector from them
for its branch and appends the branch's output:

    y = append(x, branch(read(x)))
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow._layer import PassesMask
from companion.tensorflow.hyper_connections import rms_norm
from companion.tensorflow.residual import Residual


@keras.saving.register_keras_serializable("companion")
class DepthPooling(PassesMask):
    """softmax over depth of w . norm(v_i), times v_i (arXiv 2603.15031): (N, T, L, C) to (N, T, C).

    w starts at zero: the mean of all earlier outputs, which is the plain residual stream divided
    by its number of terms.
    """

    own_parameters = ("query",)
    known_shape = ()  # its weights depend on no shape

    def __init__(self, channels: int, **keras_options: Any) -> None:
        self.channels = _checks.positive_int("channels", channels)
        super().__init__(**keras_options)

    def build(self, shape: Any = None) -> None:
        self.query = self.add_weight(shape=(self.channels,), initializer="zeros", name="query")

    def call(self, x: Tensor) -> Tensor:
        weights = ops.softmax(ops.matmul(rms_norm(x), self.query), axis=2)  # (N, T, L)
        return ops.sum(ops.expand_dims(weights, 3) * x, axis=2)


@keras.saving.register_keras_serializable("companion")
class Append(PassesMask):
    """Shortcut (N, T, L, C) and branch (N, T, C) to (N, T, L + 1, C): every output is kept.

    Raises
    ------
    ValueError: shapes that differ on another axis than that of depth.
    """

    def call(self, shortcut: Tensor, branch: Tensor) -> Tensor:
        branch = ops.expand_dims(branch, 2)
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape, except_axis=2)
        return ops.concatenate([shortcut, branch], axis=2)


@keras.saving.register_keras_serializable("companion")
class DepthAttentionBlock(Residual):
    """The branch reads all earlier outputs by attention; its own is appended (arXiv 2603.15031).

    (N, T, L, channels) to (N, T, L + 1, channels); :class:`ExpandStreams` of one stream before the
    first, :class:`DepthPooling` after the last.

    Parameters
    ----------
    branch: maps (N, T, channels) to the same shape; further inputs of a call go to it.
    channels: of the stream.

    Raises
    ------
    ValueError: fewer than one channel.
    """

    def __init__(self, branch: keras.layers.Layer, channels: int, **keras_options: Any) -> None:
        own = {"dtype": keras_options.get("dtype")}
        super().__init__(branch, merge=Append(name="merge", **own), **keras_options)
        self.read = DepthPooling(channels, name="read", **own)

    def join(self, x: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        return self.merge(self.shortcut(x), branch(self.read(x)))
