"""Do shortcuts add to overfitting? The gap by depth and by number of images, plain and residual.

Digits of 8 x 8 pixels, every network trained for the same 200 steps, three seeds, each with its own
draw of the training images, the same for both arms. Beside it, blocks of one, two and three
convolutions at equal depth and parameters, and the three shortcuts for differing dimensions. The
learning rate of every network is the best of three on 300 images that are in neither part. About 6
minutes on one core.

    python -m companion.book.experiments.overfitting
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import nn

import companion.torch as cp
from companion import weights
from companion.book.experiments import common
from companion.data import Dataset, digits8

SEEDS = (0, 1, 2)
RATES = (0.02, 0.05, 0.15)
DEPTHS = (8, 20, 32)
SIZES = (100, 300, 1000)
HELD, STEPS, BATCH = 300, 200, 50
#: Convolutions in a stack of blocks; one, two and three divide it.
CONVOLUTIONS, WIDTH = 18, 8

Build = Callable[[int], nn.Module]


def drawn(digits: Dataset, size: int, seed: int, held: bool = False) -> Dataset:
    """Return ``size`` training images drawn by the seed; ``held`` tests on the validation part."""
    split = digits.validation(HELD)
    chosen = np.random.default_rng([seed, 8]).permutation(len(split.x_train))[:size]
    test = split if held else digits
    return replace(
        digits,
        x_train=split.x_train[chosen],
        y_train=split.y_train[chosen],
        x_test=test.x_test,
        y_test=test.y_test,
    )


def trained(build: Build, data: Dataset, seed: int, rate: float) -> dict[str, Any]:
    model = build(seed)
    epochs = round(STEPS / (len(data.x_train) // BATCH))
    settings = {"epochs": epochs, "batch_size": BATCH, "learning_rate": rate}
    with common.cpu_seconds() as seconds:
        history = cp.fit(model, data, seed=seed, progress=False, **settings)
    return {
        "learning_rate": rate,
        "seed": seed,
        "parameters": sum(p.numel() for p in model.parameters()),
        "last_epoch_loss": round(history.loss[-1], 4),
        "train_accuracy": round(cp.evaluate(model, data.x_train, data.y_train)[1], 4),
        "test_accuracy": round(cp.evaluate(model, data.x_test, data.y_test)[1], 4),
        "cpu_seconds": round(seconds[0], 2),
    }


def measured(runs: list[dict], build: Build, digits: Dataset, size: int, **place: Any) -> None:
    """Choose the rate on the validation part, the middle one among equals; then train each seed."""
    right = {}
    for rate in sorted(RATES, key=lambda rate: abs(np.log(rate / RATES[1]))):
        found = trained(build, drawn(digits, size, 7, held=True), 7, rate)
        common.noted(runs, part="validation", **place, size=size, **found)
        right[rate] = found["test_accuracy"]
    rate = max(right, key=right.__getitem__)
    for seed in SEEDS:
        found = trained(build, drawn(digits, size, seed), seed, rate)
        common.noted(runs, part="test", **place, size=size, **found)


def stack(layers: int, seed: int) -> nn.Module:
    """Blocks of so many convolutions, the last ReLU after the addition; 0 is the plain control."""

    def branch(count: int) -> nn.Sequential:
        one = [(cp.Conv2d(WIDTH, WIDTH), cp.BatchNorm2d(WIDTH), nn.ReLU()) for _ in range(count)]
        return nn.Sequential(*[part for parts in one for part in parts][:-1])

    shortcut, count = ("identity", layers) if layers else (None, 1)
    blocks = [
        cp.Residual(branch(count), shortcut, activation=nn.ReLU())
        for _ in range(CONVOLUTIONS // count)
    ]
    stem = [cp.Conv2d(1, WIDTH), cp.BatchNorm2d(WIDTH), nn.ReLU()]
    model = nn.Sequential(*stem, *blocks, cp.GlobalAveragePool(), cp.Dense(WIDTH, 10))
    weights.initialize(model, seed)
    return model


if __name__ == "__main__":
    torch.set_num_threads(1)
    digits, collected = digits8(), []
    for layers in (0, 1, 2, 3):
        place = {"of": "block", "layers": layers}
        measured(collected, lambda seed, n=layers: stack(n, seed), digits, 1000, **place)
    for option in ("A", "B", "C", "none"):
        place = {"of": "shortcut", "option": option}
        settings = {"shortcut": option} if option != "none" else {"residual": False}
        measured(
            collected,
            lambda seed, s=settings: cp.cifar_resnet(20, WIDTH, in_channels=1, seed=seed, **s),
            digits,
            1000,
            **place,
        )
    for depth in DEPTHS:
        for residual in (True, False):

            def build(seed: int, depth: int = depth, residual: bool = residual) -> nn.Module:
                return cp.cifar_resnet(depth, WIDTH, residual=residual, in_channels=1, seed=seed)

            for size in SIZES:
                place = {"of": "gap", "depth": depth, "residual": residual}
                measured(collected, build, digits, size, **place)
    common.store("overfitting", "companion/book/experiments/overfitting.py", collected)
