"""Post-norm with more or less of a warm-up, against pre-norm: eight blocks, on dates.

The rate rises from zero over a share of the steps and then falls by a cosine to zero; the share is
none, a twentieth, a fifth or a half. Pre-norm stands beside it with none and with a fifth. Every
arm has its own rate, searched on held-out training days after half the steps. Dates count as right
if all ten characters are, of all 2,000 test pairs. About ten minutes on one core.

    python -m companion.book.experiments.warmup
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import nn

import companion.torch as cp
from companion.book.experiments import common
from companion.data import dates
from companion.translation import Translation

SEEDS = (0, 1, 2)
BLOCKS, STEPS, BATCH = 8, 240, 16
ARMS = [("post", share) for share in (0.0, 0.05, 0.2, 0.5)] + [("pre", 0.0), ("pre", 0.2)]
RATES = (0.0003, *common.ADAM_RATES[:3])


def factor(step: int, steps: int, share: float) -> float:
    """What the rate is multiplied by at a step: up over ``share`` of them, then down to zero."""
    up = round(share * steps)
    if step < up:
        return (step + 1) / (up + 1)
    return (1 + math.cos(math.pi * (step - up) / (steps - up))) / 2


def trained(task: Translation, norm: str, share: float, rate: float, seed: int, steps: int) -> Any:
    """Return a model, trained by Adam on batches that depend on the seed alone."""
    model = cp.transformer(task.num_classes, BLOCKS, 32, norm=norm, seed=seed)
    optimizer = torch.optim.Adam(model.parameters(), rate)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda t: factor(t, steps, share))
    x, y = torch.from_numpy(task.x_train), torch.from_numpy(task.y_train)
    rng = np.random.default_rng(seed)
    for _ in range(steps):
        batch = rng.choice(len(x), BATCH, replace=False)
        loss = F.cross_entropy(model(x[batch]).flatten(0, 1), y[batch].flatten(), ignore_index=-1)
        if not loss.isfinite():
            raise FloatingPointError
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model


def right(model: nn.Module, task: Translation) -> tuple[float, float, float]:
    """Return the shares of dates and of characters that are right, and minus the loss.

    A date is translated without a fault exactly if each character is right after the right
    beginning, so that one pass over the lines tells it.
    """
    logits = torch.from_numpy(cp.predict(model, task.x_test))
    y = torch.from_numpy(task.y_test)
    counts = y >= 0
    offset = len(task.pairs.source_vocabulary)  # only the target's tokens are written
    hits = (logits[..., offset:].argmax(-1) + offset == y) | ~counts
    loss = F.cross_entropy(logits.flatten(0, 1), y.flatten(), ignore_index=-1)
    # The last position is the end of the line, which is no part of the date.
    whole = hits | (counts.cumsum(1) == counts.sum(1, keepdim=True))
    return float(whole.all(1).float().mean()), float(hits[counts].float().mean()), -float(loss)


def measure() -> None:
    torch.set_num_threads(1)
    pairs = dates(size=12_800)
    task, held = Translation.from_pairs(pairs), Translation.from_pairs(pairs.validation())
    runs = common.Runs("warmup", __file__)
    for norm, share in ARMS:

        def score(rate: float, seed: int, norm: str = norm, share: float = share) -> Any:
            return right(trained(held, norm, share, rate, seed, STEPS // 2), held)[1:]

        def run(rate: float, seed: int, norm: str = norm, share: float = share) -> dict[str, float]:
            try:
                model = trained(task, norm, share, rate, seed, STEPS)
                dates_right, characters, loss = right(model, task)
            except FloatingPointError:
                return {"exact": 0.0, "characters": 0.0}
            found = {"exact": dates_right, "characters": characters, "test_loss": -loss}
            return {name: round(value, 4) for name, value in found.items()}

        place = {"norm": norm, "share": share}
        rate = runs.best_rate(score, RATES, **place)
        for seed in SEEDS:
            at = {"part": "test", **place, "learning_rate": rate, "seed": seed}
            runs.row(lambda r=rate, s=seed, run=run: run(r, s), **at)
    runs.store()


if __name__ == "__main__":
    measure()
