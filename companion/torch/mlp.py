"""Residual multilayer perceptrons for vectors."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

from torch import nn

from companion import _checks
from companion.torch.layers import Dense, HiddenDense, skip_init
from companion.torch.merges import Highway, LayerScale, ScaledAdd
from companion.torch.residual import Residual
from companion.torch.resnet import build_sequential
from companion.torch.sequence_layers import (
    BatchNorm1d,
    LayerNorm,
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
            "layer_scale": lambda: LayerScale(channels, axis=-1),
            "highway": lambda: Highway(channels, axis=-1),
        }
        super().__init__(nn.Sequential(inside), "identity" if residual else None, merges[merge]())


@skip_init()
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
    return build_sequential(
        OrderedDict(
            stem=Dense(in_features, channels),
            blocks=nn.Sequential(*stack),
            relu=nn.ReLU(),
            dense=Dense(channels, num_classes),
        ),
        seed,
    )
