"""Dates of thirty locales into ISO 8601, and recall over a distance: depth against time.

LSTM stacks and Transformers as next-token models, each with its control, three seeds; the learning
rate of every arm is the better of two on held-out training days. About 50 minutes on one core.

    python -m companion.book.experiments.language
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch

import companion.tensorflow as cf
import companion.torch as cp
from companion.book.experiments import common
from companion.data import dates
from companion.translation import Translation

SEEDS = (0, 1, 2)
RATES = (0.003, 0.01)
LSTM = {"epochs": 4, "batch_size": 64}
TRANSFORMER = {"epochs": 4, "batch_size": 32}
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
        """Ten symbols, one filler, one question; 2,560 lines to train and 500 to test."""
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


def lstm(module: Any, vocabulary: int, depth: int, residual: bool, seed: int) -> Any:
    return module.residual_lstm(vocabulary, depth, 64, residual=residual, seed=seed)


def transformer(vocabulary: int, depth: int, arm: str, seed: int) -> Any:
    norm, residual = ("pre", False) if arm == "none" else (arm, True)
    return cp.transformer(vocabulary, depth, 32, norm=norm, residual=residual, seed=seed)


def trained(module: Any, model: Any, task: Any, **settings: Any) -> dict[str, float]:
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


def better_rate(build: Any, held: Any, **settings: Any) -> float:
    """The rate that says more characters rightly on held-out days, after half the epochs."""
    settings = {**settings, "epochs": settings["epochs"] // 2}
    right = {
        rate: trained(cp, build(7), held, learning_rate=rate, seed=7, **settings)["characters"]
        for rate in RATES
    }
    return max(right, key=right.__getitem__)


def translations(runs: list[dict]) -> None:
    pairs = dates(size=12_800)
    task, held = Translation.from_pairs(pairs), Translation.from_pairs(pairs.validation())
    vocabulary = task.num_classes
    for residual in (True, False):

        def stack(seed: int, depth: int = 4, module: Any = cp, residual: bool = residual) -> Any:
            return lstm(module, vocabulary, depth, residual, seed)

        rate = better_rate(stack, held, **LSTM)
        cases = [(cp, "torch", depth) for depth in (1, 2, 4, 6)] + [(cf, "tensorflow", 4)]
        for module, framework, depth in cases:
            for seed in SEEDS:
                model = stack(seed, depth, module)
                found = trained(module, model, task, learning_rate=rate, seed=seed, **LSTM)
                arm = {"model": "lstm", "arm": "residual" if residual else "plain"}
                place = {"framework": framework, "depth": depth, "seed": seed}
                common.noted(runs, **arm, **place, learning_rate=rate, **found)
    for arm in ("none", "post", "pre"):
        for depth in (4, 12):

            def network(seed: int, arm: str = arm, depth: int = depth) -> Any:
                return transformer(vocabulary, depth, arm, seed)

            lines = task.take(6400)
            rate = better_rate(network, held.first(6400), **TRANSFORMER)
            for seed in SEEDS:
                found = trained(
                    cp, network(seed), lines, learning_rate=rate, seed=seed, **TRANSFORMER
                )
                place = {"framework": "torch", "depth": depth, "seed": seed}
                common.noted(
                    runs, model="transformer", arm=arm, **place, learning_rate=rate, **found
                )


def recalls(runs: list[dict]) -> None:
    settings = {"epochs": 4, "batch_size": 64, "learning_rate": 0.01}
    for distance in (5, 20, 80):
        for seed in SEEDS:
            task = Recall.over(distance, seed)
            for depth in (1, 3):
                for residual in (True, False):
                    model = lstm(cp, 12, depth, residual, seed)
                    arm = {"model": "lstm", "arm": "residual" if residual else "plain"}
                    found = trained(cp, model, task, seed=seed, **settings)
                    common.noted(
                        runs,
                        task="recall",
                        distance=distance,
                        depth=depth,
                        seed=seed,
                        **arm,
                        **found,
                    )
            for arm in ("pre", "none"):
                found = trained(cp, transformer(12, 2, arm, seed), task, seed=seed, **settings)
                place = {"distance": distance, "depth": 2, "seed": seed}
                common.noted(runs, task="recall", model="transformer", arm=arm, **place, **found)


if __name__ == "__main__":
    torch.set_num_threads(1)
    collected: list[dict] = []
    recalls(collected)
    common.store("recall", "companion/book/experiments/language.py", collected)
    collected = []
    translations(collected)
    common.store("language", "companion/book/experiments/language.py", collected)
