"""Networks for other data: vectors, token sequences, recorded speech."""

from __future__ import annotations

from typing import Any

import keras

from companion import _checks
from companion.tensorflow.blocks import _Block
from companion.tensorflow.layers import Dense, HiddenDense
from companion.tensorflow.merges import Highway, LayerScale, ScaledAdd
from companion.tensorflow.networks import Built
from companion.tensorflow.residual import Residual
from companion.tensorflow.sequences import (
    LSTM,
    BatchNorm1d,
    Conv1d,
    Embedding,
    LayerNorm,
    TimeAverage,
)


@keras.saving.register_keras_serializable("companion")
class MLPBlock(_Block):
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
        self,
        channels: int,
        norm: str = "none",
        merge: str = "add",
        residual: bool = True,
        **keras_options: Any,
    ) -> None:
        channels = _checks.positive_int("channels", channels)
        _checks.option("norm", norm, ("none", "batch", "layer"))
        _checks.option("merge", merge, ("add", "rezero", "layer_scale", "highway"))
        inside: list[keras.layers.Layer] = []
        for i in (1, 2):
            if norm != "none":
                make: Any = BatchNorm1d if norm == "batch" else LayerNorm
                inside.append(make(channels, name=f"norm{i}"))
            inside.append(keras.layers.ReLU(name=f"relu{i}"))
            inside.append(HiddenDense(channels, channels, name=f"dense{i}"))
        merges: dict[str, Any] = {
            "add": lambda: None,
            "rezero": ScaledAdd,
            "layer_scale": lambda: LayerScale(channels),
            "highway": lambda: Highway(channels),
        }
        arguments = {"channels": channels, "norm": norm, "merge": merge, "residual": residual}
        super().__init__(inside, arguments, merges[merge](), activation=False, **keras_options)


def residual_mlp(
    in_features: int,
    num_classes: int,
    blocks: int,
    channels: int = 64,
    norm: str = "none",
    merge: str = "add",
    residual: bool = True,
    seed: int | None = None,
) -> keras.Sequential:
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
        MLPBlock(channels, norm, merge, residual, name=str(i))
        for i in range(_checks.positive_int("blocks", blocks))
    ]
    parts = [
        keras.Input((in_features,)),
        Dense(in_features, channels, name="stem"),
        keras.Sequential(stack, name="blocks"),
        keras.layers.ReLU(name="relu"),
        Dense(channels, num_classes, name="dense"),
    ]
    arguments = {
        "in_features": in_features,
        "num_classes": num_classes,
        "blocks": blocks,
        "channels": channels,
        "norm": norm,
        "merge": merge,
        "residual": residual,
    }
    return Built(parts, "residual_mlp", arguments, seed)


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
    layers = [Residual(LSTM(channels, channels), shortcut, name=str(i)) for i in range(depth)]
    parts = [
        keras.Input((None,), dtype="int32"),
        Embedding(vocabulary, channels, name="embedding"),
        keras.Sequential(layers, name="layers"),
        Dense(channels, vocabulary, name="dense"),
    ]
    arguments = {
        "vocabulary": vocabulary,
        "depth": depth,
        "channels": channels,
        "residual": residual,
    }
    return Built(parts, "residual_lstm", arguments, seed)


@keras.saving.register_keras_serializable("companion")
class TemporalBlock(_Block):
    """Two dilated convolutions over time and a shortcut around both: (N, T, channels) to the same.

    Parameters
    ----------
    channels: of the stream. dilation: of both convolutions, default 1.
    residual: ``False`` gives the plain control, the same branch without a shortcut.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self, channels: int, dilation: int = 1, residual: bool = True, **keras_options: Any
    ) -> None:
        branch = [
            Conv1d(channels, channels, dilation=dilation, name="conv1"),
            BatchNorm1d(channels, name="norm1"),
            keras.layers.ReLU(name="relu1"),
            Conv1d(channels, channels, dilation=dilation, name="conv2"),
            BatchNorm1d(channels, name="norm2"),
        ]
        arguments = {"channels": channels, "dilation": dilation, "residual": residual}
        super().__init__(branch, arguments, **keras_options)


def speech_resnet(
    depth: int = 13,
    in_channels: int = 12,
    num_classes: int = 9,
    channels: int = 32,
    residual: bool = True,
    seed: int | None = None,
) -> keras.Sequential:
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
    stack = [TemporalBlock(channels, 2 ** (i % 3), residual, name=str(i)) for i in range(blocks)]
    parts = [
        keras.Input((None, in_channels)),
        Conv1d(in_channels, channels, name="stem"),
        BatchNorm1d(channels, name="norm"),
        keras.layers.ReLU(name="relu"),
        keras.Sequential(stack, name="blocks"),
        TimeAverage(name="pool"),
        Dense(channels, num_classes, name="dense"),
    ]
    arguments = {
        "depth": depth,
        "in_channels": in_channels,
        "num_classes": num_classes,
        "channels": channels,
        "residual": residual,
    }
    return Built(parts, "speech_resnet", arguments, seed)
