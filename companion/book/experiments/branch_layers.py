"""How many layers should a shortcut go around? Stacks of 24 dense layers with batch norm.

The 5,000 MNIST images averaged to 7 x 7 pixels, two epochs of one cycle, three seeds. All stacks
have the same number of layers and of parameters; around 0 layers there is no shortcut, which is the
control of all. With the ReLU inside, one layer, its norm and its ReLU are the branch, and nothing
follows the addition. About a minute on one core.

    python -m companion.book.experiments.branch_layers
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import companion.torch as ct
from companion import weights
from companion.book.experiments import common
from companion.data import mnist

SEEDS = (0, 1, 2)
TOTAL, WIDTH = 24, 64


def branch(count: int, inside: bool) -> nn.Sequential:
    """Return so many layers, each with its norm and a ReLU, the last of which may come later."""
    parts: list[nn.Module] = []
    for _ in range(count):
        parts += [ct.HiddenDense(WIDTH, WIDTH), ct.BatchNorm1d(WIDTH), nn.ReLU()]
    return nn.Sequential(*(parts if inside else parts[:-1]))


def stack(layers: int, seed: int, inside: bool = False) -> nn.Sequential:
    """Return blocks of so many layers; 0 gives the plain stack."""
    shortcut, count = ("identity", layers) if layers else (None, 1)
    last = None if inside else nn.ReLU()
    blocks = [
        ct.Residual(branch(count, inside), shortcut, activation=last) for _ in range(TOTAL // count)
    ]
    first = [nn.Flatten(), ct.Dense(49, WIDTH), ct.BatchNorm1d(WIDTH), nn.ReLU()]
    model = nn.Sequential(*first, *blocks, ct.Dense(WIDTH, 10))
    weights.initialize(model, seed)
    return model


if __name__ == "__main__":
    torch.set_num_threads(1)
    tiny = mnist().downsampled(2)
    runs: list[dict[str, Any]] = []
    for layers, inside in ((0, False), (1, False), (2, False), (3, False), (1, True)):
        for seed in SEEDS:
            model = stack(layers, seed, inside)
            ct.fit(model, tiny, epochs=2, learning_rate=0.02, seed=seed, progress=False)
            reached = round(ct.evaluate(model, tiny.x_train, tiny.y_train)[1], 4)
            which = {"layers": layers, "relu_inside": inside, "seed": seed}
            common.noted(runs, **which, train_accuracy=reached)
    common.store("branch_layers", "companion/book/experiments/branch_layers.py", runs)
