"""Do shortcuts add to overfitting? The gap by depth and by number of images, plain and residual.

Digits of 8 x 8 pixels, every network trained for the same 200 steps, five seeds, each with its own
draw of the training images, the same for both arms. Beside it, blocks of one, two and three
convolutions at equal depth and parameters, the three shortcuts for differing dimensions, and
branches that start silent. The learning rate of every network is searched on 300 images that are in
neither part, with as many steps. About 20 minutes on one core.

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

SEEDS = range(5)
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
    loss, right = cp.evaluate(model, data.x_test, data.y_test)
    return {
        "parameters": sum(p.numel() for p in model.parameters()),
        "last_epoch_loss": round(history.loss[-1], 4),
        "train_accuracy": round(cp.evaluate(model, data.x_train, data.y_train)[1], 4),
        "test_accuracy": round(right, 4),
        "test_loss": round(loss, 4),
        "cpu_seconds": round(seconds[0], 2),
    }


def measured(runs: common.Runs, build: Build, digits: Dataset, size: int, **place: Any) -> None:
    """Search the rate on the images held out, then train each seed."""

    def tried(rate: float, seed: int) -> tuple[float, float]:
        found = trained(build, drawn(digits, size, seed, held=True), seed, rate)
        return found["test_accuracy"], -found["test_loss"]

    rate = runs.best_rate(tried, common.SGD_RATES, **place, size=size)
    for seed in SEEDS:
        runs.row(
            lambda seed=seed: trained(build, drawn(digits, size, seed), seed, rate),
            part="test",
            **place,
            size=size,
            learning_rate=rate,
            seed=seed,
        )


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


def silent(seed: int, depth: int) -> nn.Module:
    """Return the network whose branches all start at zero (zero-gamma)."""
    model = network(seed, depth)
    weights.initialize(model, seed, "zero_gamma")
    return model


def network(seed: int, depth: int = 20, **options: Any) -> nn.Module:
    return cp.cifar_resnet(depth, WIDTH, in_channels=1, seed=seed, **options)


if __name__ == "__main__":
    torch.set_num_threads(1)
    digits, found = digits8(), common.Runs("overfitting", __file__)
    for layers in (0, 1, 2, 3):
        measured(
            found, lambda seed, n=layers: stack(n, seed), digits, 1000, of="block", layers=layers
        )
    for option in ("A", "B", "C", "none"):
        settings: dict[str, Any] = {"shortcut": option} if option != "none" else {"residual": False}
        measured(
            found,
            lambda seed, s=settings: network(seed, **s),
            digits,
            1000,
            of="shortcut",
            option=option,
        )
    for depth in (20, 56):
        for start, build in (("He", network), ("zero gamma", silent)):
            measured(
                found,
                lambda seed, b=build, d=depth: b(seed, depth=d),
                digits,
                1000,
                of="start",
                depth=depth,
                start=start,
            )
    for depth in DEPTHS:
        for residual in (True, False):
            for size in SIZES:
                measured(
                    found,
                    lambda seed, d=depth, r=residual: network(seed, depth=d, residual=r),
                    digits,
                    size,
                    of="gap",
                    depth=depth,
                    residual=residual,
                )
    found.store()
