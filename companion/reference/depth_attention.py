"""Attention over depth: each block reads all earlier outputs, y = append(x, branch(read(x)))."""

from __future__ import annotations

from typing import Any

import numpy as np

from companion import _checks
from companion.reference.hyper_connections import _RMSNorm, _softmax
from companion.reference.layers import Array, Layer
from companion.reference.merges import Merge
from companion.reference.residual import Residual, first_output


class DepthPooling(Layer):
    """softmax over depth of w . norm(v_i), times v_i (arXiv 2603.15031)."""

    own_parameters = ("query",)

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.params["query"] = np.zeros(_checks.positive_int("channels", channels))

    def forward(self, x: Array, training: bool = True) -> Array:
        self.x, self.norm = x, _RMSNorm()
        self.keys = self.norm.forward(x)
        self.weights = _softmax(self.keys @ self.params["query"], 2)[..., None]  # (N, T, L, 1)
        return (self.weights * x).sum(2)

    def backward(self, dy: Array) -> Array:
        dy = dy[:, :, None]
        d_weights = (dy * self.x).sum(-1, keepdims=True)
        mean = (d_weights * self.weights).sum(2, keepdims=True)
        d_logits = self.weights * (d_weights - mean)
        self.grads["query"] = (d_logits * self.keys).sum((0, 1, 2))
        return self.weights * dy + self.norm.backward(d_logits * self.params["query"])


class Append(Merge):
    """Shortcut (N, T, L, C) and branch (N, T, C) to (N, T, L + 1, C)."""

    def forward(self, shortcut: Array, branch: Array, training: bool = True) -> Array:  # type: ignore[override]
        branch = branch[:, :, None]
        _checks.equal_shapes("shortcut and branch", shortcut.shape, branch.shape, except_axis=2)
        return np.concatenate([shortcut, branch], 2)

    def backward(self, dy: Array) -> tuple[Array, Array]:  # type: ignore[override]
        return dy[:, :, :-1], dy[:, :, -1]


class DepthAttentionBlock(Residual):
    """The branch reads all earlier outputs by attention; its own is appended (2603.15031)."""

    def __init__(self, branch: Layer, channels: int) -> None:
        super().__init__(branch, merge=Append())
        self.read = self.children["read"] = DepthPooling(channels)

    def forward(self, x: Array, training: bool = True, *args: Any, **kwargs: Any) -> Array:
        vector = self.read.forward(x, training)
        y = first_output(self.branch.forward(vector, training, *args, **kwargs))
        return self.merge.forward(x, y, training)  # type: ignore[union-attr]

    def backward(self, dy: Array) -> Array:
        d_earlier, d_branch = self.merge.backward(dy)  # type: ignore[union-attr]
        return d_earlier + self.read.backward(self.branch.backward(d_branch))
