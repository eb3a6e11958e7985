"""Layers for sequences, (N, T, C) in both frameworks: batch, time, channels."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from companion import _checks
from companion.torch._tracing import traced_as_leaf
from companion.torch.layers import Dense, draw_normal


class Conv1d(nn.Conv1d):
    """Convolution over time without bias, symmetric padding, He normal weights (fan-out).

    (N, T, in_channels) to (N, T, out_channels). With ``dilation`` d the kernel reads every d-th
    step, so that a few layers see a long stretch.

    Raises
    ------
    ValueError: a size below 1, an even kernel, an input of another rank or channel count.
    """

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int = 3, dilation: int = 1
    ) -> None:
        in_channels = _checks.positive_int("in_channels", in_channels)
        out_channels = _checks.positive_int("out_channels", out_channels)
        kernel_size = _checks.odd_int("kernel_size", kernel_size)
        dilation = _checks.positive_int("dilation", dilation)
        margin = dilation * (kernel_size // 2)
        super().__init__(
            in_channels, out_channels, kernel_size, padding=margin, dilation=dilation, bias=False
        )

    def reset_parameters(self) -> None:
        draw_normal(self.weight, 2 / self.weight[:, 0].numel())

    @traced_as_leaf
    def forward(self, x: Tensor) -> Tensor:
        _checks.rank("x", x.shape, 3, "(N, T, C)")
        _checks.channels("x", x.shape[2], self.in_channels)
        return super().forward(x.transpose(1, 2)).transpose(1, 2)


class BatchNorm1d(nn.Module):
    """Batch normalisation of vectors (N, C) or sequences (N, T, C), eps 1e-5, new weight 0.1.

    It has a ``torch.nn.BatchNorm1d`` and is none, since that one wants (N, C, T): what looks for
    norms in a network and replaces them, as ``SyncBatchNorm.convert_sync_batchnorm`` does, finds
    the one inside, which sees vectors.

    Raises
    ------
    ValueError: a batch with one value per channel, in training.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        channels = _checks.positive_int("channels", channels)
        self.vectors: nn.Module = nn.BatchNorm1d(channels, eps=1e-5, momentum=0.1)

    def extra_repr(self) -> str:
        return self.vectors.extra_repr()

    @traced_as_leaf
    def forward(self, x: Tensor) -> Tensor:
        _checks.channels("x", x.shape[-1], int(self.vectors.num_features))  # type: ignore[arg-type]
        if self.training:
            _checks.several_values("x", x.shape[:-1].numel())
        return self.vectors(x.flatten(0, -2)).view(x.shape)  # type: ignore[no-any-return]


class LayerNorm(nn.LayerNorm):
    """Normalise each vector (..., C) by its own mean and variance (Ba et al. 2016, 1607.06450).

    Raises
    ------
    ValueError: fewer than one channel, or an input with another number.
    """

    def __init__(self, channels: int) -> None:
        super().__init__(_checks.positive_int("channels", channels), eps=1e-5)

    @traced_as_leaf
    def forward(self, x: Tensor) -> Tensor:
        _checks.channels("x", x.shape[-1], self.normalized_shape[0])
        return super().forward(x)


class Embedding(nn.Embedding):
    """A learned vector for each token: (N, T) integers to (N, T, channels), variance 1 / channels.

    Raises
    ------
    ValueError: a size below 1, or tokens of another rank.
    """

    def __init__(self, vocabulary: int, channels: int) -> None:
        super().__init__(
            _checks.positive_int("vocabulary", vocabulary),
            _checks.positive_int("channels", channels),
        )

    def reset_parameters(self) -> None:
        draw_normal(self.weight, 1 / self.embedding_dim)

    @traced_as_leaf
    def forward(self, tokens: Tensor) -> Tensor:
        _checks.rank("tokens", tokens.shape, 2, "(N, T)")
        return super().forward(tokens)


class SinusoidalPositions(nn.Module):
    """Add sines and cosines of the position (Vaswani et al. 2017, arXiv 1706.03762, section 3.5).

    (N, T, channels) to the same shape; no parameters, any length. The waves are divided by
    sqrt(channels / 2), so that token and position enter with the same length.

    Raises
    ------
    ValueError: an odd number of channels.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.channels = _checks.multiple_of("channels", channels, 2)

    def extra_repr(self) -> str:
        return f"{self.channels}"

    @traced_as_leaf
    def forward(self, x: Tensor) -> Tensor:
        half = self.channels // 2
        rates = torch.exp(torch.arange(half, device=x.device) * (-math.log(1e4) / half))
        angles = torch.arange(x.shape[1], device=x.device)[:, None] * rates  # (T, half)
        waves = torch.cat([angles.sin(), angles.cos()], dim=1) / math.sqrt(half)
        return x + waves.to(x.dtype)


class LSTM(nn.LSTM):
    """One LSTM layer (Hochreiter and Schmidhuber 1997): (N, T, in_channels) to (N, T, channels).

    Normal weights of variance 1 / fan-in, forget gates open at the start (bias 1). PyTorch's second
    bias, which adds to the first, stays at zero and is not trained: Keras has one.
    """

    single_bias = True

    def __init__(self, in_channels: int, channels: int) -> None:
        super().__init__(
            _checks.positive_int("in_channels", in_channels),
            _checks.positive_int("channels", channels),
            batch_first=True,
        )
        dict(self.named_parameters())["bias_hh_l0"].requires_grad_(False)

    def reset_parameters(self) -> None:
        own = dict(self.named_parameters())
        for name in ("weight_ih_l0", "weight_hh_l0"):
            draw_normal(own[name], 1 / own[name].shape[1])
        nn.init.zeros_(own["bias_hh_l0"])
        nn.init.zeros_(own["bias_ih_l0"])
        with torch.no_grad():  # gates: in, forget, cell, out
            own["bias_ih_l0"][self.hidden_size : 2 * self.hidden_size] = 1

    @traced_as_leaf
    def forward(self, x: Tensor) -> Tensor:  # type: ignore[override]
        _checks.rank("x", x.shape, 3, "(N, T, C)")
        _checks.channels("x", x.shape[2], self.input_size)
        if x.device.type == "cpu" and torch.is_autocast_enabled("cpu"):
            with torch.autocast("cpu", enabled=False):  # its kernel cannot mix precisions
                return super().forward(x.to(next(self.parameters()).dtype))[0]
        return super().forward(x)[0]


class Attention(nn.Module):
    """softmax(Q K^T / sqrt(d)) V by head (Vaswani et al. 2017, arXiv 1706.03762, eq. 1).

    (N, T, channels) to the same shape.

    Parameters
    ----------
    channels: of the stream; ``heads`` must divide them.
    heads: default 4.
    causal: whether a token sees only itself and earlier ones, default False.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(self, channels: int, heads: int = 4, causal: bool = False) -> None:
        super().__init__()
        self.heads = _checks.positive_int("heads", heads)
        channels = _checks.multiple_of("channels", channels, heads)
        self.causal = _checks.boolean("causal", causal)
        self.query, self.key = Dense(channels, channels), Dense(channels, channels)
        self.value, self.out = Dense(channels, channels), Dense(channels, channels)

    def extra_repr(self) -> str:
        return f"heads={self.heads}, causal={self.causal}"

    def forward(self, x: Tensor) -> Tensor:
        def split(y: Tensor) -> Tensor:  # (N, T, C) to (N, heads, T, d)
            return y.unflatten(2, (self.heads, -1)).transpose(1, 2)

        query, key, value = split(self.query(x)), split(self.key(x)), split(self.value(x))
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])  # (N, heads, T, T)
        if self.causal:
            later = torch.ones_like(scores[0, 0], dtype=torch.bool).triu(1)  # (T, T)
            scores = scores.masked_fill(later, -math.inf)  # 16 bits hold it too
        mixed = scores.softmax(dim=3) @ value
        return self.out(mixed.transpose(1, 2).flatten(2))


class GlobalAveragePool1d(nn.Module):
    """Mean over time: (N, T, C) to (N, C)."""

    def forward(self, x: Tensor) -> Tensor:
        return x.mean(dim=1)
