"""Does the best learning rate move with depth, and does the step size decide by how much?

Stacks of 4 to 64 blocks of one layer, on digits of 7 x 7 pixels. Only the blocks learn, so that one
rate is asked about; beside it, two arms (to 32 blocks) in which stem and last layer learn too. Each
arm and depth is trained at every rate of one grid of powers of two, which grows while the best lies
at an edge. What is stored is the loss on the last 800 training images after two epochs on the other
3,200.

    python -m companion.book.experiments.transfer
"""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Sequence
from typing import Any

import torch

from companion.book.experiments import common
from companion.book.experiments.steps import Stack, scores, train
from companion.data import Dataset, mnist

SEEDS = (0, 1, 2)
DEPTHS = (4, 8, 16, 32, 64)
EPOCHS = 2
#: Powers of two: where the search of each optimiser begins, and how far it may go on a side.
RATES = {"sgd": range(-5, 4), "adam": range(-13, -5)}
WIDER = 6
STACKS: dict[str, dict[str, Any]] = {
    "1, normalised": {"power": 0.0, "norm": True},
    "1/√L": {"power": 0.5},
    "1/L": {"power": 1.0},
}
#: Step, optimiser, whether stem and last layer learn too, and depths.
ARMS = [
    (name, optimizer, False, DEPTHS)
    for name in ("1/L", "1/√L", "1, normalised")
    for optimizer in RATES
]
ARMS += [("1/L", "adam", True, DEPTHS[:-1]), ("1/√L", "adam", True, DEPTHS[:-1])]


def losses(
    stack: Stack, data: Dataset, powers: Sequence[int]
) -> dict[tuple[int, int], float | None]:
    """Return the loss for each seed and power of two; none where it diverged."""
    pairs = [(seed, power) for power in powers for seed in SEEDS]
    rates = [2.0**power for _, power in pairs]
    _, weights = train(stack, data, [seed for seed, _ in pairs], rates, EPOCHS)
    found = scores(stack, weights, data.x_test, data.y_test)
    return {
        pair: round(loss, 5) if math.isfinite(loss) else None
        for pair, (loss, _) in zip(pairs, found, strict=True)
    }


def curve(
    runs: common.Runs, place: dict[str, Any], powers: Sequence[int], measure: Callable[..., Any]
) -> None:
    """Keep the losses at all these powers, and at more while the best lies at an edge."""
    means: dict[int, float] = {}

    def add(several: Sequence[int]) -> None:
        at = functools.cache(lambda: measure(several))
        for power in several:
            rows = [
                runs.row(
                    lambda s=seed, p=power: {"loss": at()[s, p]},
                    **place,
                    log2_rate=power,
                    seed=seed,
                )
                for seed in SEEDS
            ]
            each = [math.inf if row["loss"] is None else row["loss"] for row in rows]
            means[power] = sum(each) / len(each)

    add(powers)
    for _ in range(WIDER):
        best = min(means, key=means.__getitem__)
        if math.isinf(means[best]) or best == min(means):
            add([min(means) - 1])
        elif best == max(means):
            add([max(means) + 1])
        else:
            break


if __name__ == "__main__":
    torch.set_num_threads(1)
    stored = common.Runs("transfer", __file__)
    part = mnist().downsampled(2).validation()
    for name, optimizer, ends, depths in ARMS:
        for depth in depths:
            arm = Stack(depth, ends=ends, optimizer=optimizer, **STACKS[name])
            place = {"step": name, "optimizer": optimizer, "ends": ends, "blocks": depth}
            curve(stored, place, RATES[optimizer], functools.partial(losses, arm, part))
    stored.store()
