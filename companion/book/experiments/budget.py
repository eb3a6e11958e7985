"""Slow or unable? Plain and residual networks at 1, 3 and 10 times a budget, by field.

Run here: the digits of 8 x 8 pixels at 32 layers (five seeds), the denoising of weak noise without
a norm and the dates of four LSTMs (three), with the networks, data and training of images,
denoising and language. Every budget has a learning-rate cycle of its own. At one and three times
the budget each arm has the rate that one search finds for it on the field's validation part, one
seed; at ten times it takes the rate of three times. The LSTMs have the rate of their stored search,
which took as many steps as one budget, throughout. What other stored runs hold is not run again:
:func:`scores` knows where it lies. About 25 minutes on one core.

    python -m companion.book.experiments.budget
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import torch

import companion.torch as cp
from companion.book import results
from companion.book.experiments import common, denoising, images, language
from companion.data import dates, digits8, photographs
from companion.translation import Translation

#: Epochs of each field at its budgets; the first is the budget that the others are multiples of.
EPOCHS = {
    "images": (2, 6, 20),
    "harder images": (3, 9, 18),
    "MNIST": (4, 12, 40),
    "language": (1, 4, 12),
    "speech": (20, 60),
    "medical": (10, 30),
    "denoising": (1, 3, 10),
}
TIMES = (1, 3, 10)  # of those that are run here
DEPTH = 32  # of the networks for images
LSTMS = 4
Make = Callable[[int, int, float], dict[str, Any]]


def scores(
    field: str, depth: int, residual: bool, epochs: int, key: str = "test_accuracy"
) -> np.ndarray:
    """Return one number of each run of one arm at one budget, by seed, wherever it is stored.

    Parameters
    ----------
    field: one of ``EPOCHS``.
    depth: in layers; of tissue and denoising one depth is stored.
    key: ``"test_accuracy"``, which in language stands for the exact answers, in medicine for the
        mean Dice of grey and white matter and in denoising for the PSNR; or the name of another
        number of the run.

    Raises
    ------
    ValueError: no such run.
    """
    of: dict[str, Any] = {"residual": residual, "epochs": epochs}
    first = epochs == EPOCHS[field][0]
    if field == "MNIST":
        return results.column("depth_longer", key, depth=depth, **of)
    if field == "harder images":
        which = {"of": "difficulty", "level": images.HARDEST} if first else {"of": "longer"}
        return results.column("images", key, part="test", depth=depth, **which, **of)
    if field == "language" and epochs == language.LSTM["epochs"]:
        arm = {"model": "lstm", "framework": "torch", "arm": "residual" if residual else "plain"}
        key = {"test_accuracy": "exact"}.get(key, key)
        return results.column("language", key, depth=depth, **arm)
    if field == "speech":
        of |= {"framework": "torch", "training": "clean", "part": None}
        return results.column("speech", key, depth=depth, **of)
    if field == "medical":
        of |= {"part": "test" if first else "longer", "framework": "torch", "norm": "batch"}
        of |= {"blocks": 4, "long_skips": True}
        keys = ("grey", "white") if key == "test_accuracy" else (key,)
        return np.mean([results.column("medical", name, **of) for name in keys], axis=0)
    key = {"test_accuracy": "score"}.get(key, key)
    return results.column("budget", key, part="test", field=field, depth=depth, **of)


def ladder(
    runs: common.Runs,
    make: Make,
    search: Callable[..., float],
    seeds: Iterable[int],
    **of: Any,
) -> None:
    """One arm of one field at its three budgets: ``make`` takes epochs, a seed and a rate."""
    rate = 0.0
    for times, epochs in zip(TIMES, EPOCHS[of["field"]], strict=True):
        if times < max(TIMES):
            rate = search(**of, epochs=epochs)
        for seed in seeds:
            place = {"part": "test", **of, "times": times, "epochs": epochs}
            place |= {"learning_rate": rate, "seed": seed}
            runs.row(partial(make, epochs, seed, rate), **place)


def by_images(runs: common.Runs, seeds: Iterable[int]) -> None:
    digits = digits8()
    held = digits.validation(images.HELD_OUT)
    for residual in (True, False):
        build = images.cifar_style(DEPTH, residual)

        def make(epochs: int, seed: int, rate: float, build: Any = build) -> dict[str, Any]:
            row = images.reached(build, digits, "torch", seed, epochs, rate)
            return {"score": row["test_accuracy"], **row}

        search = partial(images.best_rate, runs, build, held)
        ladder(runs, make, search, seeds, field="images", depth=DEPTH, residual=residual)


def by_denoising(runs: common.Runs, seeds: Iterable[int]) -> None:
    """Six convolutions without a norm at the weakest noise; both last layers start at random."""
    photos = photographs()
    held, sigma = photos.validation(), denoising.SIGMAS[0]
    for residual in (True, False):
        of = {"arm": "residual" if residual else "direct", "sigma": sigma, "norm": False}

        def make(epochs: int, seed: int, rate: float, of: Any = of) -> dict[str, Any]:
            place = {**of, "epochs": epochs, "learning_rate": rate}
            row = denoising.run(photos, place, "torch", seed)
            return {"score": row["psnr"], "cpu_seconds": row["cpu_seconds"]}

        def search(of: Any = of, **place: Any) -> float:
            return denoising.best_rate(runs, held, (7,), **of, **place)

        place = {"field": "denoising", "depth": denoising.DEPTH, "residual": residual}
        ladder(runs, make, search, seeds, **place)


def by_language(runs: common.Runs, seeds: Iterable[int]) -> None:
    """Four stacked LSTMs; four epochs are stored with the page on language."""
    task = Translation.from_pairs(dates(size=12_800))
    for epochs, residual, seed in product(EPOCHS["language"], (True, False), seeds):
        if epochs == language.LSTM["epochs"]:
            continue
        arm = "residual" if residual else "plain"
        of = {"model": "lstm", "framework": "torch", "depth": LSTMS, "arm": arm}
        settings = {**language.LSTM, "epochs": epochs, "seed": seed}
        settings["learning_rate"] = results.column("language", "learning_rate", **of)[0]

        def make(arm: str = arm, settings: Any = settings) -> dict[str, Any]:
            model = language.lstm(cp, task.num_classes, LSTMS, arm, settings["seed"])
            row = language.trained(cp, model, task, **settings)
            return {"score": row["exact"], **row}

        place = {"part": "test", "field": "language", "depth": LSTMS, "residual": residual}
        place |= {key: settings[key] for key in ("epochs", "learning_rate", "seed")}
        runs.row(make, **place)


if __name__ == "__main__":
    torch.set_num_threads(1)
    collected = common.Runs("budget", __file__)
    by_denoising(collected, range(3))
    by_images(collected, range(5))
    by_language(collected, range(3))
    collected.store()
