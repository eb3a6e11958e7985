"""The layers of an image network, with the settings that both frameworks share."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import keras
import tensorflow as tf
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow._layer import Layer
from companion.tensorflow._saving import SavedByArguments

_SKIP_INIT = ContextVar("skip_init", default=False)


@contextmanager
def skip_init() -> Iterator[None]:
    """Within it layers that are built do not draw their weights: ``weights.initialize`` follows."""
    token = _SKIP_INIT.set(True)
    try:
        yield
    finally:
        _SKIP_INIT.reset(token)


class DrawsWeights(SavedByArguments):
    """A layer whose kernel is drawn when it is built, but within :func:`skip_init` is zero."""

    def add_weight(self, *args: Any, **options: Any) -> Any:
        if _SKIP_INIT.get():
            options["initializer"] = "zeros"
        layer: Any = super()
        return layer.add_weight(*args, **options)


@keras.saving.register_keras_serializable("companion")
class Conv2d(DrawsWeights, keras.layers.Conv2D):
    """Convolution, by default without bias, symmetric padding, He normal weights (fan-out).

    Input (N, H, W, in_channels), output (N, ceil(H / stride), ceil(W / stride), out_channels).
    He et al. 2015, arXiv 1502.01852, eq. 14: standard deviation sqrt(2 / (k^2 out_channels)).
    ``groups`` is the number of groups, not their size: each sees in_channels / groups channels.

    Where a larger kernel has a stride the padding is explicit: Keras's ``padding="same"`` would put
    more of it on the right and bottom, which is another function than PyTorch's.

    A 1x1 kernel reads every ``stride``-th pixel and then has stride 1. TensorFlow's own, with the
    stride, may kill the process in the backward pass where fewer than 16 channels come in: see the
    book's second page on costs before you put a
    ``keras.layers.Conv2D(channels, 1, strides=2)`` into a branch or a shortcut.

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
        groups: int = 1,
        bias: bool = False,
        **keras_options: Any,
    ) -> None:
        self.in_channels = _checks.positive_int("in_channels", in_channels)
        self.out_channels = _checks.positive_int("out_channels", out_channels)
        kernel_size = _checks.odd_int("kernel_size", kernel_size)
        self.stride = _checks.positive_int("stride", stride)
        groups = _checks.groups(groups, in_channels, out_channels)
        variance = 2 / (kernel_size**2 * out_channels)
        usual = {
            "use_bias": _checks.boolean("bias", bias),
            "kernel_initializer": keras.initializers.RandomNormal(stddev=variance**0.5),
        }
        super().__init__(
            out_channels,
            kernel_size,
            1 if kernel_size == 1 else stride,
            padding="same" if stride == 1 else "valid",
            groups=groups,
            **{**usual, **keras_options},
        )
        self.known_shape = (None, None, None, self.in_channels)
        self.input_spec = None  # the checks of call() speak the same words in both frameworks

    def build(self, shape: Any = None) -> None:
        super().build(self.known_shape)
        self.input_spec = None

    def _check(self, shape: tuple) -> None:
        _checks.rank("x", shape, 4, "(N, H, W, C)")
        _checks.channels("x", shape[-1], self.in_channels)

    def call(self, inputs: Tensor) -> Tensor:
        x = inputs
        self._check(x.shape)
        margin = self.kernel_size[0] // 2
        if margin == 0 and self.stride > 1:
            # The pixels between are not read. Left to the kernel, the gradient of the weights
            # writes past its memory for few channels (oneDNN's issue 6035): fewer than 8 with AVX2,
            # than 16 with AVX-512.
            x = x[:, :: self.stride, :: self.stride]
        elif margin and self.stride > 1:
            x = ops.pad(x, ((0, 0), (margin, margin), (margin, margin), (0, 0)))
        return super().call(x)

    def compute_output_shape(self, shape: tuple) -> tuple:
        self._check(shape)
        return (*(_strided(shape, self.stride)), self.out_channels)


def _strided(shape: tuple, stride: int) -> tuple:
    """(N, H, W, C) to (N, ceil(H / stride), ceil(W / stride)), unknown sizes kept."""
    return (shape[0], *(None if s is None else -(-s // stride) for s in shape[1:3]))


@keras.saving.register_keras_serializable("companion")
class BatchNorm2d(SavedByArguments, keras.layers.BatchNormalization):
    """Batch normalisation: eps 1e-5, weight of a new batch in the running statistics 0.1.

    Ioffe and Szegedy 2015, arXiv 1502.03167, algorithm 1. Keras calls 0.9, the weight of the old
    statistics, momentum. The running variance is biased; PyTorch keeps the unbiased one.

    Raises
    ------
    ValueError: a batch with one value per channel, in training, where the size is known.
    """

    def __init__(self, channels: int, **keras_options: Any) -> None:
        self.channels = _checks.positive_int("channels", channels)
        super().__init__(**{"epsilon": 1e-5, "momentum": 0.9, **keras_options})
        self.known_shape = (None, None, None, self.channels)

    def build(self, shape: Any = None) -> None:
        super().build(self.known_shape)
        self.input_spec = None

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        x = inputs
        _checks.rank("x", x.shape, 4, "(N, H, W, C)")
        _checks.channels("x", x.shape[-1], self.channels)
        sizes = x.shape[:3]
        if training and None not in sizes:
            _checks.several_values("x", sizes[0] * sizes[1] * sizes[2])
        learns = bool(training and self.trainable)
        usual = self.scale and self.center and mask is None and not self.synchronized
        if learns and usual and x.dtype == "float32":
            return self._learn(x)
        return super().call(x, training=training, mask=mask)

    def _learn(self, x: Any) -> Any:
        """Return the same in one operation, where Keras has eight that each run over memory."""
        y, mean, unbiased, *_ = tf.raw_ops.FusedBatchNormV3(
            x=x, scale=self.gamma, offset=self.beta, mean=[], variance=[], epsilon=self.epsilon
        )
        values = tf.cast(tf.reduce_prod(tf.shape(x)[:3]), "float32")
        variance = unbiased * (1 - 1 / values)
        for kept, new in ((self.moving_mean, mean), (self.moving_variance, variance)):
            kept.assign(kept * self.momentum + new * (1 - self.momentum))
        return y

    def compute_output_shape(self, shape: tuple) -> tuple:
        _checks.rank("x", shape, 4, "(N, H, W, C)")
        _checks.channels("x", shape[-1], self.channels)
        return shape


@keras.saving.register_keras_serializable("companion")
class Dense(DrawsWeights, keras.layers.Dense):
    """y = x W + b: (..., in_features) to (..., out_features).

    LeCun normal weights, variance 1 / in_features, which keep the variance of what comes in; bias
    zero. Where a ReLU came before, take :class:`HiddenDense`.

    Raises
    ------
    ValueError: a size below 1, or an input of another length.
    """

    gain = 1.0

    def __init__(self, in_features: int, out_features: int, **keras_options: Any) -> None:
        self.in_features = _checks.positive_int("in_features", in_features)
        self.out_features = _checks.positive_int("out_features", out_features)
        first = keras.initializers.VarianceScaling(self.gain, "fan_in", "untruncated_normal")
        super().__init__(out_features, **{"kernel_initializer": first, **keras_options})
        self.known_shape = (None, self.in_features)

    def build(self, shape: Any = None) -> None:
        super().build(self.known_shape)


@keras.saving.register_keras_serializable("companion")
class HiddenDense(Dense):
    """A dense layer that a ReLU precedes: He normal weights, variance 2 / in_features."""

    gain = 2.0


@keras.saving.register_keras_serializable("companion")
class MaxPool2d(Layer):
    """3x3 maximum with stride 2, padded: (N, H, W, C) to half the size.

    The border is repeated, which changes no maximum. Zeros would win over negative inputs, and
    minus infinity has no place among the 256 numbers of int8.
    """

    def call(self, x: Tensor) -> Tensor:
        x = ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
        return ops.max_pool(x, 3, 2, padding="valid")


@keras.saving.register_keras_serializable("companion")
class GlobalAveragePool(Layer):
    """Mean over all pixels: (N, H, W, C) to (N, C)."""

    def call(self, x: Tensor) -> Tensor:
        return ops.mean(x, axis=(1, 2))
