"""Residual multilayer perceptrons for vectors."""

from __future__ import annotations

from typing import Any

import keras

from companion import _checks
from companion.tensorflow._saving import Sequential
from companion.tensorflow.blocks import Block
from companion.tensorflow.layers import Dense, HiddenDense
from companion.tensorflow.merges import Highway, LayerScale, ScaledAdd
from companion.tensorflow.resnet import build_sequential
from companion.tensorflow.sequence_layers import (
    BatchNorm1d,
    LayerNorm,
)


@keras.saving.register_keras_serializable("companion")
class MLPBlock(Block):
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
            "rezero": lambda: ScaledAdd(name="merge"),
            "layer_scale": lambda: LayerScale(channels, axis=-1, name="merge"),
            "highway": lambda: Highway(channels, axis=-1, name="merge"),
        }
        shortcut = "identity" if _checks.boolean("residual", residual) else None
        super().__init__(inside, shortcut, merges[merge](), **keras_options)
        self.known_shape = (None, channels)


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
        Sequential(stack, name="blocks"),
        keras.layers.ReLU(name="relu"),
        Dense(channels, num_classes, name="dense"),
    ]
    return build_sequential(parts, "residual_mlp", seed)
