"""How much do the late blocks of a pre-norm network do, and does a factor on the norms help?

The residual network of 20 blocks with layer norm that the FAQ takes apart, on images of 7 x 7
pixels, four epochs. Arms, which share their initial weights and differ in the norms alone:

- ``pre``: a norm before each layer of a branch.
- ``scaled``: the output of each norm in block l times 1/sqrt(l), LayerNorm Scaling (Sun et al.
  2025, arXiv 2502.05795).
- ``constant``: in every block times one number, the root of the mean of 1/l. The branches add as
  much variance in all as those of ``scaled``, and each block as much as the others.
- ``reversed``: the factors of ``scaled``, the smallest first.
- ``peri``: one more norm, at the end of each branch (Kim et al. 2025, arXiv 2502.02732).
- ``post``: a branch's first norm behind the addition instead.

Of each, before and after training: the variance of the stream by depth, what each block changes,
and the loss without it. Rates come from one search on the last 800 images; the arms without a norm
on the stream or at a branch's end are run at one common rate as well. Five minutes on one core.

    python -m companion.book.experiments.late_layers
"""

from __future__ import annotations

import math
from itertools import product
from typing import Any

import torch
from torch import Tensor, nn

import companion.torch as cp
from companion import weights
from companion.book.experiments import common
from companion.data import Dataset, mnist
from companion.torch import probes
from companion.torch.transformer import Scale

SEEDS = (0, 1, 2, 3, 4)
ARMS = ("pre", "scaled", "constant", "post", "reversed", "peri")
SCALED = ("scaled", "constant", "reversed")
#: A rate at which pre-norm is run beside the scaled norms, whichever the search gives it.
SAME = 0.01
DIGITS: dict[str, Any] = {"epochs": 4, "optimizer": "adam"}
BLOCKS = 20


def factors(arm: str, blocks: int) -> list[float]:
    """What multiplies the output of each norm, by block."""
    scaled = [layer**-0.5 for layer in range(1, blocks + 1)]
    constant = math.sqrt(sum(factor**2 for factor in scaled) / blocks)
    rules = {"scaled": scaled, "constant": [constant] * blocks, "reversed": scaled[::-1]}
    return rules.get(arm, [1.0] * blocks)


def on_digits(arm: str, seed: int) -> nn.Sequential:
    model = cp.residual_mlp(49, 10, BLOCKS, 64, "layer", seed=seed)
    for block, factor in zip(model.blocks, factors(arm, BLOCKS), strict=True):
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


def streams(model: nn.Sequential, images: Tensor) -> list[Tensor]:
    """The stream before the first block and after each: (N, channels)."""
    kept = []
    with torch.no_grad():
        kept.append(model[1].stem(images.flatten(1)))
        for block in model[1].blocks:
            kept.append(block(kept[-1]))
    return kept


def by_depth(model: nn.Sequential, images: Tensor) -> dict[str, list[float]]:
    """Variance of the stream; what each block changes, over the stream's length; its cosine."""
    found = streams(model, images)
    pairs = list(zip(found, found[1:], strict=False))
    return {
        "variance": [round(float(y.var()), 5) for y in found],
        "change": [round(float((y - x).norm() / x.norm()), 5) for x, y in pairs],
        "cosine": [round(float(torch.cosine_similarity(x, y).mean()), 5) for x, y in pairs],
    }


def lesions(model: nn.Sequential, data: Dataset) -> dict[str, Any]:
    """The loss that is added without each block, and without the last quarter and half."""
    names = list(probes.residual_blocks(model))

    def loss() -> float:
        return cp.evaluate(model, data.x_test, data.y_test)[0]

    def added(without: list[str]) -> float:
        with probes.without_blocks(model, without):
            return round(loss() - whole, 5)

    whole = loss()
    return {
        "added": [added([name]) for name in names],
        "added_quarter": added(names[-(BLOCKS // 4) :]),
        "added_half": added(names[-(BLOCKS // 2) :]),
    }


def measured(arm: str, tiny: Dataset, rate: float, seed: int) -> dict[str, Any]:
    """Train one network; of 500 test images loss and accuracy, of all what blocks do."""
    model, images = on_digits(arm, seed), torch.from_numpy(tiny.x_test)
    before = by_depth(model, images)
    with common.cpu_seconds() as seconds:
        cp.fit(model, tiny, learning_rate=rate, seed=seed, progress=False, **DIGITS)
    loss, right = cp.evaluate(model, tiny.x_test[:500], tiny.y_test[:500])
    return {
        "loss": round(loss, 5),
        "accuracy": round(right, 4),
        "start": before,
        "trained": {**by_depth(model, images), **lesions(model, tiny)},
        "cpu_seconds": round(seconds[0], 1),
    }


def search(runs: common.Runs, arm: str, held: Dataset) -> float:
    """The arm's rate, searched on the held-out images."""

    def score(rate: float, seed: int) -> common.Score:
        model = on_digits(arm, seed)
        cp.fit(model, held, learning_rate=rate, seed=seed, progress=False, **DIGITS)
        loss, right = cp.evaluate(model, held.x_test, held.y_test)
        return right, -loss

    return runs.best_rate(score, common.ADAM_RATES, arm=arm)


def measure(runs: common.Runs, arm: str, tiny: Dataset) -> None:
    """At the arm's own rate, and at the common one if that is another."""
    own = search(runs, arm, tiny.validation())
    rates = {"run": own}
    if arm in ("pre", *SCALED) and own != SAME:
        rates["same rate"] = SAME
    for seed, (part, rate) in product(SEEDS, rates.items()):
        runs.row(
            lambda s=seed, r=rate: measured(arm, tiny, r, s),
            part=part,
            arm=arm,
            learning_rate=rate,
            seed=seed,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    stored = common.Runs("late_layers", __file__)
    small = mnist().downsampled(2)
    for name in ARMS:
        measure(stored, name, small)
    stored.store()
