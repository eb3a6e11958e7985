"""Dates of thirty locales into ISO 8601, and recall over a distance: depth against time.

LSTM stacks and Transformers as next-token models, each with its control, three seeds; of recall at
distance 20, where seeds decide, twenty of one layer and ten of three. Learning rates are searched
as ``common.best_rate`` does. For the dates: every arm at every depth, on held-out training days,
after half the epochs (of four and six LSTMs, on half the lines too). For recall: every arm at
distance 20, which holds for the other distances; attention at 80, after half the epochs; on
drawings that no reported run has. About an hour on one core.

    python -m companion.book.experiments.language
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import torch

import companion.tensorflow as cf
import companion.torch as cp
from companion.book.experiments import common
from companion.data import dates
from companion.translation import Translation

SEEDS = (0, 1, 2)
DEPTHS = (1, 2, 4, 6)  # of the LSTM stacks
ARMS = {4: ("none", "none, post", "post", "pre"), 12: ("none", "post", "pre")}  # by blocks
LSTM = {"epochs": 4, "batch_size": 64}
TRANSFORMER = {"epochs": 4, "batch_size": 32}
RECALL = {"epochs": 4, "batch_size": 64}
LINES = 6400  # of the 12,800: for the Transformers, and for the search of deep stacks
DISTANCES = {1: (5, 20, 80), 3: (5, 20)}  # by layers of the LSTM
#: How often recall is run at distance 20, by layers of the LSTM; elsewhere as often as the dates.
OFTEN = {1: range(20), 3: range(10)}
#: Of its search: beyond the seeds of all runs that are reported.
RECALL_SEARCH = (100, 101)
COMMON = {"optimizer": "adam", "weight_decay": 0.0, "progress": False}


@dataclass(frozen=True)
class Recall:
    """Lines of a symbol, ``distance`` fillers and a question; the label is the symbol."""

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int = 12

    @classmethod
    def over(cls, distance: int, seed: int) -> Recall:
        """Ten symbols, one filler, one question: ten lines, 2,560 draws to train, 500 to test."""
        rng = np.random.default_rng([seed, distance])
        parts: list[np.ndarray] = []
        for count in (2560, 500):
            symbol = rng.integers(0, 10, (count, 1))
            filler, question = np.full((count, distance), 10), np.full((count, 1), 11)
            x = np.concatenate([symbol, filler, question], axis=1)
            y = np.full_like(x, -1)
            y[:, -1:] = symbol
            parts += [x, y]
        return cls(*parts)


def lstm(module: Any, vocabulary: int, depth: int, arm: str, seed: int) -> Any:
    return module.residual_lstm(vocabulary, depth, 64, residual=arm == "residual", seed=seed)


def transformer(vocabulary: int, depth: int, arm: str, seed: int) -> Any:
    """A network; in its controls the norm stands in the branch, or where post-norm has it."""
    controls = {"none": "pre", "none, post": "post"}
    norm, residual = controls.get(arm, arm), arm not in controls
    return cp.transformer(vocabulary, depth, 32, norm=norm, residual=residual, seed=seed)


def trained(module: Any, model: Any, task: Any, **settings: Any) -> dict[str, float]:
    """Train; of the first 500 tests, characters right after a right beginning, and dates."""
    with common.cpu_seconds() as seconds:
        history = module.fit(model, task, **COMMON, **settings)
    _, right = module.evaluate(model, task.x_test[:500], task.y_test[:500])
    result = {
        "last_epoch_loss": round(history.loss[-1], 4),
        "characters": round(right, 4),
        "cpu_seconds": round(seconds[0], 2),
    }
    if isinstance(task, Translation):
        result["exact"] = round(task.exact_match(lambda x: module.predict(model, x)), 4)
    return result


def score(
    build: Callable[[int], Any], task_of: Callable[[int], Any], **settings: Any
) -> Callable[[float, int], common.Score]:
    """What a search maximises: characters right on the task's test part, then the smaller loss."""

    def of(rate: float, seed: int) -> common.Score:
        model, task = build(seed), task_of(seed)
        cp.fit(model, task, learning_rate=rate, seed=seed, **COMMON, **settings)
        loss, right = cp.evaluate(model, task.x_test, task.y_test)
        return right, -loss

    return of


def half(settings: dict[str, int]) -> dict[str, int]:
    return {**settings, "epochs": settings["epochs"] // 2}


def stacks(runs: common.Runs, task: Translation, held: Translation) -> None:
    """Every depth in PyTorch; four layers in TensorFlow too, at the same rates."""
    rates = {}
    for depth, arm in product(DEPTHS, ("residual", "plain")):
        lines = held.take(LINES) if depth >= 4 else held

        def built(seed: int, depth: int = depth, arm: str = arm) -> Any:
            return lstm(cp, task.num_classes, depth, arm, seed)

        searched = score(built, lambda _, lines=lines: lines, **half(LSTM))
        place = {"model": "lstm", "arm": arm, "depth": depth}
        rates[depth, arm] = runs.best_rate(searched, common.ADAM_RATES, **place)
        stack(runs, task, "torch", depth, arm, rates[depth, arm])
    for arm in ("residual", "plain"):
        stack(runs, task, "tensorflow", 4, arm, rates[4, arm])


def stack(
    runs: common.Runs, task: Translation, framework: str, depth: int, arm: str, rate: float
) -> None:
    module = {"torch": cp, "tensorflow": cf}[framework]
    place = {"model": "lstm", "arm": arm, "framework": framework, "depth": depth}
    for seed in SEEDS:
        model = lstm(module, task.num_classes, depth, arm, seed)
        settings = {"learning_rate": rate, "seed": seed}
        runs.row(
            lambda m=model, s=settings: trained(module, m, task, **s, **LSTM), **place, **settings
        )


def transformers(runs: common.Runs, task: Translation, held: Translation, depth: int) -> None:
    task, held = task.take(LINES), held.take(LINES)
    for arm in ARMS[depth]:
        place = {"model": "transformer", "arm": arm, "depth": depth}

        def network(seed: int, arm: str = arm) -> Any:
            return transformer(task.num_classes, depth, arm, seed)

        searched = score(network, lambda _: held, **half(TRANSFORMER))
        rate = runs.best_rate(searched, common.ADAM_RATES, **place)
        for seed in SEEDS:
            settings = {"learning_rate": rate, "seed": seed}
            runs.row(
                lambda b=network, s=settings: trained(cp, b(s["seed"]), task, **s, **TRANSFORMER),
                framework="torch",
                **place,
                **settings,
            )


def recalls(runs: common.Runs) -> None:
    """One LSTM at three distances, three at two, attention at the longest alone."""

    def searched(build: Callable[[int], Any], distance: int, **settings: int) -> Any:
        return score(build, lambda seed: Recall.over(distance, seed), **settings)

    for depth, arm in product(OFTEN, ("plain", "residual")):

        def stacked(seed: int, depth: int = depth, arm: str = arm) -> Any:
            return lstm(cp, 12, depth, arm, seed)

        place = {"model": "lstm", "arm": arm, "depth": depth}
        find = searched(stacked, 20, **RECALL)
        seeds = RECALL_SEARCH if depth == 1 else RECALL_SEARCH[:1]
        rate = runs.best_rate(find, common.ADAM_RATES, seeds, **place, distance=20)
        for distance in DISTANCES[depth]:
            seeds = OFTEN[depth] if distance == 20 else SEEDS
            remembered(runs, stacked, seeds, **place, distance=distance, learning_rate=rate)
    for arm in ("none", "pre"):

        def attention(seed: int, arm: str = arm) -> Any:
            return transformer(12, 2, arm, seed)

        far = max(DISTANCES[1])
        place = {"model": "transformer", "arm": arm, "depth": 2, "distance": far}
        find = searched(attention, far, **half(RECALL))
        rate = runs.best_rate(find, common.ADAM_RATES, RECALL_SEARCH[:1], **place)
        remembered(runs, attention, SEEDS, **place, learning_rate=rate)


def remembered(
    runs: common.Runs, build: Callable[[int], Any], seeds: Iterable[int], **place: Any
) -> None:
    for seed in seeds:

        def make(seed: int = seed) -> dict[str, float]:
            task, rate = Recall.over(place["distance"], seed), place["learning_rate"]
            return trained(cp, build(seed), task, learning_rate=rate, seed=seed, **RECALL)

        runs.row(make, task="recall", **place, seed=seed)


def recall() -> None:
    runs = common.Runs("recall", __file__)
    recalls(runs)
    runs.store()


def translation() -> None:
    pairs = dates(size=12_800)
    task, held = Translation.from_pairs(pairs), Translation.from_pairs(pairs.validation())
    runs = common.Runs("language", __file__)
    transformers(runs, task, held, 4)
    stacks(runs, task, held)
    transformers(runs, task, held, 12)
    runs.store()


if __name__ == "__main__":
    torch.set_num_threads(1)
    recall()
    translation()
