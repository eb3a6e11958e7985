"""Pre-activation blocks: norm and ReLU before each convolution."""

from __future__ import annotations

from collections import OrderedDict

from torch import nn

from companion import _checks
from companion.torch.layers import BatchNorm2d, Conv2d
from companion.torch.residual import Residual
from companion.torch.shortcuts import shortcut as make_shortcut


class PreActivationBlock(Residual):
    """BN, ReLU, conv, twice; nothing after the sum (He et al. 2016, arXiv 1603.05027, fig. 4e).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). With the
    identity as its shortcut the stream is carried from block to block untouched.
    A projection has no batch norm and reads the raw stream. (The authors' code gives it the first
    BN and ReLU of the branch; the number of parameters is the same.)

    Parameters
    ----------
    in_channels, out_channels: of the block.
    stride: of the first convolution and of the shortcut, default 1.
    shortcut: option ``"A"`` (default), ``"B"`` or ``"C"``, see :func:`shortcut`.
    residual: ``False`` gives the plain control, the same branch without a shortcut.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "A",
        residual: bool = True,
    ) -> None:
        branch = nn.Sequential(
            OrderedDict(
                norm1=BatchNorm2d(in_channels),
                relu1=nn.ReLU(),
                conv1=Conv2d(in_channels, out_channels, kernel_size=3, stride=stride),
                norm2=BatchNorm2d(out_channels),
                relu2=nn.ReLU(),
                conv2=Conv2d(out_channels, out_channels, kernel_size=3),
            )
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        residual = _checks.boolean("residual", residual)
        super().__init__(branch, carry if residual else None)


class PreActivationBottleneckBlock(Residual):
    """The bottleneck with BN and ReLU before each convolution (arXiv 1603.05027, section 4).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). Arguments and
    errors are those of :class:`PreActivationBlock`; four must divide ``out_channels``.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "A",
        residual: bool = True,
    ) -> None:
        width = _checks.multiple_of("out_channels", out_channels, 4) // 4
        branch = nn.Sequential(
            OrderedDict(
                norm1=BatchNorm2d(in_channels),
                relu1=nn.ReLU(),
                conv1=Conv2d(in_channels, width, kernel_size=1),
                norm2=BatchNorm2d(width),
                relu2=nn.ReLU(),
                conv2=Conv2d(width, width, kernel_size=3, stride=stride),
                norm3=BatchNorm2d(width),
                relu3=nn.ReLU(),
                conv3=Conv2d(width, out_channels, kernel_size=1),
            )
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        residual = _checks.boolean("residual", residual)
        super().__init__(branch, carry if residual else None)
