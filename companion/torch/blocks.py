"""Residual blocks: each is a choice of branch, shortcut, merge and activation.

A network makes its blocks by ``Block(in_channels, out_channels, stride, shortcut, residual)`` and
asks the class two questions, whose answers are False and True where the class has none:

final_norm: whether norm and ReLU come first in a block (pre-activation). The network then ends its
    stages with a norm and a ReLU, and has none in its stem.
normalized: whether the block brings norms. If not, the network has none and starts by Fixup.
"""

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


class BasicBlock(Residual):
    """Two convolutions and a shortcut around both (He et al. 2015, figure 5 left).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).

    Parameters
    ----------
    in_channels, out_channels: of the block.
    stride: of the first convolution and of the shortcut, default 1.
    shortcut: option ``"A"``, ``"B"`` (default) or ``"C"``, or a callable, see :func:`shortcut`.
    residual: ``False`` gives the plain control, the same branch without a shortcut.
    kernel_size: odd, of both convolutions, default 3.
    merge: makes the merge from its channels, as :class:`Highway` does; ``None`` is addition.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        kernel_size: int = 3,
        merge: Callable[[int], nn.Module] | None = None,
    ) -> None:
        branch = nn.Sequential(
            OrderedDict(
                conv1=Conv2d(in_channels, out_channels, kernel_size, stride),
                norm1=BatchNorm2d(out_channels),
                relu1=nn.ReLU(),
                conv2=Conv2d(out_channels, out_channels, kernel_size),
                norm2=BatchNorm2d(out_channels),
            )
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride)
        residual = _checks.boolean("residual", residual)
        joined = make_merge(merge, out_channels)
        super().__init__(branch, carry if residual else None, joined, activation=nn.ReLU())


class BottleneckBlock(Residual):
    """1x1 to fewer channels, 3x3, 1x1 to ``out_channels`` (He et al. 2015, figure 5 right).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). A variant is
    a subclass that sets other class attributes:

    reduction: out_channels over the channels of the 3x3, 4 in the paper.
    groups: of the 3x3 convolution, 1 in the paper.
    strided: which convolution takes the stride: ``"conv2"``, the 3x3, as in torchvision ("v1.5").

    Parameters
    ----------
    in_channels, out_channels: of the block; ``reduction`` must divide ``out_channels``.
    stride: of one convolution and of the shortcut, default 1.
    shortcut, residual, merge: see :class:`BasicBlock`.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    reduction = 4
    groups = 1
    strided = "conv2"

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        merge: Callable[[int], nn.Module] | None = None,
    ) -> None:
        width = _checks.multiple_of("out_channels", out_channels, self.reduction) // self.reduction
        first, second = (stride, 1) if self.strided == "conv1" else (1, stride)
        branch = nn.Sequential(
            OrderedDict(
                conv1=Conv2d(in_channels, width, kernel_size=1, stride=first),
                norm1=BatchNorm2d(width),
                relu1=nn.ReLU(),
                conv2=Conv2d(width, width, kernel_size=3, stride=second, groups=self.groups),
                norm2=BatchNorm2d(width),
                relu2=nn.ReLU(),
                conv3=Conv2d(width, out_channels, kernel_size=1),
                norm3=BatchNorm2d(out_channels),
            )
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride)
        residual = _checks.boolean("residual", residual)
        joined = make_merge(merge, out_channels)
        super().__init__(branch, carry if residual else None, joined, activation=nn.ReLU())


class BottleneckBlockV1(BottleneckBlock):
    """The bottleneck of the paper and of Keras: the stride on the first 1x1 convolution."""

    strided = "conv1"


class WideBottleneckBlock(BottleneckBlock):
    """Twice the channels in the 3x3 (Zagoruyko and Komodakis 2016, arXiv 1605.07146)."""

    reduction = 2


class ResNeXtBlock(BottleneckBlock):
    """Thirty-two paths summed: a grouped 3x3 (Xie et al. 2017, arXiv 1611.05431, figure 3c)."""

    reduction = 2
    groups = 32


def residual_block(
    x: int, filters: int, kernel_size: int = 3, strides: int = 1, residual: bool = True
) -> BasicBlock:
    """Return a basic block, with the source article's signature.

    Parameters
    ----------
    x: channels that come in. (Keras takes the symbolic tensor here.)
    filters: channels that go out.
    kernel_size: odd, default 3.
    strides: of the block, default 1; an int or a pair of equal ints.
    residual: ``False`` gives the plain control.

    Raises
    ------
    ValueError: any argument out of its range.
    """
    in_channels = _checks.positive_int("x", x)
    filters = _checks.positive_int("filters", filters)
    strides = _checks.square_stride("strides", strides)
    return BasicBlock(in_channels, filters, strides, residual=residual, kernel_size=kernel_size)
