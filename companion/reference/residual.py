"""y = activation(merge(shortcut(u), branch(u))), and its derivative: the two gradients add."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Literal, TypeAlias

import numpy as np

from companion import _checks
from companion.reference.layers import Array, BatchNorm2d, Conv2d, Identity, Layer, Sequential
from companion.reference.merges import Add, Merge

#: An option, or a callable that makes a shortcut from (in_channels, out_channels, stride).
Shortcut: TypeAlias = str | Callable[[int, int, int], Layer]


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
    option: Shortcut, in_channels: int, out_channels: int, stride: int = 1, norm: bool = True
) -> Layer:
    """Return the shortcut that ``option`` "A", "B" or "C" prescribes for this change of shape.

    ``norm=False`` leaves the batch norm of a projection out, as pre-activation does. A callable
    makes its own, from ``(in_channels, out_channels, stride)``.

    Raises
    ------
    ValueError: an unknown option, sizes below 1, option A with fewer channels out than in, or a
        callable that returns no layer.
    """
    if not callable(option):
        _checks.option("shortcut", option, ("A", "B", "C"))
    _checks.positive_int("in_channels", in_channels)
    _checks.positive_int("out_channels", out_channels)
    _checks.positive_int("stride", stride)
    if callable(option):
        made = option(in_channels, out_channels, stride)
        if not isinstance(made, Layer):
            raise ValueError(f"shortcut must make a layer, got {made!r} from {option!r}")
        return made
    if option != "C" and in_channels == out_channels and stride == 1:
        return Identity()
    if option == "A":
        return ZeroPad(in_channels, out_channels, stride)
    if norm:
        return Projection(in_channels, out_channels, stride)
    return Conv2d(in_channels, out_channels, kernel_size=1, stride=stride)


def is_projection(layer: Layer) -> bool:
    """Whether a shortcut computes something: it is neither the identity nor option A."""
    return not isinstance(layer, (Identity, ZeroPad))


class Residual(Layer):
    """y = activation(merge(shortcut(u), branch(u))) with u = preactivation(x).

    Arguments are those of :class:`companion.torch.Residual`. ``shortcut=None`` is the plain
    control: y = activation(branch(u)), without a merge. Further inputs go to the branch alone, and
    ``backward`` returns no gradient for them; of several outputs of the branch the first is merged.
    """

    def __init__(
        self,
        branch: Layer,
        shortcut: Layer | Literal["identity"] | None = "identity",
        merge: Merge | None = None,
        activation: Layer | None = None,
        preactivation: Layer | None = None,
    ) -> None:
        self.preactivation = Identity() if preactivation is None else preactivation
        self.branch = branch
        self.shortcut = Identity() if isinstance(shortcut, str) else shortcut
        self.merge = None if shortcut is None else Add() if merge is None else merge
        self.activation = Identity() if activation is None else activation
        parts = {
            "preactivation": self.preactivation,
            "branch": branch,
            "shortcut": self.shortcut,
            "merge": self.merge,
            "activation": self.activation,
        }
        super().__init__(**{name: part for name, part in parts.items() if part is not None})

    def forward(self, x: Array, training: bool = True, *args: Any, **kwargs: Any) -> Array:
        u = self.preactivation.forward(x, training)
        y = first_output(self.branch.forward(u, training, *args, **kwargs))
        if self.shortcut is not None and self.merge is not None:
            y = self.merge.forward(self.shortcut.forward(u, training), y, training)
        return self.activation.forward(y, training)

    def backward(self, dy: Array) -> Array:
        dy = self.activation.backward(dy)
        if self.shortcut is None or self.merge is None:
            return self.preactivation.backward(self.branch.backward(dy))
        dshortcut, dbranch = self.merge.backward(dy)
        du = self.shortcut.backward(dshortcut) + self.branch.backward(dbranch)
        return self.preactivation.backward(du)


def first_output(output: Any) -> Array:
    """Return what is merged: the branch's output, or the first of several."""
    return output[0] if isinstance(output, tuple) else output
