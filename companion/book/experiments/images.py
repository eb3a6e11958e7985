"""Plain and residual networks on images: by depth, by difficulty of the image, by kind of block.

Five parts, three seeds each. Digits of 8 x 8 pixels by depth; the same digits made harder (moved,
then with fragments of other digits beside them) by depth, each at the best of three learning rates
on a validation part; the hardest of them for three times the epochs at one rate; shortcuts and
branches at one budget on MNIST at 14 x 14 pixels, rates chosen likewise; and the time of one step
at CIFAR-10's size. About half an hour on one core.

    python -m companion.book.experiments.images
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch

import companion.torch as cp
from companion import architectures
from companion.architectures import Architecture, Stage
from companion.book.experiments import common
from companion.data import Dataset, digits8, mnist

SEEDS = (0, 1, 2)
RATES = (0.02, 0.05, 0.15)
#: How hard the digits are made: whether they move, and how many fragments lie beside them.
LEVELS = {
    "centred": (False, 0),
    "moved": (True, 0),
    "clutter": (True, 2),
    "more clutter": (True, 4),
}
SIDE, VERSIONS = 12, 4
LONGER = {"epochs": 18, "learning_rate": 0.15}  # three times the epochs, one rate for both arms


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


def tables() -> dict[str, tuple[Architecture, str, bool]]:
    """Return shortcuts and branches at one budget: depth table, option, whether residual.

    A bottleneck's stages have four times the channels, so that its 3x3 has as many as a basic
    block's; a separable block's twice as many; the wide network is shallower.
    """
    basic = architectures.cifar_resnet(20, 8)

    def like(block: str, times: int) -> Architecture:
        stages = [Stage(s.out_channels * times, s.blocks, s.stride) for s in basic.stages]
        return replace(basic, block=block, stages=tuple(stages))

    return {
        "plain": (basic, "A", False),
        "A: zero-pad": (basic, "A", True),
        "B: projection where the shape changes": (basic, "B", True),
        "C: projection everywhere": (basic, "C", True),
        "pre-activation": (architectures.cifar_preact_resnet(20, 8), "A", True),
        "bottleneck": (like("bottleneck", 4), "B", True),
        "squeeze-and-excitation": (like("se", 4), "B", True),
        "depthwise separable": (like("separable", 2), "B", True),
        "wide: 8 layers, twice the channels": (architectures.cifar_resnet(8, 16), "A", True),
    }


Build = Callable[..., Any]


def trained(build: Build, data: Dataset, seed: int, framework: str = "torch", **settings: Any):
    module = importlib.import_module(f"companion.{framework}")
    model = build(module, seed)
    with common.cpu_seconds() as seconds:
        history = module.fit(model, data, seed=seed, batch_size=64, progress=False, **settings)
    return {
        "framework": framework,
        "learning_rate": settings["learning_rate"],
        "seed": seed,
        "parameters": sum(int(np.prod(p.shape)) for p in weights(model)),
        "last_epoch_loss": round(history.loss[-1], 4),
        "train_accuracy": round(module.evaluate(model, data.x_train, data.y_train)[1], 4),
        "test_accuracy": round(module.evaluate(model, data.x_test, data.y_test)[1], 4),
        "cpu_seconds": round(seconds[0], 2),
    }


def weights(model: Any) -> list[Any]:
    """The trainable weights of a network of either framework."""
    if isinstance(model, torch.nn.Module):
        return list(model.parameters())
    return model.trainable_weights


def best_rate(runs: list[dict], build: Build, held: Dataset, epochs: int, **place: Any) -> float:
    """The rate with the highest accuracy on the validation part; the middle one among equals."""
    right = {}
    for rate in sorted(RATES, key=lambda rate: abs(np.log(rate / RATES[1]))):
        found = trained(build, held, 7, learning_rate=rate, epochs=epochs)
        common.noted(runs, part="validation", **place, **found)
        right[rate] = found["test_accuracy"]
    return max(right, key=right.__getitem__)


def cifar_style(depth: int, residual: bool, in_channels: int = 1, width: int = 8) -> Build:
    def build(module: Any, seed: int) -> Any:
        return module.cifar_resnet(
            depth, width, residual=residual, in_channels=in_channels, seed=seed
        )

    return build


def by_depth(runs: list[dict]) -> None:
    digits = digits8()
    held = digits.validation(300)
    for depth in (8, 20, 32, 56):
        for residual in (True, False):
            build = cifar_style(depth, residual)
            place = {"of": "depth", "depth": depth, "residual": residual}
            rate = best_rate(runs, build, held, 12, **place)
            for framework in ("torch", "tensorflow") if depth == 20 else ("torch",):
                for seed in SEEDS:
                    found = trained(build, digits, seed, framework, learning_rate=rate, epochs=12)
                    common.noted(runs, part="test", **place, **found)


def by_difficulty(runs: list[dict]) -> None:
    digits = digits8()
    for level in LEVELS:
        held = made_harder(digits.validation(300), level, 7)
        data = {seed: made_harder(digits, level, seed) for seed in SEEDS}
        for seed in SEEDS:
            right = round(nearest(data[seed]), 4)
            common.noted(runs, part="nearest image", level=level, seed=seed, test_accuracy=right)
        for depth in (8, 20, 32):
            for residual in (True, False):
                build = cifar_style(depth, residual)
                place = {"of": "difficulty", "level": level, "depth": depth, "residual": residual}
                rate = best_rate(runs, build, held, 3, **place)
                for seed in SEEDS:
                    found = trained(build, data[seed], seed, learning_rate=rate, epochs=6)
                    common.noted(runs, part="test", **place, **found)


def longer(runs: list[dict]) -> None:
    """Is the plain network of 20 layers unable on the hardest digits, or slow?"""
    for level, residual, seed in product(("clutter", "more clutter"), (True, False), SEEDS):
        data = made_harder(digits8(), level, seed)
        found = trained(cifar_style(20, residual), data, seed, **LONGER)
        place = {"of": "longer", "level": level, "depth": 20, "residual": residual}
        common.noted(runs, part="test", **place, **found)


def by_block(runs: list[dict]) -> None:
    digits = mnist().downsampled()
    held = digits.validation()
    for name, table in tables().items():

        def build(module: Any, seed: int, table: Any = table) -> Any:
            return module.ResNet(*table, in_channels=1, num_classes=10, seed=seed)

        place = {"of": "block", "network": name}
        rate = best_rate(runs, build, held, 2, **place)
        for seed in SEEDS:
            found = trained(build, digits, seed, learning_rate=rate, epochs=4)
            common.noted(runs, part="test", **place, **found)


def cifar_steps(runs: list[dict]) -> None:
    """Time steps at CIFAR-10's size on random pixels: no accuracy, only seconds."""
    rng = np.random.default_rng(0)
    pixels = rng.standard_normal((128 * 4, 32, 32, 3)).astype(np.float32)
    random = replace(digits8(), x_train=pixels, y_train=rng.integers(0, 10, len(pixels)))
    for depth in (20, 56):
        model = cp.cifar_resnet(depth, seed=0)
        cp.fit(model, random, epochs=1, batch_size=128, progress=False)
        for seed in SEEDS:
            with common.cpu_seconds() as seconds:
                cp.fit(model, random, epochs=1, batch_size=128, seed=seed, progress=False)
            common.noted(
                runs, part="cifar step", depth=depth, seed=seed, seconds=round(seconds[0] / 4, 3)
            )


if __name__ == "__main__":
    torch.set_num_threads(1)
    collected: list[dict] = []
    cifar_steps(collected)
    by_depth(collected)
    by_block(collected)
    by_difficulty(collected)
    longer(collected)
    common.store("images", "companion/book/experiments/images.py", collected)
