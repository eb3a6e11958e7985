"""Shortcuts: how the block's input reaches its merge (He et al. 2015, section 3.3 and 4.1).

Option A pads new channels with zeros, B projects where the shape changes, C projects everywhere.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import TypeAlias

import torch.nn.functional as F
from torch import Tensor, nn

from companion import _checks
from companion.torch._tracing import traced_as_leaf
from companion.torch.layers import BatchNorm2d, Conv2d

#: An option, or a callable that makes a shortcut from (in_channels, out_channels, stride).
Shortcut: TypeAlias = str | Callable[[int, int, int], nn.Module]


class Identity(nn.Identity):
    """The input itself: no parameters, no copy (He et al. 2015, eq. 1)."""

    def __init__(self) -> None:
        super().__init__()


class ZeroPad(nn.Module):
    """Option A: keep every ``stride``-th pixel, append zero channels. No parameters.

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).

    Raises
    ------
    ValueError: fewer channels out than in, since zeros can only be added.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.in_channels = _checks.positive_int("in_channels", in_channels)
        # Zeros can widen the stream but not narrow it.
        self.out_channels = _checks.positive_int("out_channels", out_channels, in_channels)
        self.stride = _checks.positive_int("stride", stride)

    def extra_repr(self) -> str:
        return f"{self.in_channels}, {self.out_channels}, stride={self.stride}"

    @traced_as_leaf
    def forward(self, x: Tensor) -> Tensor:
        _checks.rank("x", x.shape, 4, "(N, C, H, W)")
        _checks.channels("x", x.shape[1], self.in_channels)
        x = x[:, :, :: self.stride, :: self.stride]
        return F.pad(x, (0, 0, 0, 0, 0, self.out_channels - self.in_channels))


class Projection(nn.Sequential):
    """Options B and C: a 1x1 convolution with the block's stride, batch-normalised (eq. 2).

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)).
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            OrderedDict(
                conv=Conv2d(in_channels, out_channels, kernel_size=1, stride=stride),
                norm=BatchNorm2d(out_channels),
            )
        )


def shortcut(
    option: Shortcut, in_channels: int, out_channels: int, stride: int = 1, norm: bool = True
) -> nn.Module:
    """Return the shortcut that ``option`` prescribes for this change of shape.

    Parameters
    ----------
    option: ``"A"`` zero-padding, ``"B"`` projection where the shape changes, ``"C"`` projection
        everywhere. With A and B an unchanged shape gets the identity. Or a callable of one's own:
        its module for ``(in_channels, out_channels, stride)`` is returned.
    norm: whether a batch norm follows the projection, default True; pre-activation has none.

    Raises
    ------
    ValueError: an unknown option, sizes below 1, option A with fewer channels out than in, or a
        callable that returns no module.
    """
    check_shortcut(option)
    _checks.positive_int("in_channels", in_channels)
    _checks.positive_int("out_channels", out_channels)
    _checks.positive_int("stride", stride)
    if callable(option):
        made = option(in_channels, out_channels, stride)
        if not isinstance(made, nn.Module):
            raise ValueError(f"shortcut must make a module, got {made!r} from {option!r}")
        return made
    if option != "C" and in_channels == out_channels and stride == 1:
        return Identity()
    if option == "A":
        return ZeroPad(in_channels, out_channels, stride)
    if norm:
        return Projection(in_channels, out_channels, stride)
    return Conv2d(in_channels, out_channels, kernel_size=1, stride=stride)


def check_shortcut(option: Shortcut) -> None:
    """Raise a ValueError unless the option is ``"A"``, ``"B"``, ``"C"`` or a callable."""
    if not callable(option):
        _checks.option("shortcut", option, ("A", "B", "C"))


def is_projection(module: nn.Module) -> bool:
    """Whether a shortcut computes something: it is neither the identity nor option A."""
    return not isinstance(module, (nn.Identity, ZeroPad))
