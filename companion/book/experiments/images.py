"""Plain and residual networks on images: by depth, by difficulty of the image, by kind of block.

Five seeds each, ten for the digits at 8 layers; every learning rate is searched on a validation
part, one seed, with as many steps as are reported. Digits of 8 x 8 pixels by depth; the same
digits with fragments of other digits beside them, by depth; the hardest of them also for more
epochs; shortcuts and branches on the hardest; and the time of one step at CIFAR-10's size. About
40 minutes on one core.

    python -m companion.book.experiments.images
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
import torch

import companion.torch as cp
from companion import architectures
from companion.architectures import Architecture, Stage
from companion.book.experiments import common
from companion.data import Dataset, digits8

SEEDS = range(5)
MORE_SEEDS = tuple(range(10))  # where both kinds are level, at 8 layers, and the runs are short
#: How hard the digits are made: whether they move, and how many fragments lie beside them.
LEVELS = {
    "centred": (False, 0),
    "moved": (True, 0),
    "clutter": (True, 2),
    "more clutter": (True, 4),
}
SIDE, VERSIONS = 12, 4
#: Which depths are run at which level.
DEPTHS = {"centred": (8, 20), "clutter": (8, 20), "more clutter": (8, 20, 32)}
HARDEST = "more clutter"
HELD_OUT = 300  # training images to search on
EPOCHS = {"depth": 8, "difficulty": 3}
LONGER, LONGEST = 9, 18  # epochs on the hardest digits; the longest at the rates of the longer


def harder(
    images: np.ndarray, pool: np.ndarray, moves: bool, fragments: int, seed: int
) -> np.ndarray:
    """Return digits (N, 8, 8, 1) on a canvas of 12 x 12 pixels, with fragments of 4 x 4 pixels."""
    rng = np.random.default_rng(seed)
    canvas = np.zeros((len(images), SIDE, SIDE, 1), np.float32)
    for picture, image in zip(canvas, images, strict=True):
        places = [(image, rng.integers(0, SIDE - 7, 2) if moves else (2, 2))]
        for _ in range(fragments):
            (top, left), place = rng.integers(0, 5, 2), rng.integers(0, SIDE - 3, 2)
            other = pool[rng.integers(len(pool))]
            places.append((other[top : top + 4, left : left + 4], place))
        for piece, (y, x) in places:
            under = picture[y : y + len(piece), x : x + len(piece)]
            np.maximum(under, piece, out=under)
    return canvas


def made_harder(digits: Dataset, level: str, seed: int) -> Dataset:
    """Return the digits at this level; each training image appears in four versions."""
    pool, versions = digits.x_train, np.concatenate([digits.x_train] * VERSIONS)
    return replace(
        digits,
        x_train=harder(versions, pool, *LEVELS[level], seed),
        y_train=np.concatenate([digits.y_train] * VERSIONS),
        x_test=harder(digits.x_test, pool, *LEVELS[level], seed + 1000),
    )


def nearest(data: Dataset) -> float:
    """Return the test accuracy of copying the label of the nearest training image."""
    a, b = (x.reshape(len(x), -1) for x in (data.x_train, data.x_test))
    closest = ((a**2).sum(1) - 2 * b @ a.T).argmin(1)
    return float((data.y_train[closest] == data.y_test).mean())


def tables() -> dict[str, tuple[Architecture, str]]:
    """Return shortcuts and branches beside the plain network and option A: depth table and option.

    A bottleneck's stages have four times the channels, so that its 3x3 has as many as a basic
    block's; a separable block's twice as many; the wide network is shallower.
    """
    basic = architectures.cifar_resnet(20, 8)

    def like(block: str, times: int) -> Architecture:
        stages = [Stage(s.out_channels * times, s.blocks, s.stride) for s in basic.stages]
        return replace(basic, block=block, stages=tuple(stages))

    return {
        "B: projection where the shape changes": (basic, "B"),
        "pre-activation": (architectures.cifar_preact_resnet(20, 8), "A"),
        "bottleneck": (like("bottleneck", 4), "B"),
        "depthwise separable": (like("separable", 2), "B"),
        "wide: 8 layers, twice the channels": (architectures.cifar_resnet(8, 16), "A"),
        "C: projection everywhere": (basic, "C"),
        "squeeze-and-excitation": (like("se", 4), "B"),
    }


Build = Callable[..., Any]


def weights(model: Any) -> list[Any]:
    """The trainable weights of a network of either framework."""
    if isinstance(model, torch.nn.Module):
        return list(model.parameters())
    return model.trainable_weights


def trained(build: Build, data: Dataset, framework: str, seed: int, epochs: int, rate: float):
    module = importlib.import_module(f"companion.{framework}")
    model, settings = build(module, seed), {"epochs": epochs, "learning_rate": rate, "seed": seed}
    with common.cpu_seconds() as seconds:
        history = module.fit(model, data, batch_size=64, progress=False, **settings)
    return module, model, history, seconds[0]


def reached(build: Build, data: Dataset, *how: Any) -> dict[str, Any]:
    """Train one network, and return what it reached on training and test images."""
    module, model, history, seconds = trained(build, data, *how)
    return {
        "parameters": sum(int(np.prod(p.shape)) for p in weights(model)),
        "last_epoch_loss": round(history.loss[-1], 4),
        "train_accuracy": round(module.evaluate(model, data.x_train, data.y_train)[1], 4),
        "test_accuracy": round(module.evaluate(model, data.x_test, data.y_test)[1], 4),
        "cpu_seconds": round(seconds, 2),
    }


def best_rate(runs: common.Runs, build: Build, held: Dataset, **place: Any) -> float:
    """The rate with the highest accuracy on the images held out; the loss decides among equals."""

    def score(rate: float, seed: int) -> tuple[float, float]:
        module, model, *_ = trained(build, held, "torch", seed, place["epochs"], rate)
        loss, right = module.evaluate(model, held.x_test, held.y_test)
        return right, -loss

    return runs.best_rate(score, common.SGD_RATES, **place)


def report(
    runs: common.Runs,
    build: Build,
    data: dict[int, Dataset],
    rate: float,
    frameworks: tuple[str, ...] = ("torch",),
    **place: Any,
) -> None:
    for framework in frameworks:
        for seed in data:
            make = partial(reached, build, data[seed], framework, seed, place["epochs"], rate)
            at = {**place, "framework": framework, "learning_rate": rate, "seed": seed}
            runs.row(make, part="test", **at)


def cifar_style(depth: int, residual: bool) -> Build:
    def build(module: Any, seed: int) -> Any:
        return module.cifar_resnet(depth, 8, residual=residual, in_channels=1, seed=seed)

    return build


def by_depth(runs: common.Runs) -> None:
    digits, held = digits8(), digits8().validation(HELD_OUT)
    for depth in (8, 20, 32, 56):
        for residual in (True, False):
            build = cifar_style(depth, residual)
            place = {"of": "depth", "depth": depth, "residual": residual}
            place["epochs"] = EPOCHS["depth"]
            rate = best_rate(runs, build, held, **place)
            both = ("torch", "tensorflow") if depth == 20 else ("torch",)
            seeds = MORE_SEEDS if depth == 8 else SEEDS
            report(runs, build, dict.fromkeys(seeds, digits), rate, both, **place)


def on_level(level: str) -> tuple[Dataset, dict[int, Dataset]]:
    """Return the digits to search on, and those of each seed."""
    digits = digits8()
    held = made_harder(digits.validation(HELD_OUT), level, 7)
    return held, {seed: made_harder(digits, level, seed) for seed in SEEDS}


def by_difficulty(runs: common.Runs) -> None:
    for level in reversed(LEVELS):
        held, data = on_level(level)
        for seed in SEEDS:
            at = {"part": "nearest image", "level": level, "seed": seed}
            runs.row(lambda d=data[seed]: {"test_accuracy": round(nearest(d), 4)}, **at)
        for depth in DEPTHS.get(level, ()):
            for residual in (True, False):
                build = cifar_style(depth, residual)
                place = {"of": "difficulty", "level": level, "depth": depth}
                place |= {"residual": residual, "epochs": EPOCHS["difficulty"]}
                report(runs, build, data, best_rate(runs, build, held, **place), **place)


def longer(runs: common.Runs) -> dict[bool, float]:
    """Is the plain network of 20 layers unable on the hardest digits, or slow? Return the rates."""
    held, data = on_level(HARDEST)
    rates = {}
    for residual in (True, False):
        build = cifar_style(20, residual)
        place = {"of": "longer", "depth": 20, "residual": residual, "epochs": LONGER}
        rates[residual] = best_rate(runs, build, held, **place)
        report(runs, build, data, rates[residual], **place)
    return rates


def longest(runs: common.Runs, rates: dict[bool, float]) -> None:
    """Twice as long again, at the rates of the longer runs: a search would cost too much."""
    _, data = on_level(HARDEST)
    for residual, rate in rates.items():
        place = {"of": "longer", "depth": 20, "residual": residual, "epochs": LONGEST}
        report(runs, cifar_style(20, residual), data, rate, **place)


def by_block(runs: common.Runs) -> None:
    """On the hardest digits; "plain" and option A are there already, by difficulty."""
    held, data = on_level(HARDEST)
    for name, table in tables().items():

        def build(module: Any, seed: int, table: Any = table) -> Any:
            return module.ResNet(*table, in_channels=1, num_classes=10, seed=seed)

        place = {"of": "block", "network": name, "epochs": EPOCHS["difficulty"]}
        report(runs, build, data, best_rate(runs, build, held, **place), **place)


def cifar_steps(runs: common.Runs) -> None:
    """Time steps at CIFAR-10's size on random pixels: no accuracy, only seconds."""
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((128 * 4, 32, 32, 3)).astype(np.float32)
    random = replace(digits8(), x_train=pixels, y_train=rng.integers(0, 10, len(pixels)))
    how = {"epochs": 1, "batch_size": 128, "progress": False}
    for depth in (20, 56):
        model = cp.cifar_resnet(depth, seed=0)
        cp.fit(model, random, **how)  # the first call warms up

        def timed(seed: int, model: Any = model) -> dict[str, float]:
            with common.cpu_seconds() as seconds:
                cp.fit(model, random, seed=seed, **how)
            return {"seconds": round(seconds[0] / 4, 3)}

        for seed in SEEDS:
            runs.row(partial(timed, seed), part="cifar step", depth=depth, seed=seed)


if __name__ == "__main__":
    torch.set_num_threads(1)
    collected = common.Runs("images", __file__)
    cifar_steps(collected)
    by_difficulty(collected)
    rates = longer(collected)
    by_depth(collected)
    longest(collected, rates)
    by_block(collected)
    collected.store()
