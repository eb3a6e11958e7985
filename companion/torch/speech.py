"""A residual network of dilated convolutions for recorded speech."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from companion import _checks
from companion.torch.layers import Dense, skip_init
from companion.torch.residual import Residual
from companion.torch.resnet import build_sequential
from companion.torch.sequence_layers import (
    BatchNorm1d,
    Conv1d,
    GlobalAveragePool1d,
)


class TemporalBlock(Residual):
    """Two dilated convolutions over time and a shortcut around both: (N, T, channels) to the same.

    Parameters
    ----------
    channels: of the stream. dilation: of both convolutions, default 1.
    residual: ``False`` gives the plain control, the same branch without a shortcut.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(self, channels: int, dilation: int = 1, residual: bool = True) -> None:
        branch = nn.Sequential(
            OrderedDict(
                conv1=Conv1d(channels, channels, dilation=dilation),
                norm1=BatchNorm1d(channels),
                relu1=nn.ReLU(),
                conv2=Conv1d(channels, channels, dilation=dilation),
                norm2=BatchNorm1d(channels),
            )
        )
        shortcut: Any = "identity" if _checks.boolean("residual", residual) else None
        super().__init__(branch, shortcut, activation=nn.ReLU())


@skip_init()
def speech_resnet(
    depth: int = 13,
    in_channels: int = 12,
    num_classes: int = 9,
    channels: int = 32,
    residual: bool = True,
    seed: int | None = None,
) -> nn.Sequential:
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
    stack = [TemporalBlock(channels, 2 ** (i % 3), residual) for i in range(blocks)]
    return build_sequential(
        OrderedDict(
            stem=Conv1d(in_channels, channels),
            norm=BatchNorm1d(channels),
            relu=nn.ReLU(),
            blocks=nn.Sequential(*stack),
            pool=GlobalAveragePool1d(),
            dense=Dense(channels, num_classes),
        ),
        seed,
    )
