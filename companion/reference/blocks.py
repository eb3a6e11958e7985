"""Residual blocks: each is a choice of branch, shortcut, merge, activation and preactivation."""

from __future__ import annotations

from collections.abc import Callable

from companion import _checks
from companion.reference.layers import BatchNorm2d, Conv2d, Layer, ReLU, Sequential
from companion.reference.merges import Merge, make_merge
from companion.reference.residual import Residual, Shortcut, is_projection
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
        shortcut: Shortcut = "B",
        residual: bool = True,
        kernel_size: int = 3,
        merge: Callable[[int], Merge] | None = None,
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
        joined = make_merge(merge, out_channels)
        super().__init__(branch, carry if residual else None, joined, activation=ReLU())


class BottleneckBlock(Residual):
    """1x1 to a quarter of the channels, 3x3, 1x1 back (He et al. 2015, figure 5 right).

    Arguments, defaults and errors are those of :class:`companion.torch.BottleneckBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        merge: Callable[[int], Merge] | None = None,
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
        joined = make_merge(merge, out_channels)
        super().__init__(branch, carry if residual else None, joined, activation=ReLU())


class PreActivatedResidual(Residual):
    """A residual connection whose first norm and ReLU stand where the shortcut needs them.

    In the branch, where the raw stream is carried (identity, option A); before the split, where a
    projection reads them too. Arguments are those of the PyTorch twin.
    """

    def __init__(
        self,
        first: dict[str, Layer],
        rest: dict[str, Layer],
        carry: Layer,
        residual: bool,
        merge: Merge | None = None,
    ) -> None:
        shared = is_projection(carry)
        super().__init__(
            Sequential(**(rest if shared else first | rest)),
            carry if _checks.boolean("residual", residual) else None,
            merge,
            preactivation=Sequential(**first) if shared else None,
        )


class PreActivationBlock(PreActivatedResidual):
    """BN, ReLU, conv, twice; nothing after the sum (He et al. 2016, arXiv 1603.05027, fig. 4e).

    Arguments, defaults and errors are those of :class:`companion.torch.PreActivationBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        merge: Callable[[int], Merge] | None = None,
    ) -> None:
        first = {"norm1": BatchNorm2d(in_channels), "relu1": ReLU()}
        rest = dict(
            conv1=Conv2d(in_channels, out_channels, kernel_size=3, stride=stride),
            norm2=BatchNorm2d(out_channels),
            relu2=ReLU(),
            conv2=Conv2d(out_channels, out_channels, kernel_size=3),
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        super().__init__(first, rest, carry, residual, make_merge(merge, out_channels))


class PreActivationBottleneckBlock(PreActivatedResidual):
    """The bottleneck with BN and ReLU before each convolution (arXiv 1603.05027, section 4).

    Arguments, defaults and errors are those of
    :class:`companion.torch.PreActivationBottleneckBlock`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        merge: Callable[[int], Merge] | None = None,
    ) -> None:
        width = _checks.multiple_of("out_channels", out_channels, 4) // 4
        first = {"norm1": BatchNorm2d(in_channels), "relu1": ReLU()}
        rest = dict(
            conv1=Conv2d(in_channels, width, kernel_size=1),
            norm2=BatchNorm2d(width),
            relu2=ReLU(),
            conv2=Conv2d(width, width, kernel_size=3, stride=stride),
            norm3=BatchNorm2d(width),
            relu3=ReLU(),
            conv3=Conv2d(width, out_channels, kernel_size=1),
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        super().__init__(first, rest, carry, residual, make_merge(merge, out_channels))
