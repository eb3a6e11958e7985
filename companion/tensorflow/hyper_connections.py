"""Many streams instead of one: hyper-connections, and attention over depth.

The state is (N, T, n, C): n streams of width C beside one another. ``Residual`` stays what it was:
its shortcut mixes the streams, its branch reads one vector from them and writes one back.
"""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow.residual import Residual


@keras.saving.register_keras_serializable("companion")
class ExpandStreams(keras.layers.Layer):
    """Copy the stream n times: (N, T, C) to (N, T, n, C)."""

    def __init__(self, streams: int, **keras_options: Any) -> None:
        self.streams = _checks.positive_int("streams", streams)
        super().__init__(**keras_options)

    def call(self, x: Tensor) -> Tensor:
        _checks.rank("x", x.shape, 3, "(N, T, C)")
        return ops.repeat(ops.expand_dims(x, 2), self.streams, axis=2)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "streams": self.streams}


@keras.saving.register_keras_serializable("companion")
class ReduceStreams(keras.layers.Layer):
    """Mean over the streams: (N, T, n, C) to (N, T, C).

    The paper sums; the norm that follows does not see the factor n.
    """

    def call(self, x: Tensor) -> Tensor:
        return ops.mean(x, axis=2)


class StreamWeights(keras.layers.Layer):
    """Weights that the streams set: static + scale * tanh(norm(x) W), shape (N, T, n, k).

    Zhu et al. 2025, arXiv 2409.19606, eq. 10 to 13. W starts at zero, so the weights are static at
    first.
    """

    own_parameters = ("static", "scale", "dynamic")

    def __init__(self, channels: int, static: np.ndarray, **keras_options: Any) -> None:
        super().__init__(**keras_options)
        self.static = _weight(self, "static", static)  # (n, k)
        self.scale = _weight(self, "scale", np.full(1, 0.01))
        self.dynamic = _weight(self, "dynamic", np.zeros((channels, static.shape[1])))
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        mean = ops.mean(x, axis=-1, keepdims=True)
        normal = (x - mean) * ops.rsqrt(ops.var(x, axis=-1, keepdims=True) + 1e-5)
        return self.static + self.scale * ops.tanh(ops.matmul(normal, self.dynamic))


class ManifoldWeights(keras.layers.Layer):
    """static + scale * (norm(x) W), norm over all streams at once, shape (N, T, n, k).

    Xie et al. 2025, arXiv 2512.24880, section 4.2: the numbers that are then constrained. W starts
    at zero.
    """

    own_parameters = ("static", "scale", "dynamic")

    def __init__(self, channels: int, static: np.ndarray, **keras_options: Any) -> None:
        super().__init__(**keras_options)
        self.shape = static.shape
        self.static = _weight(self, "static", static)  # (n, k)
        self.scale = _weight(self, "scale", np.full(1, 0.01))
        self.dynamic = _weight(self, "dynamic", np.zeros((len(static) * channels, static.size)))
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        size, time = ops.shape(x)[:2]
        flat = rms_norm(ops.reshape(x, (size, time, x.shape[2] * x.shape[3])))  # (N, T, n C)
        moved = ops.reshape(ops.matmul(flat, self.dynamic), (size, time, *self.shape))
        return self.static + self.scale * moved


def _weight(layer: keras.layers.Layer, name: str, start: np.ndarray) -> Any:
    """Add a weight that starts at the given array."""
    values = start.astype(np.float32)
    return layer.add_weight(
        shape=values.shape, initializer=lambda shape, dtype: ops.cast(values, dtype), name=name
    )


class WidthConnection(keras.layers.Layer):
    """The shortcut of hyper-connections: stream i becomes sum over j of H[j, i] times stream j."""

    def __init__(
        self, weights: keras.layers.Layer, constrained: bool, **keras_options: Any
    ) -> None:
        super().__init__(**keras_options)
        self.mixing = weights
        self.constrained = constrained
        self.built = True

    def call(self, x: Tensor) -> Tensor:
        mixing = self.mixing(x)  # (N, T, n, n)
        if self.constrained:
            mixing = sinkhorn(mixing)
        return ops.matmul(ops.transpose(mixing, (0, 1, 3, 2)), x)


class DepthConnection(keras.layers.Layer):
    """Read one vector from the streams, run the branch on it, write the result to all of them."""

    def __init__(
        self,
        inner: keras.layers.Layer,
        read: keras.layers.Layer,
        write: keras.layers.Layer,
        constrained: bool,
        **keras_options: Any,
    ) -> None:
        super().__init__(**keras_options)
        inner.name = "inner"
        self.inner, self.read, self.write = inner, read, write
        self.constrained = constrained
        self.built = True

    def call(self, x: Tensor, training: bool | None = None) -> Tensor:
        read, write = self.read(x), self.write(x)  # (N, T, n, 1)
        if self.constrained:
            read, write = ops.sigmoid(read), 2 * ops.sigmoid(write)
        y = self.inner(ops.sum(read * x, axis=2), training=training)
        return write * ops.expand_dims(y, 2)


class _Wrapped(Residual):
    """A residual connection that Keras saves by the branch that it wraps and its settings."""

    wrapped: keras.layers.Layer
    settings: dict[str, Any]

    def get_config(self) -> dict[str, Any]:
        branch = keras.saving.serialize_keras_object(self.wrapped)
        return {**keras.layers.Layer.get_config(self), "branch": branch, **self.settings}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> _Wrapped:
        branch = keras.saving.deserialize_keras_object(config["branch"])
        return cls(**{**config, "branch": branch})


@keras.saving.register_keras_serializable("companion")
class HyperConnection(_Wrapped):
    """n streams, mixed, read and written with learned weights (Zhu et al. 2025, arXiv 2409.19606).

    (N, T, n, channels) to the same shape; :class:`ExpandStreams` before the first, :class:`ReduceStreams` after
    the last. It starts (eq. 14) as one residual connection: streams that are equal stay equal, and
    each becomes x + branch(x).

    Parameters
    ----------
    branch: maps (N, T, channels) to the same shape.
    channels: of one stream.
    streams: n, default 4.
    index: the number of the layer; it starts by reading stream index mod n.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self,
        branch: keras.layers.Layer,
        channels: int,
        streams: int = 4,
        index: int = 0,
        **keras_options: Any,
    ) -> None:
        channels = _checks.positive_int("channels", channels)
        n = _checks.positive_int("streams", streams)
        first = _checks.positive_int("index", index, minimum=0) % n
        read = StreamWeights(channels, np.eye(n)[:, first : first + 1], name="read")
        write = StreamWeights(channels, np.ones((n, 1)), name="write")
        mix = StreamWeights(channels, np.eye(n), name="weights")
        super().__init__(
            DepthConnection(branch, read, write, False),
            WidthConnection(mix, False),
            **keras_options,
        )
        self.wrapped = branch
        self.settings = {"channels": channels, "streams": n, "index": index}


@keras.saving.register_keras_serializable("companion")
class ManifoldHyperConnection(_Wrapped):
    """Hyper-connections whose mixing matrix is doubly stochastic (Xie et al. 2025, 2512.24880).

    Rows and columns of non-negative numbers that sum to one mix streams without amplifying them,
    however many layers follow one another. Reading weights are sigmoid, writing weights 2 sigmoid,
    the mixing matrix is :func:`sinkhorn` of its logits (section 4.2). It starts with weights 1 / n
    for reading and 1 for writing, and a mixing matrix near the identity, so equal streams become
    x + branch(x), as with plain addition. Arguments and errors are those of
    :class:`HyperConnection`, without ``index``; ``streams`` is at least 2.
    """

    def __init__(
        self, branch: keras.layers.Layer, channels: int, streams: int = 4, **keras_options: Any
    ) -> None:
        channels = _checks.positive_int("channels", channels)
        n = _checks.positive_int("streams", streams, minimum=2)
        read = ManifoldWeights(channels, np.full((n, 1), -math.log(n - 1)), name="read")
        write = ManifoldWeights(channels, np.zeros((n, 1)), name="write")
        mix = ManifoldWeights(channels, 4 * np.eye(n), name="weights")
        super().__init__(
            DepthConnection(branch, read, write, True), WidthConnection(mix, True), **keras_options
        )
        self.wrapped = branch
        self.settings = {"channels": channels, "streams": n}


def sinkhorn(logits: Tensor, iterations: int = 20) -> Tensor:
    """Return a matrix with positive entries whose rows and columns sum to one.

    Sinkhorn and Knopp 1967: divide columns and rows of exp(logits) by their sums in turn, here in
    logarithms. After the last step rows sum to one exactly, columns approximately.

    Parameters
    ----------
    logits: (..., n, n). iterations: default 20, as in arXiv 2512.24880.
    """
    for _ in range(_checks.positive_int("iterations", iterations)):
        logits = logits - ops.logsumexp(logits, axis=-2, keepdims=True)
        logits = logits - ops.logsumexp(logits, axis=-1, keepdims=True)
    return ops.exp(logits)


def rms_norm(x: Tensor) -> Tensor:
    """Divide by the root of the mean square over the last axis (Zhang and Sennrich 2019)."""
    return x * ops.rsqrt(ops.mean(ops.square(x), axis=-1, keepdims=True) + 1e-6)
