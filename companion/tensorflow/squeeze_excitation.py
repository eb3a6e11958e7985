"""Squeeze-and-excitation: a gate per channel at the end of the branch."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow._layer import Layer, share_dtype
from companion.tensorflow.blocks import BottleneckBlock
from companion.tensorflow.layers import Dense
from companion.tensorflow.shortcuts import Shortcut


@keras.saving.register_keras_serializable("companion")
class SqueezeExcitation(Layer):
    """x * s, s = sigmoid(W2 relu(W1 mean(x))): a gate per channel, computed from all their means.

    Hu et al. 2018, arXiv 1709.01507, eq. 2 to 4. (N, H, W, C) to the same shape.

    Parameters
    ----------
    channels: of the input.
    reduction: channels over the hidden units, default 16; at least one unit is kept.

    Raises
    ------
    ValueError: an argument below 1.
    """

    def __init__(self, channels: int, reduction: int = 16, **keras_options: Any) -> None:
        self.channels = _checks.positive_int("channels", channels)
        self.reduction = _checks.positive_int("reduction", reduction)
        hidden = max(1, channels // reduction)
        super().__init__(**keras_options)
        own = {"dtype": self.dtype_policy}
        self.squeeze = Dense(channels, hidden, name="squeeze", **own)
        self.excite = Dense(hidden, channels, name="excite", **own)
        self.known_shape = (None, None, None, self.channels)

    def call(self, x: Tensor) -> Tensor:
        hidden = ops.relu(self.squeeze(ops.mean(x, axis=(1, 2))))
        gate = ops.cast(ops.sigmoid(self.excite(hidden)), x.dtype)
        return x * gate[:, None, None, :]


@keras.saving.register_keras_serializable("companion")
class SEBottleneckBlock(BottleneckBlock):
    """A bottleneck whose branch ends in :class:`SqueezeExcitation` (arXiv 1709.01507, fig. 3)."""

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
        options = {"merge": merge, **keras_options}
        super().__init__(in_channels, out_channels, stride, shortcut, residual, **options)
        squeeze = SqueezeExcitation(out_channels, name="squeeze", trainable=self.trainable)
        self.branch.add(squeeze)
        share_dtype(self, keras_options)
