"""How many layers should a shortcut go around, and is it the shortcut or the start that helps?

Stacks of 24 dense layers with batch norm, on the 4,000 MNIST training images averaged to 7 x 7
pixels, two epochs of one cycle. All stacks have the same number of layers; around 0 layers there is
no shortcut, which is the control of all. With the ReLU inside, one layer, its norm and its ReLU are
the branch, and nothing follows the addition. With ``near`` the stack is plain, and its weights
start at I + near W in place of W. Each arm's rate is searched on the last 800 training images; the
search sees the other 3,200, so 100 steps in place of 124. About two and a half minutes on
one core.

    python -m companion.book.experiments.branch_layers
"""

from __future__ import annotations

from typing import Any

import torch
from torch import nn

import companion.torch as ct
from companion import weights
from companion.book.experiments import common
from companion.data import Dataset, mnist

SEEDS = (0, 1, 2)
TOTAL, WIDTH = 24, 64
ARMS: tuple[dict[str, Any], ...] = (
    {"layers": 0, "relu_inside": False, "near": None},
    {"layers": 1, "relu_inside": False, "near": None},
    {"layers": 2, "relu_inside": False, "near": None},
    {"layers": 3, "relu_inside": False, "near": None},
    {"layers": 1, "relu_inside": True, "near": None},
    *({"layers": 0, "relu_inside": False, "near": near} for near in (1.0, 0.3, 0.1, 0.0)),
)


def branch(count: int, inside: bool) -> nn.Sequential:
    """Return so many layers, each with its norm and a ReLU, the last of which may come later."""
    parts: list[nn.Module] = []
    for _ in range(count):
        parts += [ct.HiddenDense(WIDTH, WIDTH), ct.BatchNorm1d(WIDTH), nn.ReLU()]
    return nn.Sequential(*(parts if inside else parts[:-1]))


def stack(
    layers: int, seed: int, relu_inside: bool = False, near: float | None = None
) -> nn.Sequential:
    """Return blocks of so many layers; 0 gives the plain stack."""
    shortcut, count = ("identity", layers) if layers else (None, 1)
    last = None if relu_inside else nn.ReLU()
    blocks = [
        ct.Residual(branch(count, relu_inside), shortcut, activation=last)
        for _ in range(TOTAL // count)
    ]
    first = [nn.Flatten(), ct.Dense(49, WIDTH), ct.BatchNorm1d(WIDTH), nn.ReLU()]
    model = nn.Sequential(*first, *blocks, ct.Dense(WIDTH, 10))
    weights.initialize(model, seed)
    if near is not None:
        for module in model.modules():
            if isinstance(module, ct.HiddenDense):
                with torch.no_grad():
                    module.weight.mul_(near).add_(torch.eye(WIDTH))
    return model


def reached(data: Dataset, rate: float, seed: int, **arm: Any) -> dict[str, float]:
    """Train a stack; return its accuracy on either part and its loss on the test part."""
    model = stack(seed=seed, **arm)
    ct.fit(model, data, epochs=2, learning_rate=rate, seed=seed, progress=False)
    loss, test = ct.evaluate(model, data.x_test, data.y_test)
    train = ct.evaluate(model, data.x_train, data.y_train)[1]
    return {
        "train_accuracy": round(train, 4),
        "test_accuracy": round(test, 4),
        "test_loss": round(loss, 4),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    runs = common.Runs("branch_layers", __file__)
    tiny = mnist().downsampled(2)
    for arm in ARMS:

        def score(rate: float, seed: int, arm: dict[str, Any] = arm) -> tuple[float, float]:
            found = reached(tiny.validation(), rate, seed, **arm)
            return found["test_accuracy"], -found["test_loss"]

        best = runs.best_rate(score, common.SGD_RATES, **arm)
        for s in SEEDS:
            make = lambda seed=s, arm=arm, rate=best: reached(tiny, rate, seed, **arm)  # noqa: E731
            runs.row(make, part="run", **arm, learning_rate=best, seed=s)
    runs.store()
