"""Merges: how shortcut and branch become one stream again, and how the gradient parts there.

``backward`` returns two gradients, the shortcut's and the branch's. A merge that tells channels
apart is told their axis: 1 by default, as in images (N, C, H, W); -1 for tokens (N, T, C).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from companion import _checks
from companion.reference.layers import Array, Layer


class Merge(Layer):
    """What joins two streams: ``merge.forward(shortcut, branch)``."""

    def forward(self, shortcut: Array, branch: Array, training: bool = True) -> Array:  # type: ignore[override]
        raise NotImplementedError

    def backward(self, dy: Array) -> tuple[Array, Array]:  # type: ignore[override]
        raise NotImplementedError


class Add(Merge):
    """shortcut + branch, never broadcast; its gradient goes to both, unchanged.

    Raises
    ------
    ValueError: the two shapes differ.
    """

    def forward(self, shortcut: Array, branch: Array, training: bool = True) -> Array:  # type: ignore[override]
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut + branch

    def backward(self, dy: Array) -> tuple[Array, Array]:  # type: ignore[override]
        return dy, dy


class Subtract(Merge):
    """shortcut - branch (DnCNN, arXiv 1608.03981, section III)."""

    def forward(self, shortcut: Array, branch: Array, training: bool = True) -> Array:  # type: ignore[override]
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        return shortcut - branch

    def backward(self, dy: Array) -> tuple[Array, Array]:  # type: ignore[override]
        return dy, -dy


class ScaledAdd(Merge):
    """shortcut + a * branch, one learned a (arXiv 2003.04887, eq. 1): da = sum of dy * branch."""

    own_parameters = ("scale",)

    def __init__(self, initial: float = 0.0) -> None:
        super().__init__()
        self.params["scale"] = np.full(1, _checks.finite_number("initial", initial))

    def forward(self, shortcut: Array, branch: Array, training: bool = True) -> Array:  # type: ignore[override]
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        self.branch = branch
        return shortcut + self.params["scale"] * branch

    def backward(self, dy: Array) -> tuple[Array, Array]:  # type: ignore[override]
        self.grads["scale"] = np.reshape((dy * self.branch).sum(), 1)
        return dy, self.params["scale"] * dy


class LayerScale(Merge):
    """shortcut + diag(a) branch, a learned per channel, along ``axis`` (arXiv 2103.17239)."""

    own_parameters = ("scale",)

    def __init__(self, channels: int, initial: float = 1e-4, axis: int = 1) -> None:
        super().__init__()
        channels = _checks.positive_int("channels", channels)
        self.axis = _checks.axis(axis)
        self.params["scale"] = np.full(channels, _checks.finite_number("initial", initial))

    def forward(self, shortcut: Array, branch: Array, training: bool = True) -> Array:  # type: ignore[override]
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        _checks.channels_on_axis("branch", branch.shape, self.axis, len(self.params["scale"]))
        self.branch = np.moveaxis(branch, self.axis, -1)
        return shortcut + self._scaled(branch)

    def backward(self, dy: Array) -> tuple[Array, Array]:  # type: ignore[override]
        product = np.moveaxis(dy, self.axis, -1) * self.branch
        self.grads["scale"] = product.reshape(-1, product.shape[-1]).sum(0)
        return dy, self._scaled(dy)

    def _scaled(self, x: Array) -> Array:
        return np.moveaxis(np.moveaxis(x, self.axis, -1) * self.params["scale"], -1, self.axis)


class Highway(Merge):
    """(1 - T) shortcut + T branch, T = sigmoid(shortcut W + b) (arXiv 1505.00387, eq. 3)."""

    own_parameters = ("weight", "bias")

    def __init__(self, channels: int, bias: float = -2.0, axis: int = 1) -> None:
        super().__init__()
        channels = _checks.positive_int("channels", channels)
        self.axis = _checks.axis(axis)
        self.params["weight"] = np.zeros((channels, channels))  # (in, out)
        self.params["bias"] = np.full(channels, _checks.finite_number("bias", bias))

    def forward(self, shortcut: Array, branch: Array, training: bool = True) -> Array:  # type: ignore[override]
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        _checks.channels_on_axis("branch", branch.shape, self.axis, len(self.params["bias"]))
        x, f = (np.moveaxis(a, self.axis, -1) for a in (shortcut, branch))
        gate = 1 / (1 + np.exp(-(x @ self.params["weight"] + self.params["bias"])))
        self.x, self.f, self.gate = x, f, gate
        return np.moveaxis((1 - gate) * x + gate * f, -1, self.axis)

    def backward(self, dy: Array) -> tuple[Array, Array]:  # type: ignore[override]
        dy = np.moveaxis(dy, self.axis, -1)
        dz = dy * (self.f - self.x) * self.gate * (1 - self.gate)  # through the sigmoid
        flat = dz.reshape(-1, dz.shape[-1])
        self.grads["weight"] = self.x.reshape(flat.shape).T @ flat
        self.grads["bias"] = flat.sum(0)
        dx = dy * (1 - self.gate) + dz @ self.params["weight"].T
        return np.moveaxis(dx, -1, self.axis), np.moveaxis(dy * self.gate, -1, self.axis)


class StochasticDepth(Merge):
    """shortcut + b * branch, b 0 or 1 at random for each example (arXiv 1603.09382, eq. 2, 5).

    In inference b is the probability of survival.
    """

    def __init__(self, survival: float, rng: np.random.Generator | None = None) -> None:
        super().__init__()
        self.survival = _checks.probability("survival", survival)
        self.rng = rng or np.random.default_rng()

    def forward(self, shortcut: Array, branch: Array, training: bool = True) -> Array:  # type: ignore[override]
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape)
        each = (len(branch),) + (1,) * (branch.ndim - 1)
        drawn = (self.rng.random(each) < self.survival).astype(branch.dtype)
        self.kept = drawn if training else np.full(each, self.survival, branch.dtype)
        return shortcut + self.kept * branch

    def backward(self, dy: Array) -> tuple[Array, Array]:  # type: ignore[override]
        return dy, self.kept * dy


class Concatenate(Merge):
    """Shortcut and branch side by side along the channels, ``axis`` (arXiv 1608.06993)."""

    def __init__(self, axis: int = 1) -> None:
        super().__init__()
        self.axis = _checks.axis(axis)

    def forward(self, shortcut: Array, branch: Array, training: bool = True) -> Array:  # type: ignore[override]
        _checks.equal_shapes(
            "shortcut and branch", shortcut.shape, branch.shape, except_axis=self.axis
        )
        self.channels = shortcut.shape[self.axis]
        return np.concatenate([shortcut, branch], self.axis)

    def backward(self, dy: Array) -> tuple[Array, Array]:  # type: ignore[override]
        first, second = np.split(dy, [self.channels], self.axis)
        return first, second


def make_merge(merge: Callable[[int], Merge] | None, channels: int) -> Merge | None:
    """Return ``merge(channels)``; ``None`` stays ``None``, which is addition.

    Raises
    ------
    ValueError: a merge that is neither ``None`` nor callable, or that returns no merge.
    """
    if merge is None:
        return None
    made = merge(channels) if callable(merge) else merge
    if not callable(merge) or not isinstance(made, Merge):
        raise ValueError(f"merge must be None or make a merge from channels, got {merge!r}")
    return made
