"""Many streams: hyper-connections and attention over depth, forward and backward.

The state is (N, T, n, C), as in :mod:`companion.torch.hyper_connections`, whose arguments these classes have.
"""

from __future__ import annotations

import numpy as np

from companion import _checks
from companion.reference.layers import Array, Layer
from companion.reference.residual import Residual


class StreamWeights(Layer):
    """static + scale * tanh(norm(x) W), (N, T, n, k) (arXiv 2409.19606, eq. 10 to 13)."""

    own_parameters = ("static", "scale", "dynamic")

    def __init__(self, channels: int, static: Array) -> None:
        super().__init__()
        dynamic = np.zeros((channels, static.shape[1]))
        self.params = {"static": static.astype(float), "scale": np.full(1, 0.01)}
        self.params["dynamic"] = dynamic

    def forward(self, x: Array, training: bool = True) -> Array:
        self.deviation = np.sqrt(x.var(-1, keepdims=True) + 1e-5)
        self.normal = (x - x.mean(-1, keepdims=True)) / self.deviation
        self.tanh = np.tanh(self.normal @ self.params["dynamic"])
        return self.params["static"] + self.params["scale"] * self.tanh

    def backward(self, dy: Array) -> Array:
        self.grads["static"] = dy.sum((0, 1))
        self.grads["scale"] = np.reshape((dy * self.tanh).sum(), 1)
        dz = dy * self.params["scale"] * (1 - self.tanh**2)
        self.grads["dynamic"] = np.tensordot(self.normal, dz, ([0, 1, 2], [0, 1, 2]))
        d = dz @ self.params["dynamic"].T
        along = (d * self.normal).mean(-1, keepdims=True)
        return (d - d.mean(-1, keepdims=True) - self.normal * along) / self.deviation


class ManifoldWeights(Layer):
    """static + scale * (norm(x) W), norm over all streams at once (arXiv 2512.24880, 4.2)."""

    own_parameters = ("static", "scale", "dynamic")

    def __init__(self, channels: int, static: Array) -> None:
        super().__init__()
        self.params = {"static": static.astype(float), "scale": np.full(1, 0.01)}
        self.params["dynamic"] = np.zeros((len(static) * channels, static.size))

    def forward(self, x: Array, training: bool = True) -> Array:
        self.shape = x.shape
        self.norm = _RMS()
        self.flat = self.norm.forward(x.reshape(*x.shape[:2], -1))  # (N, T, n C)
        static = self.params["static"]
        moved = (self.flat @ self.params["dynamic"]).reshape(*x.shape[:2], *static.shape)
        self.moved = moved
        return static + self.params["scale"] * moved

    def backward(self, dy: Array) -> Array:
        self.grads["static"] = dy.sum((0, 1))
        self.grads["scale"] = np.reshape((dy * self.moved).sum(), 1)
        dz = (dy * self.params["scale"]).reshape(*dy.shape[:2], -1)
        self.grads["dynamic"] = np.tensordot(self.flat, dz, ([0, 1], [0, 1]))
        return self.norm.backward(dz @ self.params["dynamic"].T).reshape(self.shape)


class WidthConnection(Layer):
    """Stream i becomes the sum over j of H[j, i] times stream j."""

    def __init__(self, weights: Layer, constrained: bool) -> None:
        super().__init__(weights=weights)
        self.constrained = constrained

    def forward(self, x: Array, training: bool = True) -> Array:
        self.x = x
        self.sinkhorn = Sinkhorn()
        mixing = self.children["weights"].forward(x, training)
        self.mixing = self.sinkhorn.forward(mixing) if self.constrained else mixing
        return np.swapaxes(self.mixing, 2, 3) @ x

    def backward(self, dy: Array) -> Array:
        d_mixing = self.x @ np.swapaxes(dy, 2, 3)
        if self.constrained:
            d_mixing = self.sinkhorn.backward(d_mixing)
        return self.mixing @ dy + self.children["weights"].backward(d_mixing)


class DepthConnection(Layer):
    """Read one vector from the streams, run the branch on it, write the result to all of them."""

    def __init__(self, inner: Layer, read: Layer, write: Layer, constrained: bool) -> None:
        super().__init__(inner=inner, read=read, write=write)
        self.constrained = constrained

    def forward(self, x: Array, training: bool = True) -> Array:
        self.x = x
        self.read = self.children["read"].forward(x, training)  # (N, T, n, 1)
        self.write = self.children["write"].forward(x, training)
        if self.constrained:
            self.read, self.write = _sigmoid(self.read), 2 * _sigmoid(self.write)
        self.y = self.children["inner"].forward((self.read * x).sum(2), training)[:, :, None]
        return self.write * self.y

    def backward(self, dy: Array) -> Array:
        d_write = (dy * self.y).sum(-1, keepdims=True)
        d_vector = self.children["inner"].backward((dy * self.write).sum(2))[:, :, None]
        d_read = (d_vector * self.x).sum(-1, keepdims=True)
        if self.constrained:
            d_read = d_read * self.read * (1 - self.read)
            d_write = d_write * self.write * (1 - self.write / 2)
        through = self.children["read"].backward(d_read) + self.children["write"].backward(d_write)
        return self.read * d_vector + through


class HyperConnection(Residual):
    """n streams, mixed, read and written with learned weights (arXiv 2409.19606)."""

    def __init__(self, branch: Layer, channels: int, streams: int = 4, index: int = 0) -> None:
        channels = _checks.positive_int("channels", channels)
        n = _checks.positive_int("streams", streams)
        first = _checks.positive_int("index", index, minimum=0) % n
        read = StreamWeights(channels, np.eye(n)[:, first : first + 1])
        write = StreamWeights(channels, np.ones((n, 1)))
        mix = WidthConnection(StreamWeights(channels, np.eye(n)), False)
        super().__init__(DepthConnection(branch, read, write, False), mix)


class ManifoldHyperConnection(Residual):
    """Hyper-connections whose mixing matrix is doubly stochastic (arXiv 2512.24880)."""

    def __init__(self, branch: Layer, channels: int, streams: int = 4) -> None:
        channels = _checks.positive_int("channels", channels)
        n = _checks.positive_int("streams", streams, minimum=2)
        read = ManifoldWeights(channels, np.full((n, 1), -np.log(n - 1)))
        write = ManifoldWeights(channels, np.zeros((n, 1)))
        mix = WidthConnection(ManifoldWeights(channels, 4 * np.eye(n)), True)
        super().__init__(DepthConnection(branch, read, write, True), mix)


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


class _RMS:
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
