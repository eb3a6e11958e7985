"""How much do the late blocks of a pre-norm network do, and does a factor on the norms help?

Two networks: a Transformer of 12 blocks on dates of thirty locales (400 steps of 16 lines), and the
residual network of 20 blocks with layer norm on images of 7 x 7 pixels that the FAQ takes apart
(four epochs). Arms, which share their initial weights and differ in the norms alone:

- ``pre``: a norm at the start of each branch.
- ``scaled``: the output of each norm in block l times 1/sqrt(l), LayerNorm Scaling (Sun et al.
  2025, arXiv 2502.05795).
- ``constant``: in every block times one number, the root of the mean of 1/l. The branches add as
  much variance in all as those of ``scaled``, and each block as much as the others.
- ``reversed``: the factors of ``scaled``, the smallest first.
- ``peri``: a norm before and one after each branch (Kim et al. 2025, arXiv 2502.02732).
- ``post``: the norm behind the addition.

The last three on images alone. Of each network, before and after training: the variance of the
stream by depth, what each block changes, and the loss without it. Rates of every arm come from one
search on held-out examples, of the Transformers after a quarter of the steps. About ten minutes on
one core.

    python -m companion.book.experiments.late_layers
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import companion.torch as cp
from companion import weights
from companion.book.experiments import common
from companion.data import dates, mnist
from companion.torch import probes
from companion.torch.transformer import NormalizedBranch, Scale
from companion.translation import Translation

SEEDS = (0, 1, 2, 3, 4)
ARMS = ("pre", "scaled", "constant", "reversed", "peri", "post")
SCALED = ("scaled", "constant", "reversed")
DATES: dict[str, Any] = {"epochs": 2, "batch_size": 16, "optimizer": "adam", "weight_decay": 0.0}
DIGITS: dict[str, Any] = {"epochs": 4, "optimizer": "adam"}
BLOCKS = {"dates": 12, "digits": 20}
LINES = 3200  # to train on
EXAMPLES = {"dates": 150, "digits": 1000}  # to measure on, of the test part
#: Of the Transformers, which take longest.
ON_DATES, SEEDS_ON_DATES = ("pre", "scaled", "constant"), (0, 1, 2)


def factors(arm: str, blocks: int) -> list[float]:
    """What multiplies the output of each norm, by block."""
    scaled = [layer**-0.5 for layer in range(1, blocks + 1)]
    constant = math.sqrt(sum(factor**2 for factor in scaled) / blocks)
    rules = {"scaled": scaled, "constant": [constant] * blocks, "reversed": scaled[::-1]}
    return rules.get(arm, [1.0] * blocks)


def on_dates(arm: str, vocabulary: int, seed: int) -> nn.Sequential:
    model = cp.transformer(vocabulary, BLOCKS["dates"], 32, seed=seed)
    if arm in SCALED:
        for block, factor in zip(model.blocks, factors(arm, BLOCKS["dates"]), strict=True):
            for branch in (m for m in block.modules() if isinstance(m, NormalizedBranch)):
                branch.norm = nn.Sequential(branch.norm, Scale(factor))
    return model


def on_digits(arm: str, seed: int) -> nn.Sequential:
    model = cp.residual_mlp(49, 10, BLOCKS["digits"], 64, "layer", seed=seed)
    for block, factor in zip(model.blocks, factors(arm, BLOCKS["digits"]), strict=True):
        branch = block.branch
        if arm in SCALED:
            branch.norm1 = nn.Sequential(branch.norm1, Scale(factor))
            branch.norm2 = nn.Sequential(branch.norm2, Scale(factor))
        elif arm == "peri":
            branch.append(cp.LayerNorm(64))
        elif arm == "post":
            block.activation, branch.norm1 = branch.norm1, nn.Identity()
    weights.initialize(model, seed)
    return nn.Sequential(nn.Flatten(), model)


def parts(model: nn.Module) -> list[list[str]]:
    """The residual connections of each block, by name."""
    found: dict[str, list[str]] = {}
    for name in probes.residual_blocks(model):
        block = name.split("blocks.")[1].split(".")[0]
        found.setdefault(block, []).append(name)
    return list(found.values())


def streams(model: nn.Sequential, x: Tensor, start: int) -> list[Tensor]:
    """The stream before the first block and after each, one vector in a row; steps from start."""
    kept: list[Tensor] = []
    blocks = model[1].blocks if hasattr(model[1], "blocks") else model.blocks
    hooks = [blocks[0].register_forward_pre_hook(lambda module, inputs: kept.append(inputs[0]))]
    hooks += [b.register_forward_hook(lambda module, inputs, y: kept.append(y)) for b in blocks]
    with torch.no_grad():
        model(x)
    for hook in hooks:
        hook.remove()
    return [(y[:, start:] if y.ndim == 3 else y).flatten(0, -2) for y in kept]


def by_depth(model: nn.Sequential, x: Tensor, start: int) -> dict[str, list[float]]:
    """Variance of the stream; what each block changes, over the stream's length; its cosine."""
    found = streams(model, x, start)
    pairs = list(zip(found, found[1:], strict=False))
    return {
        "variance": [round(float(y.var()), 5) for y in found],
        "change": [round(float((y - x).norm() / x.norm()), 5) for x, y in pairs],
        "cosine": [round(float(torch.cosine_similarity(x, y).mean()), 5) for x, y in pairs],
    }


def lesions(model: nn.Sequential, x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
    """The loss that is added without each block, and without the last quarter and half."""
    whole = cp.evaluate(model, x, y)[0]
    blocks = parts(model)

    def added(without: list[list[str]]) -> float:
        with probes.without_blocks(model, [name for block in without for name in block]):
            return round(cp.evaluate(model, x, y)[0] - whole, 5)

    return {
        "added": [added([block]) for block in blocks],
        "added_quarter": added(blocks[-(len(blocks) // 4) :]),
        "added_half": added(blocks[-(len(blocks) // 2) :]),
    }


def measured(
    model: nn.Sequential, task: Any, start: int, seed: int, rate: float, **settings: Any
) -> dict[str, Any]:
    examples = EXAMPLES["dates" if start else "digits"]
    x, y = task.x_test[:examples], task.y_test[:examples]
    seen = torch.from_numpy(x)
    before = by_depth(model, seen, start)
    with common.cpu_seconds() as seconds:
        cp.fit(model, task, learning_rate=rate, seed=seed, progress=False, **settings)
    loss, right = cp.evaluate(model, task.x_test[:500], task.y_test[:500])
    return {
        "loss": round(loss, 5),
        "accuracy": round(right, 4),
        "start": before,
        "trained": {**by_depth(model, seen, start), **lesions(model, x, y)},
        "cpu_seconds": round(seconds[0], 1),
    }


def search(
    runs: common.Runs,
    place: dict[str, str],
    build: Callable[[int], nn.Sequential],
    held: Any,
    settings: dict[str, Any],
) -> float:
    """The arm's rate, searched on the held-out task."""

    def score(rate: float, seed: int) -> common.Score:
        model = build(seed)
        cp.fit(model, held, learning_rate=rate, seed=seed, progress=False, **settings)
        loss, right = cp.evaluate(model, held.x_test, held.y_test)
        return right, -loss

    return runs.best_rate(score, common.ADAM_RATES, **place)


def digits(runs: common.Runs) -> None:
    tiny = mnist().downsampled(2)
    for arm in ARMS:
        place = {"task": "digits", "arm": arm}
        rate = search(
            runs, place, lambda seed, arm=arm: on_digits(arm, seed), tiny.validation(), DIGITS
        )
        for seed in SEEDS:
            runs.row(
                lambda a=arm, s=seed, r=rate: measured(on_digits(a, s), tiny, 0, s, r, **DIGITS),
                part="run",
                learning_rate=rate,
                seed=seed,
                **place,
            )


def translation(runs: common.Runs) -> None:
    pairs = dates(size=12_800)
    task = Translation.from_pairs(pairs).take(LINES)
    held = Translation.from_pairs(pairs.validation()).take(LINES // 2)
    rates = {}
    for seed, arm in product(SEEDS_ON_DATES, ON_DATES):
        place = {"task": "dates", "arm": arm}

        def build(seed: int, arm: str = arm) -> nn.Sequential:
            return on_dates(arm, task.num_classes, seed)

        if arm not in rates:
            rates[arm] = search(runs, place, build, held, {**DATES, "epochs": 1})
        runs.row(
            lambda b=build, s=seed, r=rates[arm]: measured(b(s), task, task.start, s, r, **DATES),
            part="run",
            learning_rate=rates[arm],
            seed=seed,
            **place,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    stored = common.Runs("late_layers", __file__)
    digits(stored)
    translation(stored)
    stored.store()
