"""Stacked LSTMs with shortcuts around each layer."""

from __future__ import annotations

from typing import Any

import keras

from companion import _checks
from companion.tensorflow._saving import Sequential
from companion.tensorflow.layers import Dense
from companion.tensorflow.residual import Residual
from companion.tensorflow.resnet import build_sequential
from companion.tensorflow.sequence_layers import (
    LSTM,
    Embedding,
)


def residual_lstm(
    vocabulary: int,
    depth: int,
    channels: int = 64,
    residual: bool = True,
    seed: int | None = None,
) -> keras.Sequential:
    """Return stacked LSTMs, each in a residual connection (Wu et al. 2016, arXiv 1609.08144).

    Tokens (N, T) to logits of the next token (N, T, vocabulary); section 3.1.

    Parameters
    ----------
    vocabulary: number of tokens. depth: LSTM layers. channels: of the stream, default 64.
    residual: ``False`` gives the plain stack with the same weights.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: any argument out of its range.
    """
    seed = _checks.seed(seed)
    shortcut: Any = "identity" if _checks.boolean("residual", residual) else None
    depth = _checks.positive_int("depth", depth)
    layers = [
        Residual(LSTM(channels, channels, name="branch"), shortcut, name=str(i))
        for i in range(depth)
    ]
    parts = [
        keras.Input((None,), dtype="int32"),
        Embedding(vocabulary, channels, name="embedding"),
        Sequential(layers, name="layers"),
        Dense(channels, vocabulary, name="dense"),
    ]
    return build_sequential(parts, "residual_lstm", seed)
