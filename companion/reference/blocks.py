"""Residual blocks: each is a choice of branch, shortcut, merge and activation."""

from __future__ import annotations

from companion import _checks
from companion.reference.layers import BatchNorm2d, Conv2d, ReLU, Sequential
from companion.reference.residual import Residual
from companion.reference.residual import shortcut as make_shortcut


class BasicBlock(Residual):
    """Two convolutions and a shortcut around both (He et al. 2015, figure 5 left).

    Arguments, defaults and errors are those of :class:`companion.torch.BasicBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        kernel_size: int = 3,
        shortcut: str = "B",
        residual: bool = True,
    ) -> None:
        branch = Sequential(
            conv1=Conv2d(in_channels, out_channels, kernel_size, stride),
            norm1=BatchNorm2d(out_channels),
            relu1=ReLU(),
            conv2=Conv2d(out_channels, out_channels, kernel_size),
            norm2=BatchNorm2d(out_channels),
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride)
        residual = _checks.boolean("residual", residual)
        super().__init__(branch, carry if residual else None, activation=ReLU())


class BottleneckBlock(Residual):
    """1x1 to a quarter of the channels, 3x3, 1x1 back (He et al. 2015, figure 5 right).

    Arguments, defaults and errors are those of :class:`companion.torch.BottleneckBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "B",
        residual: bool = True,
    ) -> None:
        width = _checks.multiple_of("out_channels", out_channels, 4) // 4
        branch = Sequential(
            conv1=Conv2d(in_channels, width, kernel_size=1),
            norm1=BatchNorm2d(width),
            relu1=ReLU(),
            conv2=Conv2d(width, width, kernel_size=3, stride=stride),
            norm2=BatchNorm2d(width),
            relu2=ReLU(),
            conv3=Conv2d(width, out_channels, kernel_size=1),
            norm3=BatchNorm2d(out_channels),
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride)
        residual = _checks.boolean("residual", residual)
        super().__init__(branch, carry if residual else None, activation=ReLU())


class PreActivationBlock(Residual):
    """BN, ReLU, conv, twice; nothing after the sum (He et al. 2016, arXiv 1603.05027, fig. 4e).

    Arguments, defaults and errors are those of :class:`companion.torch.PreActivationBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: str = "A",
        residual: bool = True,
    ) -> None:
        branch = Sequential(
            norm1=BatchNorm2d(in_channels),
            relu1=ReLU(),
            conv1=Conv2d(in_channels, out_channels, kernel_size=3, stride=stride),
            norm2=BatchNorm2d(out_channels),
            relu2=ReLU(),
            conv2=Conv2d(out_channels, out_channels, kernel_size=3),
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        residual = _checks.boolean("residual", residual)
        super().__init__(branch, carry if residual else None)


class PreActivationBottleneckBlock(Residual):
    """The bottleneck with BN and ReLU before each convolution (arXiv 1603.05027, section 4).

    Arguments, defaults and errors are those of
    :class:`companion.torch.PreActivationBottleneckBlock`.
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
        branch = Sequential(
            norm1=BatchNorm2d(in_channels),
            relu1=ReLU(),
            conv1=Conv2d(in_channels, width, kernel_size=1),
            norm2=BatchNorm2d(width),
            relu2=ReLU(),
            conv2=Conv2d(width, width, kernel_size=3, stride=stride),
            norm3=BatchNorm2d(width),
            relu3=ReLU(),
            conv3=Conv2d(width, out_channels, kernel_size=1),
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        residual = _checks.boolean("residual", residual)
        super().__init__(branch, carry if residual else None)
