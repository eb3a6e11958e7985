"""A basic block of depthwise separable convolutions."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

from companion import _checks
from companion.torch.layers import BatchNorm2d, Conv2d
from companion.torch.merges import make_merge
from companion.torch.residual import Residual
from companion.torch.shortcuts import Shortcut
from companion.torch.shortcuts import shortcut as make_shortcut


class SeparableBlock(Residual):
    """Two depthwise separable convolutions: each channel by itself, then 1x1 across them.

    Chollet 2017, arXiv 1610.02357. A 3x3 convolution of C to C channels has 9 C^2 weights, this
    one 9 C + C^2. (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    Arguments and errors are those of :class:`BottleneckBlock`; any ``out_channels`` will do.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        merge: Callable[[int], nn.Module] | None = None,
    ) -> None:
        branch = nn.Sequential(
            OrderedDict(
                depth1=Conv2d(in_channels, in_channels, 3, stride, groups=in_channels),
                point1=Conv2d(in_channels, out_channels, kernel_size=1),
                norm1=BatchNorm2d(out_channels),
                relu1=nn.ReLU(),
                depth2=Conv2d(out_channels, out_channels, 3, groups=out_channels),
                point2=Conv2d(out_channels, out_channels, kernel_size=1),
                norm2=BatchNorm2d(out_channels),
            )
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride)
        residual = _checks.boolean("residual", residual)
        joined = make_merge(merge, out_channels)
        super().__init__(branch, carry if residual else None, joined, activation=nn.ReLU())
