"""Slow or unable? Both arms of every field of chapter 6 at about 1, 3 and 10 times a budget.

Networks, data and training are those of images, language, speech, medical and denoising. Every
budget has a learning-rate cycle of its own. At one and three times the budget each arm has the rate
that one search finds for it on the field's validation part, one seed; at ten times it takes the
rate of three times. What a field's own stored run holds already is not run again: :func:`scores`
knows where it lies. Three to six seeds. About 40 minutes on one core.

    python -m companion.book.experiments.budget
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

import numpy as np
import torch

import companion.torch as cp
from companion.book import results
from companion.book.experiments import common, denoising, images, language, medical, speech
from companion.data import brain, dates, digits8, japanese_vowels, photographs
from companion.translation import Translation

#: Epochs at 1, 3 and 10 times the budget of each field.
EPOCHS = {
    "images": (2, 6, 20),
    "language": (1, 4, 10),
    "speech": (20, 60, 200),
    "medical": (3, 10, 30),
    "denoising": (1, 3, 10),
}
TIMES = (1, 3, 10)
SEEDS, MORE_SEEDS = range(3), range(5)
#: Layers of the networks for images, and their seeds.
IMAGES = {32: MORE_SEEDS, 56: SEEDS, 20: SEEDS, 8: SEEDS}

Make = Callable[[int, int, float], dict[str, Any]]


def scores(field: str, depth: int, residual: bool, times: int, key: str = "score") -> np.ndarray:
    """Return one number of each run of one arm at 1, 3 or 10 times the budget, by seed.

    Parameters
    ----------
    field: images, language, speech, medical or denoising.
    key: ``"score"``: test accuracy, characters right, Dice of grey and white matter or PSNR; or
        the name of another number of the run.

    Raises
    ------
    ValueError: no such run.
    """
    of: dict[str, Any] = {"residual": residual, "epochs": EPOCHS[field][TIMES.index(times)]}
    if field == "speech" and times < max(TIMES):
        key = {"score": "test_accuracy"}.get(key, key)
        of |= {"framework": "torch", "training": "clean", "part": None}
        return results.column("speech", key, depth=depth, **of)
    if field == "language" and times == 3:
        key = {"score": "characters"}.get(key, key)
        arm = "residual" if residual else "plain"
        of = {"model": "lstm", "framework": "torch", "depth": depth, "arm": arm}
        return results.column("language", key, **of)
    if field == "medical" and times > min(TIMES):
        of |= {"part": "test" if times == 3 else "longer", "framework": "torch", "norm": "batch"}
        keys = ("grey", "white") if key == "score" else (key,)
        of |= {"blocks": 4, "long_skips": True}
        return np.mean([results.column("medical", key, **of) for key in keys], axis=0)
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
        report(runs, make, seeds, rate, **of, times=times, epochs=epochs)


def report(runs: common.Runs, make: Make, seeds: Iterable[int], rate: float, **of: Any) -> None:
    for seed in seeds:
        place = {"part": "test", **of, "learning_rate": rate, "seed": seed}
        runs.row(partial(make, of["epochs"], seed, rate), **place)


def beside(runs: common.Runs, score: Callable[[float], float], **of: Any) -> None:
    """Is the rate of a plain run at ten times the budget the right one? Its neighbours too.

    One seed, on the validation part, where ``score`` trains and scores.
    """
    of = {"field": of.pop("field"), **of, "residual": False, "times": max(TIMES)}
    rate = next(r for r in runs.rows if all(r.get(k) == v for k, v in of.items()))["learning_rate"]
    for near in (common._below(rate), rate, common._above(rate)):
        place = {"part": "beside", **of, "learning_rate": near, "seed": 7}
        runs.row(lambda near=near: {"score": round(score(near), 4)}, **place)


def beside_images(runs: common.Runs, depth: int) -> None:
    held, epochs = digits8().validation(images.HELD_OUT), EPOCHS["images"][-1]
    build = images.cifar_style(depth, residual=False)

    def score(rate: float) -> float:
        return images.reached(build, held, "torch", 7, epochs, rate)["test_accuracy"]

    beside(runs, score, field="images", depth=depth)


def by_images(runs: common.Runs, depths: tuple[int, ...]) -> None:
    digits, held = digits8(), digits8().validation(images.HELD_OUT)
    for depth in depths:
        for residual in (True, False):
            build = images.cifar_style(depth, residual)

            def make(epochs: int, seed: int, rate: float, build: Any = build) -> dict[str, Any]:
                row = images.reached(build, digits, "torch", seed, epochs, rate)
                return {"score": row["test_accuracy"], **row}

            search = partial(images.best_rate, runs, build, held)
            place = {"field": "images", "depth": depth, "residual": residual}
            ladder(runs, make, search, IMAGES[depth], **place)


def by_denoising(runs: common.Runs) -> None:
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
        ladder(runs, make, search, MORE_SEEDS, **place)


def by_medical(runs: common.Runs) -> None:
    """The deep U-Net with batch norm at its smallest budget; the others are stored."""
    slices = brain(noise=0.08)
    held, epochs = slices.validation(), EPOCHS["medical"][0]
    for residual in (True, False):
        arm = {"framework": "torch", "norm": "batch", "blocks": 4, "residual": residual}
        arm["long_skips"] = True

        def make(epochs: int, seed: int, rate: float, arm: Any = arm) -> dict[str, Any]:
            row = medical.trained(slices, arm, seed, epochs, rate)
            return {"score": round((row["grey"] + row["white"]) / 2, 4), **row}

        def score(rate: float, seed: int, arm: Any = arm) -> float:
            as_many = round(epochs * len(slices.x_train) / len(held.x_train))
            row = medical.trained(held, arm, seed, as_many, rate)
            return (row["grey"] + row["white"]) / 2

        place = {"field": "medical", "depth": 48, "residual": residual, "epochs": epochs}
        rate = runs.best_rate(score, common.SGD_RATES, **place)
        report(runs, make, SEEDS, rate, **place, times=1)


def by_speech(runs: common.Runs, depth: int, arms: tuple[bool, ...] = (True, False)) -> None:
    """Ten times the budget, at the stored rates of three times."""
    data = japanese_vowels()
    _, stored, many = EPOCHS["speech"]
    for residual in arms:
        of = {"depth": depth, "residual": residual}
        row = results.runs("speech", epochs=stored, training="clean", part=None, **of)[0]

        def make(epochs: int, seed: int, rate: float, of: Any = of) -> dict[str, Any]:
            place = {**of, "epochs": epochs, "learning_rate": rate, "seed": seed}
            row = speech.scored(cp, data, place)
            return {"score": row["test_accuracy"], **row}

        place = {"field": "speech", **of, "times": 10, "epochs": many}
        report(runs, make, SEEDS, row["learning_rate"], **place)


def by_language(runs: common.Runs, times: int, arms: tuple[bool, ...]) -> None:
    """Four stacked LSTMs, at the stored rates: their search took as many steps as 1x has."""
    task = Translation.from_pairs(dates(size=12_800))
    batch = {"batch_size": language.LSTM["batch_size"]}
    for residual in arms:
        arm = "residual" if residual else "plain"
        of = {"model": "lstm", "framework": "torch", "depth": 4, "arm": arm}
        stored = results.runs("language", **of)[0]

        def make(epochs: int, seed: int, rate: float, arm: str = arm) -> dict[str, Any]:
            model = language.lstm(cp, task.num_classes, 4, arm, seed)
            settings = {"epochs": epochs, "learning_rate": rate, "seed": seed, **batch}
            row = language.trained(cp, model, task, **settings)
            return {"score": row["characters"], **row}

        place = {"field": "language", "depth": 4, "residual": residual, "times": times}
        place["epochs"] = EPOCHS["language"][TIMES.index(times)]
        report(runs, make, SEEDS, stored["learning_rate"], **place)


if __name__ == "__main__":
    torch.set_num_threads(1)
    collected = common.Runs("budget", __file__)
    by_images(collected, (32,))
    by_language(collected, 1, arms=(True, False))
    by_medical(collected)
    by_speech(collected, 25, arms=(False,))
    by_language(collected, 10, arms=(False,))  # the other arm is at its ceiling at four times
    by_images(collected, (56,))
    by_speech(collected, 25, arms=(True,))
    by_denoising(collected)
    by_images(collected, (20, 8))
    beside_images(collected, 32)
    collected.store()
