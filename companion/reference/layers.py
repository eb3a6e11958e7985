"""The layers of a residual network, each with its derivative."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view

from companion import _checks

Array = np.ndarray


class Layer:
    """What can be run forward and backward.

    Attributes
    ----------
    params, grads: learned arrays and, after ``backward``, the loss's gradient for each.
    buffers: arrays that are kept but not learned (batch statistics).
    children: the layers inside, in order, by name.
    """

    def __init__(self, **children: Layer) -> None:
        self.params: dict[str, Array] = {}
        self.grads: dict[str, Array] = {}
        self.buffers: dict[str, Array] = {}
        self.children = children

    def forward(self, x: Array, training: bool = True) -> Array:
        raise NotImplementedError

    def backward(self, dy: Array) -> Array:
        raise NotImplementedError

    def __call__(self, x: Array, training: bool = True, *args: Any, **kwargs: Any) -> Array:
        return self.forward(x, training, *args, **kwargs)

    def named_layers(self, prefix: str = "") -> Iterator[tuple[str, Layer]]:
        """Yield (dotted name, layer) of every layer that has none inside, in order."""
        if not self.children:
            yield prefix, self
        for name, child in self.children.items():
            yield from child.named_layers(f"{prefix}.{name}" if prefix else name)


class Identity(Layer):
    """y = x."""

    def forward(self, x: Array, training: bool = True) -> Array:
        return x

    def backward(self, dy: Array) -> Array:
        return dy


class ReLU(Layer):
    """y = max(x, 0); the derivative at 0 is 0, as in both frameworks."""

    def forward(self, x: Array, training: bool = True) -> Array:
        self.positive = x > 0
        return np.where(self.positive, x, 0)

    def backward(self, dy: Array) -> Array:
        return np.where(self.positive, dy, 0)


class Conv2d(Layer):
    """y[o] = sum over i, u, v of w[o, i, u, v] x[i, stride h + u - p, stride w + v - p].

    (N, in_channels, H, W) to (N, out_channels, ceil(H / stride), ceil(W / stride)). Symmetric
    padding p = kernel_size // 2, no bias, He normal weights (fan-out, arXiv 1502.01852, eq. 14).

    Raises
    ------
    ValueError: a size below 1, an even kernel, an input of another rank or channel count.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        stride: int = 1,
        rng: np.random.Generator | None = None,
    ) -> None:
        super().__init__()
        self.in_channels = _checks.positive_int("in_channels", in_channels)
        out_channels = _checks.positive_int("out_channels", out_channels)
        self.kernel_size = k = _checks.odd_int("kernel_size", kernel_size)
        self.stride = _checks.positive_int("stride", stride)
        rng = rng or np.random.default_rng()
        std = np.sqrt(2 / (k * k * out_channels))
        self.params["weight"] = rng.normal(0, std, (out_channels, in_channels, k, k))

    def forward(self, x: Array, training: bool = True) -> Array:
        _checks.rank("x", x.shape, 4, "(N, C, H, W)")
        _checks.channels("x", x.shape[1], self.in_channels)
        k, s, p = self.kernel_size, self.stride, self.kernel_size // 2
        padded = np.pad(x, ((0, 0), (0, 0), (p, p), (p, p)))
        # every patch that a kernel sees, without a copy: (N, C, H', W', k, k)
        self.patches = sliding_window_view(padded, (k, k), axis=(2, 3))[:, :, ::s, ::s]
        self.padded_shape = padded.shape
        y = np.tensordot(self.patches, self.params["weight"], ([1, 4, 5], [1, 2, 3]))
        return y.transpose(0, 3, 1, 2)  # (N, H', W', O) to (N, O, H', W')

    def backward(self, dy: Array) -> Array:
        weight, k, s = self.params["weight"], self.kernel_size, self.stride
        p, (h, w) = k // 2, dy.shape[2:]
        self.grads["weight"] = np.tensordot(dy, self.patches, ([0, 2, 3], [0, 2, 3]))
        dx = np.zeros(self.padded_shape, dy.dtype)
        for u in range(k):  # over the kernel, not over the image
            for v in range(k):
                share = np.tensordot(dy, weight[:, :, u, v], ([1], [0])).transpose(0, 3, 1, 2)
                dx[:, :, u : u + s * h : s, v : v + s * w : s] += share
        return dx[:, :, p : dx.shape[2] - p, p : dx.shape[3] - p]


class BatchNorm2d(Layer):
    """y = weight (x - mean) / sqrt(var + eps) + bias, per channel (arXiv 1502.03167, alg. 1).

    Mean and variance are the batch's in training and the running ones in inference. The running
    variance is the unbiased one, n / (n - 1), as in PyTorch.

    Raises
    ------
    ValueError: a batch with one value per channel, in training.
    """

    eps, momentum = 1e-5, 0.1  # momentum is the weight of the new batch

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = _checks.positive_int("channels", channels)
        self.params = {"weight": np.ones(channels), "bias": np.zeros(channels)}
        self.buffers = {"running_mean": np.zeros(channels), "running_var": np.ones(channels)}

    def forward(self, x: Array, training: bool = True) -> Array:
        _checks.rank("x", x.shape, 4, "(N, C, H, W)")
        _checks.channels("x", x.shape[1], self.channels)
        self.training = training
        if training:
            n = x.size // self.channels
            _checks.several_values("x", n)
            mean, var = x.mean((0, 2, 3)), x.var((0, 2, 3))
            new = {"running_mean": mean, "running_var": var * n / (n - 1)}
            for name, value in new.items():
                kept = (1 - self.momentum) * self.buffers[name]
                self.buffers[name] = kept + self.momentum * value
        else:
            mean, var = self.buffers["running_mean"], self.buffers["running_var"]
        self.scale = _per_channel(1 / np.sqrt(var + self.eps))
        self.normal = (x - _per_channel(mean)) * self.scale
        weight, bias = self.params["weight"], self.params["bias"]
        return _per_channel(weight) * self.normal + _per_channel(bias)

    def backward(self, dy: Array) -> Array:
        self.grads["weight"] = (dy * self.normal).sum((0, 2, 3))
        self.grads["bias"] = dy.sum((0, 2, 3))
        dnormal = _per_channel(self.params["weight"]) * dy
        if not self.training:
            return dnormal * self.scale
        # The batch's own mean and variance depend on x: both directions drop out of the gradient.
        mean = dnormal.mean((0, 2, 3), keepdims=True)
        along = (dnormal * self.normal).mean((0, 2, 3), keepdims=True)
        return (dnormal - mean - self.normal * along) * self.scale


def _per_channel(values: Array) -> Array:
    return values[:, None, None]  # (C,) against (N, C, H, W)


class MaxPool2d(Layer):
    """Maximum over 3x3 windows at stride 2, padded by minus infinity.

    (N, C, H, W) to (N, C, ceil(H / 2), ceil(W / 2)). The first maximum of a window gets its
    gradient.
    """

    def forward(self, x: Array, training: bool = True) -> Array:
        _checks.rank("x", x.shape, 4, "(N, C, H, W)")
        padded = np.pad(x, ((0, 0), (0, 0), (1, 1), (1, 1)), constant_values=-np.inf)
        self.padded_shape = padded.shape
        windows = sliding_window_view(padded, (3, 3), axis=(2, 3))[:, :, ::2, ::2]
        windows = windows.reshape(*windows.shape[:4], 9)
        self.winner = windows.argmax(-1)
        return windows.max(-1)

    def backward(self, dy: Array) -> Array:
        dx, (h, w) = np.zeros(self.padded_shape, dy.dtype), dy.shape[2:]
        for u in range(3):
            for v in range(3):
                won = np.where(self.winner == 3 * u + v, dy, 0)
                dx[:, :, u : u + 2 * h : 2, v : v + 2 * w : 2] += won
        return dx[:, :, 1:-1, 1:-1]


class GlobalAveragePool(Layer):
    """Mean over all pixels: (N, C, H, W) to (N, C)."""

    def forward(self, x: Array, training: bool = True) -> Array:
        _checks.rank("x", x.shape, 4, "(N, C, H, W)")
        self.shape = x.shape
        return x.mean((2, 3))

    def backward(self, dy: Array) -> Array:
        pixels = self.shape[2] * self.shape[3]
        return np.broadcast_to(dy[:, :, None, None] / pixels, self.shape)


class Dense(Layer):
    """y = x W^T + b: (N, in_features) to (N, out_features)."""

    def __init__(
        self, in_features: int, out_features: int, rng: np.random.Generator | None = None
    ) -> None:
        super().__init__()
        in_features = _checks.positive_int("in_features", in_features)
        out_features = _checks.positive_int("out_features", out_features)
        rng = rng or np.random.default_rng()
        std = np.sqrt(1 / in_features)
        self.params["weight"] = rng.normal(0, std, (out_features, in_features))
        self.params["bias"] = np.zeros(out_features)

    def forward(self, x: Array, training: bool = True) -> Array:
        _checks.rank("x", x.shape, 2, "(N, in_features)")
        _checks.channels("x", x.shape[1], self.params["weight"].shape[1])
        self.x = x
        return x @ self.params["weight"].T + self.params["bias"]

    def backward(self, dy: Array) -> Array:
        self.grads["weight"], self.grads["bias"] = dy.T @ self.x, dy.sum(0)
        return dy @ self.params["weight"]


class Sequential(Layer):
    """One layer after another; backward in reverse order, which is the chain rule."""

    def forward(self, x: Array, training: bool = True) -> Array:
        for layer in self.children.values():
            x = layer.forward(x, training)
        return x

    def backward(self, dy: Array) -> Array:
        for layer in reversed(self.children.values()):
            dy = layer.backward(dy)
        return dy


def softmax_cross_entropy(logits: Array, labels: Array) -> tuple[float, Array]:
    """Return the mean of -log softmax(logits)[label], in nats, and its gradient.

    Parameters
    ----------
    logits: (N, K). labels: (N,) integers from 0 to K - 1.

    Raises
    ------
    ValueError: other shapes, or a label out of its range.
    """
    _checks.rank("logits", logits.shape, 2, "(N, K)")
    labels = np.asarray(labels)
    n, classes = logits.shape
    if labels.shape != (n,) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(f"labels must be {n} integers, got {labels.dtype} of {labels.shape}")
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(f"labels must be from 0 to {classes - 1}, got {labels}")
    shifted = logits - logits.max(1, keepdims=True)  # the same softmax, without overflow
    log_p = shifted - np.log(np.exp(shifted).sum(1, keepdims=True))
    gradient = np.exp(log_p)
    gradient[np.arange(n), labels] -= 1
    return float(-log_p[np.arange(n), labels].mean()), gradient / n
