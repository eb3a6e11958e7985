"""y = activation(merge(shortcut(x), branch(x))), and its derivative: the two gradients add."""

from __future__ import annotations

from typing import Literal

import numpy as np

from companion import _checks
from companion.reference.layers import Array, BatchNorm2d, Conv2d, Identity, Layer, Sequential
from companion.reference.merges import Add, Merge


class ZeroPad(Layer):
    """Option A: keep every ``stride``-th pixel, append zero channels. No parameters.

    Raises
    ------
    ValueError: fewer channels out than in, since zeros can only be added.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__()
        self.in_channels = _checks.positive_int("in_channels", in_channels)
        self.out_channels = _checks.positive_int("out_channels", out_channels, in_channels)
        self.stride = _checks.positive_int("stride", stride)

    def forward(self, x: Array, training: bool = True) -> Array:
        _checks.rank("x", x.shape, 4, "(N, C, H, W)")
        _checks.channels("x", x.shape[1], self.in_channels)
        self.shape = x.shape
        x = x[:, :, :: self.stride, :: self.stride]
        return np.pad(x, ((0, 0), (0, self.out_channels - self.in_channels), (0, 0), (0, 0)))

    def backward(self, dy: Array) -> Array:
        dx = np.zeros(self.shape, dy.dtype)
        dx[:, :, :: self.stride, :: self.stride] = dy[:, : self.in_channels]
        return dx


class Projection(Sequential):
    """Options B and C: a 1x1 convolution with the block's stride, batch-normalised."""

    def __init__(self, in_channels: int, out_channels: int, stride: int = 1) -> None:
        super().__init__(
            conv=Conv2d(in_channels, out_channels, kernel_size=1, stride=stride),
            norm=BatchNorm2d(out_channels),
        )


def shortcut(
    option: str, in_channels: int, out_channels: int, stride: int = 1, norm: bool = True
) -> Layer:
    """Return the shortcut that ``option`` "A", "B" or "C" prescribes for this change of shape.

    ``norm=False`` leaves the batch norm of a projection out, as pre-activation does.

    Raises
    ------
    ValueError: an unknown option, sizes below 1, or option A with fewer channels out than in.
    """
    _checks.option("shortcut", option, ("A", "B", "C"))
    _checks.positive_int("in_channels", in_channels)
    _checks.positive_int("out_channels", out_channels)
    _checks.positive_int("stride", stride)
    if option != "C" and in_channels == out_channels and stride == 1:
        return Identity()
    if option == "A":
        return ZeroPad(in_channels, out_channels, stride)
    if norm:
        return Projection(in_channels, out_channels, stride)
    return Conv2d(in_channels, out_channels, kernel_size=1, stride=stride)


class Residual(Layer):
    """y = activation(merge(shortcut(x), branch(x)))  (He et al. 2015, eq. 1 and 2).

    ``shortcut=None`` is the plain control: y = activation(branch(x)).
    """

    def __init__(
        self,
        branch: Layer,
        shortcut: Layer | Literal["identity"] | None = "identity",
        merge: Merge | None = None,
        activation: Layer | None = None,
    ) -> None:
        self.branch = branch
        self.shortcut = Identity() if isinstance(shortcut, str) else shortcut
        self.merge = Add() if merge is None else merge
        self.activation = Identity() if activation is None else activation
        parts = {
            "branch": branch,
            "shortcut": self.shortcut,
            "merge": self.merge,
            "activation": self.activation,
        }
        super().__init__(**{name: part for name, part in parts.items() if part is not None})

    def forward(self, x: Array, training: bool = True) -> Array:
        y = self.branch.forward(x, training)
        if self.shortcut is not None:
            y = self.merge.forward(self.shortcut.forward(x, training), y, training)
        return self.activation.forward(y, training)

    def backward(self, dy: Array) -> Array:
        dy = self.activation.backward(dy)
        if self.shortcut is None:
            return self.branch.backward(dy)
        dshortcut, dbranch = self.merge.backward(dy)
        return self.shortcut.backward(dshortcut) + self.branch.backward(dbranch)
