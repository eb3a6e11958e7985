"""Networks for other data: vectors, token sequences, recorded speech."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from companion import _checks
from companion.torch.layers import Dense, HiddenDense
from companion.torch.merges import Highway, LayerScale, ScaledAdd
from companion.torch.networks import started
from companion.torch.residual import Residual
from companion.torch.sequences import (
    LSTM,
    BatchNorm1d,
    Conv1d,
    Embedding,
    LayerNorm,
    TimeAverage,
)


class MLPBlock(Residual):
    """(norm,) ReLU, dense, twice; nothing after the merge: (N, channels) to the same shape.

    Parameters
    ----------
    channels: of the stream.
    norm: ``"none"`` (default), ``"batch"`` or ``"layer"``, before each ReLU.
    merge: ``"add"`` (default), ``"rezero"``, ``"layer_scale"`` or ``"highway"``.
    residual: ``False`` gives the plain control, the same branch without a shortcut.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self, channels: int, norm: str = "none", merge: str = "add", residual: bool = True
    ) -> None:
        channels = _checks.positive_int("channels", channels)
        _checks.option("norm", norm, ("none", "batch", "layer"))
        _checks.option("merge", merge, ("add", "rezero", "layer_scale", "highway"))
        residual = _checks.boolean("residual", residual)
        inside = OrderedDict[str, nn.Module]()
        for i in (1, 2):
            if norm != "none":
                make: Any = BatchNorm1d if norm == "batch" else LayerNorm
                inside[f"norm{i}"] = make(channels)
            inside[f"relu{i}"], inside[f"dense{i}"] = nn.ReLU(), HiddenDense(channels, channels)
        merges: dict[str, Any] = {
            "add": lambda: None,
            "rezero": ScaledAdd,
            "layer_scale": lambda: LayerScale(channels),
            "highway": lambda: Highway(channels),
        }
        super().__init__(nn.Sequential(inside), "identity" if residual else None, merges[merge]())


def residual_mlp(
    in_features: int,
    num_classes: int,
    blocks: int,
    channels: int = 64,
    norm: str = "none",
    merge: str = "add",
    residual: bool = True,
    seed: int | None = None,
) -> nn.Sequential:
    """Return dense, blocks, ReLU, dense: (N, in_features) to logits (N, num_classes).

    Parameters
    ----------
    in_features, num_classes: of inputs and of labels.
    blocks: each has two layers.
    channels, norm, merge, residual: see :class:`MLPBlock`.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: any argument out of its range.
    """
    seed = _checks.seed(seed)
    stack = [
        MLPBlock(channels, norm, merge, residual)
        for _ in range(_checks.positive_int("blocks", blocks))
    ]
    return started(
        OrderedDict(
            stem=Dense(in_features, channels),
            blocks=nn.Sequential(*stack),
            relu=nn.ReLU(),
            dense=Dense(channels, num_classes),
        ),
        seed,
    )


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
    return started(
        OrderedDict(
            embedding=Embedding(vocabulary, channels),
            layers=nn.Sequential(*layers),
            dense=Dense(channels, vocabulary),
        ),
        seed,
    )


class TemporalBlock(Residual):
    """Two dilated convolutions over time and a shortcut around both: (N, T, channels) to the same.

    Parameters
    ----------
    channels: of the stream. dilation: of both convolutions, default 1.
    residual: ``False`` gives the plain control, the same branch without a shortcut.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(self, channels: int, dilation: int = 1, residual: bool = True) -> None:
        branch = nn.Sequential(
            OrderedDict(
                conv1=Conv1d(channels, channels, dilation=dilation),
                norm1=BatchNorm1d(channels),
                relu1=nn.ReLU(),
                conv2=Conv1d(channels, channels, dilation=dilation),
                norm2=BatchNorm1d(channels),
            )
        )
        shortcut: Any = "identity" if _checks.boolean("residual", residual) else None
        super().__init__(branch, shortcut, activation=nn.ReLU())


def speech_resnet(
    depth: int = 13,
    in_channels: int = 12,
    num_classes: int = 9,
    channels: int = 32,
    residual: bool = True,
    seed: int | None = None,
) -> nn.Sequential:
    """Return residual convolutions over time: (N, T, in_channels) to logits (N, num_classes).

    Parameters
    ----------
    depth: 2n+1: a stem and n blocks of two layers, dilated by 1, 2, 4, 1, 2, 4, ...
    in_channels: features of one frame, default 12. num_classes: default 9.
    channels: of the stream, default 32.
    residual: ``False`` gives the plain control with the same weights.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: an even depth, or any argument out of its range.
    """
    seed = _checks.seed(seed)
    blocks = _checks.depth(depth, 2, 1)
    stack = [TemporalBlock(channels, 2 ** (i % 3), residual) for i in range(blocks)]
    return started(
        OrderedDict(
            stem=Conv1d(in_channels, channels),
            norm=BatchNorm1d(channels),
            relu=nn.ReLU(),
            blocks=nn.Sequential(*stack),
            pool=TimeAverage(),
            dense=Dense(channels, num_classes),
        ),
        seed,
    )
