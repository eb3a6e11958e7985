"""Many streams instead of one, forward and backward: hyper-connections, free and on a manifold.

Axes: N batch, T time, n streams, C channels of a stream, k weights per stream. The state is
(N, T, n, C), as in :mod:`companion.torch.hyper_connections`, whose arguments these classes have:

    y = write(mix(x), branch(read(x)))
"""

from __future__ import annotations

from typing import Any

import numpy as np

from companion import _checks
from companion.reference.layers import Array, Layer
from companion.reference.residual import Residual, first_output


class StreamWeights(Layer):
    """static + scale * tanh(z W), z the norm of the streams (arXiv 2409.19606, eq. 10 to 13)."""

    own_parameters = ("static", "scale", "dynamic")

    def __init__(self, width: int, initial: Array) -> None:
        super().__init__()
        self.params = {"static": initial.astype(float), "scale": np.full(1, 0.01)}
        self.params["dynamic"] = np.zeros((width, initial.shape[1]))

    def forward(self, z: Array, training: bool = True) -> Array:
        self.z, self.tanh = z, np.tanh(z @ self.params["dynamic"])
        return self.params["static"] + self.params["scale"] * self.tanh

    def backward(self, dy: Array) -> Array:
        self.grads["static"] = dy.sum((0, 1))
        self.grads["scale"] = np.reshape((dy * self.tanh).sum(), 1)
        d = dy * self.params["scale"] * (1 - self.tanh**2)
        self.grads["dynamic"] = np.tensordot(self.z, d, ([0, 1, 2], [0, 1, 2]))
        return d @ self.params["dynamic"].T


class ManifoldWeights(Layer):
    """static + scale * (z W), z the norm of all streams at once (arXiv 2512.24880, 4.2, eq. 7)."""

    own_parameters = ("static", "scale", "dynamic")

    def __init__(self, width: int, initial: Array) -> None:
        super().__init__()
        self.params = {"static": initial.astype(float), "scale": np.full(1, 0.01)}
        self.params["dynamic"] = np.zeros((width, initial.size))

    def forward(self, z: Array, training: bool = True) -> Array:
        static = self.params["static"]
        self.z, self.linear = z, (z @ self.params["dynamic"]).reshape(*z.shape[:2], *static.shape)
        return static + self.params["scale"] * self.linear

    def backward(self, dy: Array) -> Array:
        self.grads["static"] = dy.sum((0, 1))
        self.grads["scale"] = np.reshape((dy * self.linear).sum(), 1)
        d = (dy * self.params["scale"]).reshape(*dy.shape[:2], -1)
        self.grads["dynamic"] = np.tensordot(self.z, d, ([0, 1], [0, 1]))
        return d @ self.params["dynamic"].T


class WidthConnection(Layer):
    """Streams to what is read, the mixed streams, and writing weights, all from one norm of x."""

    norm: _LayerNorm | _RMSNorm

    def __init__(self, read: Layer, mix: Layer, write: Layer) -> None:
        super().__init__(read=read, mix=mix, write=write)

    def weights(self, x: Array, training: bool) -> tuple[Array, Array, Array]:
        self.norm = _LayerNorm()
        z = self.norm.forward(x)
        read, mix, write = (layer.forward(z, training) for layer in self.children.values())
        return read, mix, write

    def weights_backward(self, *gradients: Array) -> Array:
        read, mix, write = (
            layer.backward(d) for layer, d in zip(self.children.values(), gradients, strict=True)
        )
        return self.norm.backward(read + mix + write)

    def forward(self, x: Array, training: bool = True) -> tuple[Array, Array, Array]:  # type: ignore[override]
        self.x = x
        self.read, self.mix, self.write = self.weights(x, training)
        return (self.read * x).sum(2), np.swapaxes(self.mix, 2, 3) @ x, self.write

    def backward(self, d_vector: Array, d_mixed: Array, d_write: Array) -> Array:  # type: ignore[override]
        d_vector = d_vector[:, :, None]
        d_read = (d_vector * self.x).sum(-1, keepdims=True)
        d_mix = self.x @ np.swapaxes(d_mixed, 2, 3)
        through = self.weights_backward(d_read, d_mix, d_write)
        return self.read * d_vector + self.mix @ d_mixed + through


class ManifoldWidthConnection(WidthConnection):
    """A width connection whose mixing matrix is doubly stochastic (arXiv 2512.24880, eq. 8)."""

    def weights(self, x: Array, training: bool) -> tuple[Array, Array, Array]:
        self.norm, self.sinkhorn = _RMSNorm(), Sinkhorn()
        z = self.norm.forward(x.reshape(*x.shape[:2], -1))  # (N, T, n C)
        read, mix, write = (layer.forward(z, training) for layer in self.children.values())
        return _sigmoid(read), self.sinkhorn.forward(mix), 2 * _sigmoid(write)

    def weights_backward(self, *gradients: Array) -> Array:
        d_read, d_mix, d_write = gradients
        dz = super().weights_backward(
            d_read * self.read * (1 - self.read),
            self.sinkhorn.backward(d_mix),
            d_write * self.write * (1 - self.write / 2),
        )
        return dz.reshape(self.x.shape)


class DepthConnection(Layer):
    """Write the branch's output (N, T, C) to all streams (N, T, n, C), by weights (N, T, n, 1)."""

    def forward(self, streams: Array, branch: Array, weights: Array) -> Array:  # type: ignore[override]
        self.branch, self.weights = branch[:, :, None], weights
        return streams + weights * self.branch

    def backward(self, dy: Array) -> tuple[Array, Array, Array]:  # type: ignore[override]
        d_weights = (dy * self.branch).sum(-1, keepdims=True)
        return dy, (dy * self.weights).sum(2), d_weights


class StreamResidual(Residual):
    """y = write(mix(x), branch(read(x))): a width connection, the branch, a depth connection."""

    def __init__(self, branch: Layer, width: WidthConnection) -> None:
        super().__init__(branch, width, DepthConnection())  # type: ignore[arg-type]

    def forward(self, x: Array, training: bool = True, *args: Any, **kwargs: Any) -> Array:
        vector, mixed, weights = self.shortcut.forward(x, training)  # type: ignore[union-attr]
        y = first_output(self.branch.forward(vector, training, *args, **kwargs))
        return self.merge.forward(mixed, y, weights)  # type: ignore[union-attr]

    def backward(self, dy: Array) -> Array:
        d_mixed, d_branch, d_weights = self.merge.backward(dy)  # type: ignore
        return self.shortcut.backward(self.branch.backward(d_branch), d_mixed, d_weights)  # type: ignore


class HyperConnection(StreamResidual):
    """n streams, mixed, read and written with learned weights (arXiv 2409.19606)."""

    def __init__(self, branch: Layer, channels: int, streams: int = 4, index: int = 0) -> None:
        channels = _checks.positive_int("channels", channels)
        n = _checks.positive_int("streams", streams)
        first = _checks.positive_int("index", index, minimum=0) % n
        width = WidthConnection(
            read=StreamWeights(channels, np.eye(n)[:, first : first + 1]),
            mix=StreamWeights(channels, np.eye(n)),
            write=StreamWeights(channels, np.ones((n, 1))),
        )
        super().__init__(branch, width)


class ManifoldHyperConnection(StreamResidual):
    """Hyper-connections whose mixing matrix is doubly stochastic (arXiv 2512.24880)."""

    def __init__(self, branch: Layer, channels: int, streams: int = 4) -> None:
        channels = _checks.positive_int("channels", channels)
        n = _checks.positive_int("streams", streams, minimum=2)
        width = ManifoldWidthConnection(
            read=ManifoldWeights(n * channels, np.full((n, 1), -np.log(n - 1))),
            mix=ManifoldWeights(n * channels, 4 * np.eye(n)),
            write=ManifoldWeights(n * channels, np.zeros((n, 1))),
        )
        super().__init__(branch, width)


class Sinkhorn:
    """Columns and rows of exp(logits) divided by their sums in turn, 20 times, in logarithms."""

    def forward(self, logits: Array, iterations: int = 20) -> Array:
        self.shares: list[tuple[int, Array]] = []
        for axis in (-2, -1) * iterations:
            share = _softmax(logits, axis)  # the derivative of the logarithm of the sum
            self.shares.append((axis, share))
            logits = np.log(share)
        self.matrix = np.exp(logits)
        return self.matrix

    def backward(self, dy: Array) -> Array:
        d = dy * self.matrix
        for axis, share in reversed(self.shares):
            d = d - share * d.sum(axis, keepdims=True)
        return d


class _LayerNorm:
    """x minus its mean, over its standard deviation, along the last axis."""

    def forward(self, x: Array) -> Array:
        self.deviation = np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        self.normal = (x - x.mean(-1, keepdims=True)) / self.deviation
        return self.normal

    def backward(self, dy: Array) -> Array:
        along = (dy * self.normal).mean(-1, keepdims=True)
        return (dy - dy.mean(-1, keepdims=True) - self.normal * along) / self.deviation


class _RMSNorm:
    """x over the root of its mean square, along the last axis."""

    def forward(self, x: Array) -> Array:
        self.root = np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6)
        self.normal = x / self.root
        return self.normal

    def backward(self, dy: Array) -> Array:
        return (dy - self.normal * (dy * self.normal).mean(-1, keepdims=True)) / self.root


def _sigmoid(x: Array) -> Array:
    return 1 / (1 + np.exp(-x))


def _softmax(x: Array, axis: int) -> Array:
    e = np.exp(x - x.max(axis, keepdims=True))
    return e / e.sum(axis, keepdims=True)
