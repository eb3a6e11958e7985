"""All that decides how a run comes out, as one flat table: options, and ``settings.json``."""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from typing import Any

from companion import _checks
from companion.recipe import Recipe
from companion.registry import FRAMEWORKS, MODELS

#: Data sets of :mod:`companion.data` that are images with one label each.
DATA = ("mnist", "digits8")
#: The networks that classify images, under a signature that these commands know.
NETWORKS = {name: model for name, model in MODELS.items() if model.image}
#: What a network's function calls its sizes: what these commands call them.
SIZES = {"depth": "depth", "width": "width", "k": "width", "growth": "width"}
#: The settings that say which network it is.
DESIGN = ("model", "depth", "width", "residual", "block")
#: Those that say how it is trained.
RECIPE = Recipe().as_dict()

DEFAULTS: dict[str, Any] = {
    "framework": "torch",
    "model": "mnist_resnet",
    "depth": None,
    "width": None,
    "residual": True,
    "block": None,
    "data": "mnist",
    "threads": 1,
    **RECIPE,
}


_NUMBER = {"metavar": "N", "type": int}
#: Help, and what argparse is told beyond that; where that is nothing, it follows from the default.
OPTIONS: dict[str, tuple[str, dict[str, Any]]] = {
    "framework": ("default the run's own, or torch", {"choices": FRAMEWORKS}),
    "model": ("default {}", {"metavar": "NETWORK"}),
    "depth": ("layers, where there is a choice", _NUMBER),
    "width": ("channels of the first stage", _NUMBER),
    "residual": (
        "with shortcuts (default) or without: the control",
        {"action": argparse.BooleanOptionalAction},
    ),
    "block": ("a block of your own in the place of its blocks", {"metavar": "MODULE:CLASS"}),
    "data": (
        "mnist (5,000 of 28 x 28) or digits8 (1,797 of 8 x 8)",
        {"metavar": "NAME", "choices": DATA},
    ),
    "epochs": ("passes over the training part, default {}", {}),
    "batch_size": ("images a step, all processes together, default {}", {}),
    "learning_rate": ("peak of its one cycle, default {}", {}),
    "weight_decay": ("of weights, not of biases and norms, default {}", {}),
    "label_smoothing": ("probability given to all classes, default {}", {}),
    "shift": ("pixels that an image is moved by at most, default {}", {}),
    "optimizer": ("sgd or adam, default {}", {}),
    "precision": ("float32 or bfloat16, beside weights in float32", {}),
    "seed": ("of first weights, order and shifts, default {}", {}),
    "threads": ("runs repeat at the same number, default {}", {}),
}


def add_options(parser: argparse.ArgumentParser, *names: str) -> None:
    """Add some settings, default all; one that is not given is absent from the parsed options."""
    for name in names or OPTIONS:
        (about, how), default = OPTIONS[name], DEFAULTS[name]
        kind = type(default)
        how = how or {"type": kind, "metavar": {int: "N", float: "X", str: "NAME"}[kind]}
        flag = f"--{name.replace('_', '-')}"
        parser.add_argument(flag, default=argparse.SUPPRESS, help=about.format(default), **how)


def given(options: argparse.Namespace) -> dict[str, Any]:
    """Return the settings that were given on the command line."""
    return {name: value for name, value in vars(options).items() if name in DEFAULTS}


def checked(table: Mapping[str, Any]) -> dict[str, Any]:
    """Return the whole settings, with defaults for what the table lacks.

    Depth and width are None where the network comes in one size, the block where it is its own.

    Raises
    ------
    ValueError: a value out of its range, or one that the network does not have.
    """
    table = {**DEFAULTS, **table}
    _checks.option("framework", table["framework"], FRAMEWORKS)
    _checks.option("data", table["data"], DATA)
    _checks.positive_int("threads", table["threads"])
    Recipe(**{name: table[name] for name in RECIPE})
    _checks.option("optimizer", table["optimizer"], ("sgd", "adam"))
    model = _checks.option("model", table["model"], tuple(NETWORKS))
    known = NETWORKS[model]
    own = {SIZES[key]: size for key, size in known.options.items()}
    for name in ("depth", "width"):
        if name in own:
            table[name] = _checks.positive_int(
                name, own[name] if table[name] is None else table[name]
            )
        elif table[name] is not None:
            raise ValueError(f"{name} must be left out: {model} has only one, got {table[name]}")
    if not _checks.boolean("residual", table["residual"]) and not known.control:
        raise ValueError(f"residual must be True for {model}, which is nothing without shortcuts")
    if table["block"] is not None and not known.block:
        raise ValueError(f"block must be left out: {model} is built of its own")
    return table
