"""Four remedies for a stream that grows: do stacks of 50 dense layers learn with them, and without?

The 5,000 MNIST images averaged to 7 x 7 pixels, two epochs of one cycle at one peak learning rate,
three seeds. Within a seed all stacks have the same weights in the branches, but for the remedy. A
stack whose loss becomes infinite or no number has no accuracy. About a minute on one core.

    python -m companion.book.experiments.remedies
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import companion.torch as ct
from companion.book.experiments import common
from companion.data import Dataset, mnist

SEEDS = (0, 1, 2)
BLOCKS = 25  # of two layers
ARMS: dict[str, dict[str, Any]] = {
    "plain, He's weights": {"residual": False},
    "plain, layer norm": {"norm": "layer", "residual": False},
    "plain, batch norm": {"norm": "batch", "residual": False},
    "residual, nothing done": {},
    "1. normalised (layer norm)": {"norm": "layer"},
    "1. normalised (batch norm)": {"norm": "batch"},
    "2. branch divided by √L": {"scale": BLOCKS**-0.5},
    "3. started at zero (ReZero)": {"merge": "rezero"},
}


def stack(seed: int, scale: float = 1.0, **options: Any) -> nn.Module:
    """Return the stack at its start, its branches multiplied by ``scale``."""
    model = ct.residual_mlp(49, 10, BLOCKS, 64, seed=seed, **options)
    with torch.no_grad():
        for block in model.blocks:
            block.branch.dense2.weight *= scale
    return nn.Sequential(nn.Flatten(), model)


def training_accuracy(model: nn.Module, data: Dataset, seed: int) -> float | None:
    """Train the stack; return its accuracy on what it was trained on, None where it diverged."""
    try:
        ct.fit(model, data, epochs=2, learning_rate=0.02, seed=seed, progress=False)
        return round(ct.evaluate(model, data.x_train, data.y_train)[1], 4)
    except (FloatingPointError, ValueError):  # the loss is no number any more
        return None


if __name__ == "__main__":
    torch.set_num_threads(1)
    tiny = mnist().downsampled(2)
    runs: list[dict[str, Any]] = []
    for arm, options in ARMS.items():
        for seed in SEEDS:
            reached = training_accuracy(stack(seed, **options), tiny, seed)
            common.noted(runs, arm=arm, seed=seed, train_accuracy=reached)
    common.store("remedies", "companion/book/experiments/remedies.py", runs)
