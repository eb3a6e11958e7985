"""Pre-activation blocks: norm and ReLU before each convolution."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

from torch import nn

from companion import _checks
from companion.torch.layers import BatchNorm2d, Conv2d
from companion.torch.merges import make_merge
from companion.torch.residual import Residual
from companion.torch.shortcuts import Shortcut, is_projection
from companion.torch.shortcuts import shortcut as make_shortcut

Layers = OrderedDict[str, nn.Module]


class PreActivatedResidual(Residual):
    """A residual connection whose first norm and ReLU stand where the shortcut needs them.

    The identity and option A carry the raw stream, so that the two belong to the branch. A
    projection reads what they make of it: they are then the ``preactivation`` that it shares with
    the branch (He et al. 2016, arXiv 1603.05027, in the authors' code; so do WRN's and timm's).

    Parameters
    ----------
    first: the first norm and ReLU, by name. rest: what follows them in the branch.
    carry: the shortcut. residual: ``False`` leaves it out, and nothing else.
    merge: ``None`` is addition.
    """

    def __init__(
        self,
        first: Layers,
        rest: Layers,
        carry: nn.Module,
        residual: bool,
        merge: nn.Module | None = None,
    ) -> None:
        shared = is_projection(carry)
        super().__init__(
            nn.Sequential(rest if shared else first | rest),
            carry if _checks.boolean("residual", residual) else None,
            merge,
            preactivation=nn.Sequential(first) if shared else None,
        )


class PreActivationBlock(PreActivatedResidual):
    """BN, ReLU, conv, twice; nothing after the sum (He et al. 2016, arXiv 1603.05027, fig. 4e).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). With the
    identity as its shortcut the stream is carried from block to block untouched. A projection,
    which has no norm of its own, reads the stream after the first BN and ReLU.

    Parameters
    ----------
    in_channels, out_channels: of the block.
    stride: of the first convolution and of the shortcut, default 1.
    shortcut: option ``"A"``, ``"B"`` (default) or ``"C"``, or a callable, see :func:`shortcut`.
    residual: ``False`` gives the plain control, the same branch without a shortcut.
    merge: makes the merge from its channels, as :class:`Highway` does; ``None`` is addition.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    final_norm = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        merge: Callable[[int], nn.Module] | None = None,
    ) -> None:
        first = Layers(norm1=BatchNorm2d(in_channels), relu1=nn.ReLU())
        rest = Layers(
            conv1=Conv2d(in_channels, out_channels, kernel_size=3, stride=stride),
            norm2=BatchNorm2d(out_channels),
            relu2=nn.ReLU(),
            conv2=Conv2d(out_channels, out_channels, kernel_size=3),
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        super().__init__(first, rest, carry, residual, make_merge(merge, out_channels))


class PreActivationBottleneckBlock(PreActivatedResidual):
    """The bottleneck with BN and ReLU before each convolution (arXiv 1603.05027, section 4).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). Arguments and
    errors are those of :class:`PreActivationBlock`; four must divide ``out_channels``.
    """

    final_norm = True

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int = 1,
        shortcut: Shortcut = "B",
        residual: bool = True,
        merge: Callable[[int], nn.Module] | None = None,
    ) -> None:
        width = _checks.multiple_of("out_channels", out_channels, 4) // 4
        first = Layers(norm1=BatchNorm2d(in_channels), relu1=nn.ReLU())
        rest = Layers(
            conv1=Conv2d(in_channels, width, kernel_size=1),
            norm2=BatchNorm2d(width),
            relu2=nn.ReLU(),
            conv2=Conv2d(width, width, kernel_size=3, stride=stride),
            norm3=BatchNorm2d(width),
            relu3=nn.ReLU(),
            conv3=Conv2d(width, out_channels, kernel_size=1),
        )
        carry = make_shortcut(shortcut, in_channels, out_channels, stride, norm=False)
        super().__init__(first, rest, carry, residual, make_merge(merge, out_channels))
