"""Stacked LSTMs with shortcuts around each layer."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from companion import _checks
from companion.torch.layers import Dense, skip_init
from companion.torch.residual import Residual
from companion.torch.resnet import build_sequential
from companion.torch.sequence_layers import (
    LSTM,
    Embedding,
)


@skip_init()
def residual_lstm(
    vocabulary: int,
    depth: int,
    channels: int = 64,
    residual: bool = True,
    seed: int | None = None,
) -> nn.Sequential:
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
    layers = [Residual(LSTM(channels, channels), shortcut) for _ in range(depth)]
    return build_sequential(
        OrderedDict(
            embedding=Embedding(vocabulary, channels),
            layers=nn.Sequential(*layers),
            dense=Dense(channels, vocabulary),
        ),
        seed,
    )
