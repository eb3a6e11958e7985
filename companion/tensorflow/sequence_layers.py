"""Layers for sequences, (N, T, C) in both frameworks: batch, time, channels."""

from __future__ import annotations

import math
from typing import Any

import keras
import numpy as np
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.tensorflow._layer import Layer, PassesMask
from companion.tensorflow._saving import SavedByArguments
from companion.tensorflow.layers import Dense, DrawsWeights

_FAN_IN = {"scale": 1.0, "mode": "fan_in", "distribution": "untruncated_normal"}


@keras.saving.register_keras_serializable("companion")
class Conv1d(DrawsWeights, keras.layers.Conv1D):
    """Convolution over time without bias, symmetric padding, He normal weights (fan-out).

    (N, T, in_channels) to (N, T, out_channels). With ``dilation`` d the kernel reads every d-th
    step, so that a few layers see a long stretch.

    Raises
    ------
    ValueError: a size below 1, an even kernel, an input of another rank or channel count.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int = 3,
        dilation: int = 1,
        **keras_options: Any,
    ) -> None:
        self.in_channels = _checks.positive_int("in_channels", in_channels)
        self.out_channels = _checks.positive_int("out_channels", out_channels)
        kernel_size = _checks.odd_int("kernel_size", kernel_size)
        self.dilation = _checks.positive_int("dilation", dilation)
        std = math.sqrt(2 / (kernel_size * out_channels))
        first = keras.initializers.RandomNormal(stddev=std)
        super().__init__(
            out_channels,
            kernel_size,
            padding="same",  # stride 1 and an odd kernel: symmetric
            dilation_rate=dilation,
            **{"use_bias": False, "kernel_initializer": first, **keras_options},
        )
        self.known_shape = (None, None, self.in_channels)
        self.input_spec = None  # the checks of call() speak the same words in both frameworks

    def build(self, shape: Any = None) -> None:
        super().build(self.known_shape)
        self.input_spec = None

    def _check(self, shape: tuple) -> None:
        _checks.rank("x", shape, 3, "(N, T, C)")
        _checks.channels("x", shape[2], self.in_channels)

    def call(self, inputs: Tensor) -> Tensor:
        self._check(inputs.shape)
        return super().call(inputs)

    def compute_output_shape(self, shape: tuple) -> tuple:
        self._check(shape)
        return (*shape[:2], self.out_channels)


@keras.saving.register_keras_serializable("companion")
class BatchNorm1d(SavedByArguments, keras.layers.BatchNormalization):
    """Batch normalisation of vectors (N, C) or sequences (N, T, C), eps 1e-5, new weight 0.1.

    Raises
    ------
    ValueError: a batch with one value per channel, in training, where the size is known.
    """

    def __init__(self, channels: int, **keras_options: Any) -> None:
        self.channels = _checks.positive_int("channels", channels)
        super().__init__(**{"epsilon": 1e-5, "momentum": 0.9, **keras_options})
        self.known_shape = (None, self.channels)

    def build(self, shape: Any = None) -> None:
        super().build(self.known_shape)
        self.input_spec = None

    def compute_output_shape(self, shape: tuple) -> tuple:
        _checks.channels("x", shape[-1], self.channels)
        return shape

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        _checks.channels("x", inputs.shape[-1], self.channels)
        if training and None not in inputs.shape:
            _checks.several_values("x", math.prod(inputs.shape[:-1]))
        flat = ops.reshape(inputs, (-1, self.channels))
        if mask is not None:
            mask = ops.reshape(mask, (-1,))
        return ops.reshape(super().call(flat, training, mask), ops.shape(inputs))


@keras.saving.register_keras_serializable("companion")
class LayerNorm(SavedByArguments, keras.layers.LayerNormalization):
    """Normalise each vector (..., C) by its own mean and variance (Ba et al. 2016, 1607.06450).

    Raises
    ------
    ValueError: fewer than one channel, or an input with another number.
    """

    def __init__(self, channels: int, **keras_options: Any) -> None:
        self.channels = _checks.positive_int("channels", channels)
        super().__init__(**{"epsilon": 1e-5, **keras_options})
        self.known_shape = (None, self.channels)

    def build(self, shape: Any = None) -> None:
        super().build(self.known_shape)

    def compute_output_shape(self, shape: tuple) -> tuple:
        _checks.channels("x", shape[-1], self.channels)
        return shape

    def call(self, inputs: Tensor) -> Tensor:
        _checks.channels("x", inputs.shape[-1], self.channels)
        return super().call(inputs)


@keras.saving.register_keras_serializable("companion")
class Embedding(SavedByArguments, keras.layers.Embedding):
    """A learned vector for each token: (N, T) integers to (N, T, channels), variance 1 / channels.

    Raises
    ------
    ValueError: a size below 1, or tokens of another rank.
    """

    known_shape = (None, None)

    def __init__(self, vocabulary: int, channels: int, **keras_options: Any) -> None:
        self.vocabulary = _checks.positive_int("vocabulary", vocabulary)
        self.channels = _checks.positive_int("channels", channels)
        # Keras would draw them between -0.05 and 0.05.
        spread = {"embeddings_initializer": keras.initializers.RandomNormal(stddev=channels**-0.5)}
        super().__init__(vocabulary, channels, **{**spread, **keras_options})

    def call(self, inputs: Tensor) -> Tensor:
        _checks.rank("tokens", inputs.shape, 2, "(N, T)")
        return super().call(inputs)

    def compute_output_shape(self, shape: tuple) -> tuple:
        _checks.rank("tokens", shape, 2, "(N, T)")
        return (*shape, self.channels)


@keras.saving.register_keras_serializable("companion")
class SinusoidalPositions(PassesMask):
    """Add sines and cosines of the position (Vaswani et al. 2017, arXiv 1706.03762, section 3.5).

    (N, T, channels) to the same shape; no parameters, any length. The waves are divided by
    sqrt(channels / 2), so that token and position enter with the same length.

    Raises
    ------
    ValueError: an odd number of channels.
    """

    def __init__(self, channels: int, **keras_options: Any) -> None:
        self.channels = _checks.multiple_of("channels", channels, 2)
        super().__init__(**keras_options)

    def call(self, x: Tensor) -> Tensor:
        half = self.channels // 2
        rates = np.exp(np.arange(half, dtype=np.float32) * np.float32(-math.log(1e4) / half))
        steps = ops.cast(ops.arange(ops.shape(x)[1]), "float32")
        angles = steps[:, None] * rates  # (T, half)
        waves = ops.concatenate([ops.sin(angles), ops.cos(angles)], axis=1) / math.sqrt(half)
        return x + ops.cast(waves, x.dtype)


@keras.saving.register_keras_serializable("companion")
class LSTM(SavedByArguments, keras.layers.LSTM):
    """One LSTM layer (Hochreiter and Schmidhuber 1997): (N, T, in_channels) to (N, T, channels).

    Normal weights of variance 1 / fan-in, forget gates open at the start (bias 1).
    """

    def __init__(self, in_channels: int, channels: int, **keras_options: Any) -> None:
        self.in_channels = _checks.positive_int("in_channels", in_channels)
        self.channels = _checks.positive_int("channels", channels)
        usual = {
            "return_sequences": True,
            "kernel_initializer": keras.initializers.VarianceScaling(**_FAN_IN),
            "recurrent_initializer": keras.initializers.VarianceScaling(**_FAN_IN),
        }
        super().__init__(channels, **{**usual, **keras_options})
        self.known_shape = (None, None, self.in_channels)

    def build(self, shape: Any = None) -> None:
        super().build(self.known_shape if shape is None else self._checked(shape))

    def _checked(self, shape: tuple) -> tuple:
        _checks.rank("x", shape, 3, "(N, T, C)")
        _checks.channels("x", shape[2], self.in_channels)
        return shape

    def call(
        self,
        sequences: Tensor,
        initial_state: Any = None,
        mask: Any = None,
        training: bool | None = None,
    ) -> Any:
        self._checked(sequences.shape)
        return super().call(sequences, initial_state, mask, bool(training))

    def compute_output_shape(self, sequences_shape: tuple, initial_state_shape: Any = None) -> Any:
        return super().compute_output_shape(self._checked(sequences_shape), initial_state_shape)


@keras.saving.register_keras_serializable("companion")
class Attention(PassesMask):
    """softmax(Q K^T / sqrt(d)) V by head (Vaswani et al. 2017, arXiv 1706.03762, eq. 1).

    (N, T, channels) to the same shape. Tokens that are masked, (N, T) and False, nobody sees.

    Parameters
    ----------
    channels: of the stream; ``heads`` must divide them.
    heads: default 4.
    causal: whether a token sees only itself and earlier ones, default False.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self, channels: int, heads: int = 4, causal: bool = False, **keras_options: Any
    ) -> None:
        self.heads = _checks.positive_int("heads", heads)
        self.channels = _checks.multiple_of("channels", channels, heads)
        self.causal = _checks.boolean("causal", causal)
        super().__init__(**keras_options)
        own = {"dtype": self.dtype_policy}
        self.query = Dense(channels, channels, name="query", **own)
        self.key = Dense(channels, channels, name="key", **own)
        self.value = Dense(channels, channels, name="value", **own)
        self.out = Dense(channels, channels, name="out", **own)
        self.known_shape = (None, None, self.channels)

    def call(self, x: Tensor, mask: Any = None) -> Tensor:
        size, time = ops.shape(x)[:2]
        width = self.channels // self.heads

        def split(y: Tensor) -> Tensor:  # (N, T, C) to (N, heads, T, d)
            return ops.transpose(ops.reshape(y, (size, time, self.heads, width)), (0, 2, 1, 3))

        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = ops.matmul(query, ops.transpose(key, (0, 1, 3, 2))) / math.sqrt(width)
        least = -3e4 if keras.backend.standardize_dtype(scores.dtype) == "float16" else -1e9
        if self.causal:
            steps = ops.arange(time)
            scores = ops.where(steps[:, None] >= steps, scores, least)  # (N, heads, T, T)
        if mask is not None:
            scores = ops.where(ops.cast(mask, "bool")[:, None, None, :], scores, least)
        mixed = ops.matmul(ops.softmax(scores, axis=3), value)
        mixed = ops.reshape(ops.transpose(mixed, (0, 2, 1, 3)), (size, time, self.channels))
        return self.out(mixed)


@keras.saving.register_keras_serializable("companion")
class GlobalAveragePool1d(Layer):
    """Mean over time: (N, T, C) to (N, C); with a mask, over the steps that are not masked."""

    def call(self, x: Tensor, mask: Any = None) -> Tensor:
        if mask is None:
            return ops.mean(x, axis=1)
        seen = ops.cast(mask, x.dtype)[:, :, None]  # (N, T, 1)
        return ops.sum(x * seen, axis=1) / ops.maximum(ops.sum(seen, axis=1), 1)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return None  # no steps are left
