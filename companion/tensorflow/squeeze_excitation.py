"""Squeeze-and-excitation: a gate for each channel at the end of the branch."""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow.blocks import BottleneckBlock
from companion.tensorflow.layers import Dense


@keras.saving.register_keras_serializable("companion")
class SqueezeExcitation(keras.layers.Layer):
    """x * s, s = sigmoid(W2 relu(W1 mean(x))): each channel weighed by what all of them hold.

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
        self.squeeze = Dense(channels, hidden, name="squeeze")
        self.excite = Dense(hidden, channels, name="excite")
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        hidden = ops.relu(self.squeeze(ops.mean(x, axis=(1, 2))))
        return x * ops.sigmoid(self.excite(hidden))[:, None, None, :]

    def get_config(self) -> dict[str, Any]:
        sizes = {"channels": self.channels, "reduction": self.reduction}
        return {**super().get_config(), **sizes}


@keras.saving.register_keras_serializable("companion")
class SEBottleneckBlock(BottleneckBlock):
    """A bottleneck whose branch ends in :class:`SqueezeExcitation` (arXiv 1709.01507, fig. 3)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "B",
        residual: bool = True,
        **keras_options: Any,
    ) -> None:
        super().__init__(in_channels, out_channels, stride, shortcut, residual, **keras_options)
        self.branch.add(SqueezeExcitation(out_channels, name="squeeze"))
