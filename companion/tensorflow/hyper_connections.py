"""Many streams instead of one: hyper-connections, free and on a manifold.

Axes, here and in the reference:

    N  batch    T  time    C  channels of a stream    n  streams    k  weights per stream

The state is (N, T, n, C): n streams of width C beside one another. A block reads one vector from
them for its branch, mixes them, and writes the branch's output to all of them:

    y = write(mix(x), branch(read(x)))

In the papers' words, read and mix are the width connection, here the shortcut of a ``Residual``;
write is the depth connection, here its merge.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow._layer import Layer, PassesMask
from companion.tensorflow.residual import Residual


@keras.saving.register_keras_serializable("companion")
class ExpandStreams(PassesMask):
    """Copy the stream n times: (N, T, C) to (N, T, n, C)."""

    def __init__(self, streams: int, **keras_options: Any) -> None:
        self.streams = _checks.positive_int("streams", streams)
        super().__init__(**keras_options)

    def call(self, x: Tensor) -> Tensor:
        _checks.rank("x", x.shape, 3, "(N, T, C)")
        return ops.repeat(ops.expand_dims(x, 2), self.streams, axis=2)


@keras.saving.register_keras_serializable("companion")
class ReduceStreams(PassesMask):
    """Mean over the streams: (N, T, n, C) to (N, T, C).

    The paper sums; the norm that follows does not see the factor n.
    """

    def call(self, x: Tensor) -> Tensor:
        return ops.mean(x, axis=2)


@keras.saving.register_keras_serializable("companion")
class StreamWeights(Layer):
    """static + scale * tanh(z W), the weights that a block's streams set, z being their norm.

    Zhu et al. 2025, arXiv 2409.19606, eq. 10 to 13: z is (N, T, n, C) and the result (N, T, n, k).
    W starts at zero, so that the weights are static at first.

    Parameters
    ----------
    width: of z's last axis. initial: (n, k), where the static part starts.
    """

    own_parameters = ("static", "scale", "dynamic")
    known_shape = ()  # its weights depend on no shape

    def __init__(self, width: int, initial: np.ndarray, **keras_options: Any) -> None:
        self.width, self.initial = width, initial
        super().__init__(**keras_options)

    def _dynamic_shape(self, streams: int, k: int) -> tuple[int, int]:
        return self.width, k

    def build(self, shape: Any = None) -> None:
        for name, start in (
            ("static", self.initial),
            ("scale", np.full(1, 0.01)),
            ("dynamic", np.zeros(self._dynamic_shape(*self.initial.shape))),
        ):
            values = keras.initializers.Constant(start)
            setattr(self, name, self.add_weight(shape=start.shape, initializer=values, name=name))

    def call(self, z: Tensor) -> Tensor:
        return self.static + self.scale * ops.tanh(ops.matmul(z, self.dynamic))


@keras.saving.register_keras_serializable("companion")
class ManifoldWeights(StreamWeights):
    """static + scale * (z W), z being the norm of all streams at once, (N, T, n C).

    Xie et al. 2025, arXiv 2512.24880, section 4.2, eq. 7: the numbers that are then constrained.
    """

    def _dynamic_shape(self, streams: int, k: int) -> tuple[int, int]:
        return self.width, streams * k

    def call(self, z: Tensor) -> Tensor:
        moved = ops.matmul(z, self.dynamic)
        moved = ops.reshape(moved, (*ops.shape(z)[:2], *self.initial.shape))
        return self.static + self.scale * moved


@keras.saving.register_keras_serializable("companion")
class WidthConnection(PassesMask):
    """Streams (N, T, n, C) to what is read, (N, T, C), the mixed streams, and writing weights.

    Stream i becomes the sum over j of mix[j, i] times stream j. The norm of x, on which all three
    weights depend, is computed once.

    Parameters
    ----------
    read, mix, write: give weights (N, T, n, 1), (N, T, n, n) and (N, T, n, 1) for the norm of x.
    """

    def __init__(
        self,
        read: keras.layers.Layer,
        mix: keras.layers.Layer,
        write: keras.layers.Layer,
        **keras_options: Any,
    ) -> None:
        super().__init__(**keras_options)
        self.read, self.mix, self.write = read, mix, write

    def weights_of(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Return the weights of x for reading, mixing and writing."""
        mean, variance = ops.moments(x, axes=-1, keepdims=True)
        z = (x - mean) * ops.rsqrt(variance + 1e-5)
        return self.read(z), self.mix(z), self.write(z)

    def call(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        read, mix, write = (ops.cast(w, x.dtype) for w in self.weights_of(x))
        mixed = ops.matmul(ops.transpose(mix, (0, 1, 3, 2)), x)
        return ops.sum(read * x, axis=2), mixed, write

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return [previous_mask, previous_mask, None]

    def compute_output_spec(self, x: Tensor, training: bool | None = None) -> tuple:
        shapes = (*x.shape[:2], x.shape[3]), x.shape, (*x.shape[:3], 1)
        return tuple(keras.KerasTensor(shape, dtype=self.compute_dtype) for shape in shapes)


@keras.saving.register_keras_serializable("companion")
class ManifoldWidthConnection(WidthConnection):
    """A width connection whose mixing matrix is doubly stochastic (arXiv 2512.24880, eq. 8)."""

    def weights_of(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        flat = ops.reshape(x, (*ops.shape(x)[:2], x.shape[2] * x.shape[3]))
        z = rms_norm(flat)  # (N, T, n C)
        read, write = ops.sigmoid(self.read(z)), 2 * ops.sigmoid(self.write(z))
        return read, sinkhorn(self.mix(z)), write


@keras.saving.register_keras_serializable("companion")
class DepthConnection(PassesMask):
    """Write the branch's output (N, T, C) to all streams (N, T, n, C), by weights (N, T, n, 1)."""

    def call(self, streams: Tensor, branch: Tensor, weights: Tensor) -> Tensor:
        return streams + weights * ops.expand_dims(branch, 2)


@keras.saving.register_keras_serializable("companion")
class StreamResidual(Residual):
    """y = write(mix(x), branch(read(x))): a width connection, the branch, a depth connection."""

    def __init__(
        self, branch: keras.layers.Layer, width: WidthConnection, **keras_options: Any
    ) -> None:
        depth = DepthConnection(name="merge", dtype=width.dtype_policy)
        super().__init__(branch, shortcut=width, merge=depth, **keras_options)

    def join(self, x: Tensor, branch: Callable[[Tensor], Tensor]) -> Tensor:
        vector, mixed, weights = self.shortcut(x)
        return self.merge(mixed, branch(vector), weights)


@keras.saving.register_keras_serializable("companion")
class HyperConnection(StreamResidual):
    """y = write(mix(x), branch(read(x))) over n streams (Zhu et al. 2025, arXiv 2409.19606).

    (N, T, n, channels) to the same shape; :class:`ExpandStreams` before the first,
    :class:`ReduceStreams` after the last. It starts (eq. 14) as one residual connection: streams
    that are equal stay equal, and each becomes x + branch(x).

    Parameters
    ----------
    branch: maps (N, T, channels) to the same shape; further inputs of a call go to it.
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
        own = {"dtype": keras_options.get("dtype")}
        width = WidthConnection(
            read=StreamWeights(channels, np.eye(n)[:, first : first + 1], name="read", **own),
            mix=StreamWeights(channels, np.eye(n), name="mix", **own),
            write=StreamWeights(channels, np.ones((n, 1)), name="write", **own),
            name="shortcut",
            **own,
        )
        super().__init__(branch, width, **keras_options)


@keras.saving.register_keras_serializable("companion")
class ManifoldHyperConnection(StreamResidual):
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
        own = {"dtype": keras_options.get("dtype")}
        start = np.full((n, 1), -math.log(n - 1))
        width = ManifoldWidthConnection(
            read=ManifoldWeights(n * channels, start, name="read", **own),
            mix=ManifoldWeights(n * channels, 4 * np.eye(n), name="mix", **own),
            write=ManifoldWeights(n * channels, np.zeros((n, 1)), name="write", **own),
            name="shortcut",
            **own,
        )
        super().__init__(branch, width, **keras_options)


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
