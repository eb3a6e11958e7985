"""Do the weights of trained residual blocks vary smoothly from block to block? Do their changes?

Stacks of 8 to 64 blocks on digits of 7 x 7 pixels, with a step of 1/L and of 1/√L, trained by SGD:
of one layer a block, from independent weights and from blocks that start alike; and of two layers
(to 32 blocks), from independent weights. Stem and last layer are random and stay: the blocks alone
learn, at one rate, which every arm and depth has searched by the same call on the last 800 training
images.

Of each kind of layer it stores how far neighbours lie apart, relative to their size, after training
and for the change that training made; the same for blocks in random order (the mean over all
pairs); and what the network is worth with half as many steps, each twice as long: with the weights
of every second block ("skipped"), and with the mean of two neighbours' weights ("merged").

    python -m companion.book.experiments.smoothness
"""

from __future__ import annotations

import functools
import itertools
import math
from typing import Any

import torch
from torch import Tensor

from companion.book.experiments import common
from companion.book.experiments.steps import Stack, scores, train
from companion.data import Dataset, mnist

SEEDS = (0, 1, 2)
DEPTHS = (8, 16, 32, 64)
EPOCHS = 4
RATES = (0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
STEPS = {"1/L": 1.0, "1/√L": 0.5}
#: Layers of a block, whether blocks start alike, and depths.
FAMILIES = ((1, (False, True), DEPTHS), (2, (False,), DEPTHS[:-1]))


def apart(several: Tensor) -> dict[str, float]:
    """Return how far matrices (L, n, n) lie apart, over their mean norm, and their cosines.

    "near" is the mean over neighbours, "any" over all pairs, which is what a random order of the
    same matrices gives on average.
    """
    flat = several.flatten(1).double()
    norms = flat.norm(dim=1)
    products = flat @ flat.T
    squares = norms.square()
    distances = (squares[:, None] + squares - 2 * products).clamp(min=0).sqrt() / norms.mean()
    cosines = products / norms[:, None] / norms
    pairs = torch.triu(torch.ones_like(products), diagonal=1) > 0
    return {
        "near": float(distances.diagonal(1).mean()),
        "any": float(distances[pairs].mean()),
        "near_cosine": float(cosines.diagonal(1).mean()),
        "any_cosine": float(cosines[pairs].mean()),
    }


def described(stack: Stack, before: list[Tensor], after: list[Tensor], at: int) -> dict[str, float]:
    """Return the numbers of network ``at``, for each kind of layer in a block."""
    found = {}
    for kind in range(stack.layers):
        mine = slice(1 + kind, -1, stack.layers)
        first, last = (torch.stack([w[at] for w in all_[mine]]) for all_ in (before, after))
        changed = last - first
        name = "last" if kind == stack.layers - 1 else "first"
        found[f"{name}_moved"] = float(changed.norm() / first.norm())
        for what, weights in (("weights", last), ("change", changed)):
            found.update({f"{name}_{what}_{k}": v for k, v in apart(weights).items()})
    return found


def merged(stack: Stack, weights: list[Tensor]) -> list[Tensor]:
    """Return the weights with the first block of each pair replaced by the mean of both."""
    body = list(weights[1:-1])
    for at in range(0, len(body), 2 * stack.layers):
        for kind in range(stack.layers):
            body[at + kind] = (body[at + kind] + body[at + kind + stack.layers]) / 2
    return [weights[0], *body, weights[-1]]


def run(stack: Stack, data: Dataset, rate: float) -> dict[int, dict[str, Any]]:
    """Train one network for each seed, and describe it; no numbers where it diverged."""
    before, after = train(stack, data, SEEDS, [rate] * len(SEEDS), EPOCHS)
    whole = scores(stack, after, data.x_test, data.y_test)
    halves = {
        "skipped": scores(stack, after, data.x_test, data.y_test, every=2),
        "merged": scores(stack, merged(stack, after), data.x_test, data.y_test, every=2),
    }
    train_part = scores(stack, after, data.x_train, data.y_train)
    names = ("test_loss", "test_accuracy")
    return {
        seed: {
            name: round(value, 5) if math.isfinite(value) else None  # it diverged
            for name, value in {
                **dict(zip(names, whole[i], strict=True)),
                **{
                    f"{how}_{k}": v
                    for how, found in halves.items()
                    for k, v in zip(names, found[i], strict=True)
                },
                **dict(zip(("train_loss", "train_accuracy"), train_part[i], strict=True)),
                **described(stack, before, after, i),
            }.items()
        }
        for i, seed in enumerate(SEEDS)
    }


def searched(runs: common.Runs, stack: Stack, data: Dataset, place: dict[str, Any]) -> float:
    """Return the best rate; the first rates of the search are trained side by side."""
    first, seeds = RATES, common.SEARCH_SEEDS

    def several(rates: tuple[float, ...], seed: int) -> dict[float, tuple[float, float]]:
        _, weights = train(stack, data, [seed] * len(rates), rates, EPOCHS)
        return dict(zip(rates, scores(stack, weights, data.x_test, data.y_test), strict=True))

    together = functools.cache(lambda seed: several(first, seed))

    def score(rate: float, seed: int) -> tuple[float, float]:
        loss, accuracy = (together(seed) if rate in first else several((rate,), seed))[rate]
        if loss != loss:
            raise FloatingPointError
        return accuracy, -loss

    return runs.best_rate(score, first, seeds, **place)


if __name__ == "__main__":
    torch.set_num_threads(1)
    stored = common.Runs("smoothness", __file__)
    small = mnist().downsampled(2)
    for layers, starts, depths in FAMILIES:
        for depth in depths:
            for (name, power), tied in itertools.product(STEPS.items(), starts):
                arm = Stack(depth, layers, power, tied)
                place = {"optimizer": "sgd", "layers": layers, "step": name, "tied": tied}
                place["blocks"] = depth
                best = searched(stored, arm, small.validation(), place)
                found = functools.cache(lambda arm=arm, best=best: run(arm, small, best))
                for seed in SEEDS:
                    stored.row(
                        lambda found=found, seed=seed: found()[seed],
                        **place,
                        learning_rate=best,
                        seed=seed,
                    )
    stored.store()
