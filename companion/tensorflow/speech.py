"""A residual network of dilated convolutions for recorded speech."""

from __future__ import annotations

from typing import Any

import keras

from companion import _checks
from companion.tensorflow._saving import Sequential
from companion.tensorflow.blocks import Block
from companion.tensorflow.layers import Dense
from companion.tensorflow.resnet import build_sequential
from companion.tensorflow.sequence_layers import (
    BatchNorm1d,
    Conv1d,
    GlobalAveragePool1d,
)


@keras.saving.register_keras_serializable("companion")
class TemporalBlock(Block):
    """Two dilated convolutions over time and a shortcut around both: (N, T, channels) to the same.

    Parameters
    ----------
    channels: of the stream. dilation: of both convolutions, default 1.
    residual: ``False`` gives the plain control, the same branch without a shortcut.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self, channels: int, dilation: int = 1, residual: bool = True, **keras_options: Any
    ) -> None:
        branch = [
            Conv1d(channels, channels, dilation=dilation, name="conv1"),
            BatchNorm1d(channels, name="norm1"),
            keras.layers.ReLU(name="relu1"),
            Conv1d(channels, channels, dilation=dilation, name="conv2"),
            BatchNorm1d(channels, name="norm2"),
        ]
        shortcut = "identity" if _checks.boolean("residual", residual) else None
        after = keras.layers.ReLU(name="activation")
        super().__init__(branch, shortcut, activation=after, **keras_options)
        self.known_shape = (None, None, channels)


def speech_resnet(
    depth: int = 13,
    in_channels: int = 12,
    num_classes: int = 9,
    channels: int = 32,
    residual: bool = True,
    seed: int | None = None,
) -> keras.Sequential:
    """Return residual convolutions over time: (N, T, in_channels) to logits (N, num_classes).

    Parameters
    ----------
    depth: 2n+1: a stem and n blocks of two layers, dilated by 1, 2, 4, 1, 2, 4, ...
    in_channels: features of one frame, default 12. num_classes: default 9.
    channels: of the stream, default 32.
    residual: ``False`` gives the plain control with the same weights.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: an even depth, or any argument out of its range.
    """
    seed = _checks.seed(seed)
    blocks = _checks.depth(depth, 2, 1)
    stack = [TemporalBlock(channels, 2 ** (i % 3), residual, name=str(i)) for i in range(blocks)]
    parts = [
        keras.Input((None, in_channels)),
        Conv1d(in_channels, channels, name="stem"),
        BatchNorm1d(channels, name="norm"),
        keras.layers.ReLU(name="relu"),
        Sequential(stack, name="blocks"),
        GlobalAveragePool1d(name="pool"),
        Dense(channels, num_classes, name="dense"),
    ]
    return build_sequential(parts, "speech_resnet", seed)
