"""Squeeze-and-excitation: a gate per channel at the end of the branch."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from companion import _checks
from companion.torch.blocks import BottleneckBlock
from companion.torch.layers import Dense
from companion.torch.shortcuts import Shortcut


class SqueezeExcitation(nn.Module):
    """x * s, s = sigmoid(W2 relu(W1 mean(x))): a gate per channel, computed from all their means.

    Hu et al. 2018, arXiv 1709.01507, eq. 2 to 4. (N, C, H, W) to the same shape.

    Parameters
    ----------
    channels: of the input.
    reduction: channels over the hidden units, default 16; at least one unit is kept.

    Raises
    ------
    ValueError: an argument below 1.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        channels = _checks.positive_int("channels", channels)
        hidden = max(1, channels // _checks.positive_int("reduction", reduction))
        self.squeeze = Dense(channels, hidden)
        self.excite = Dense(hidden, channels)

    def forward(self, x: Tensor) -> Tensor:
        hidden = torch.relu(self.squeeze(x.mean(dim=(2, 3))))
        return x * torch.sigmoid(self.excite(hidden))[:, :, None, None]


class SEBottleneckBlock(BottleneckBlock):
    """A bottleneck whose branch ends in :class:`SqueezeExcitation` (arXiv 1709.01507, fig. 3)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        merge: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__(in_channels, out_channels, stride, shortcut, residual, merge)
        self.branch.add_module("squeeze", SqueezeExcitation(out_channels))
