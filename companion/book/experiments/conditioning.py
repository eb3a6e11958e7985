"""Do stacks train whose gradients are level, and whose singular values lie near or far apart?

Plain stacks of 50 dense layers start between a linear map ("looks linear") and He's weights: the
weights are cos t of the one plus sin t of the other, and all are then multiplied by the one number
that makes the mean square of the Jacobian's singular values 1. So the arms differ in how far these
values lie apart, and not in how long a gradient is. They differ on the way forward too, where the
stream fades between the two ends: the page measures that. Residual stacks stand beside them.

Data, budget and search are those of ``remedies``: 4,000 MNIST images of 7 x 7 pixels, two epochs of
SGD, each arm's rate searched on the last 800.

    python -m companion.book.experiments.conditioning
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from companion.book.experiments import common
from companion.book.experiments.remedies import (
    BLOCKS,
    SEEDS,
    look_linear,
    outcome,
    searched,
    stack,
)
from companion.data import Dataset, mnist
from companion.measures import participation_ratio
from companion.torch import probes

#: In radians: from the linear map to He's weights.
TURNS = (0.0, 0.03, 0.06, 0.1, 0.2, 0.4, math.pi / 2)
#: Images at which each network is differentiated; the mean over them is stored.
IMAGES = 3


def squares(model: nn.Sequential, images: Tensor) -> list[tuple[float, float]]:
    """Return the mean of the squared singular values of the blocks' Jacobian, and their spread.

    One pair for each image. The spread is the variance of the squares over their mean squared.
    """
    inner = model[1]
    with torch.no_grad():
        streams = inner.stem(images.flatten(1))
    found = []
    for stream in streams:
        jacobian = probes.block_jacobian(inner.blocks, stream[None]).astype(float)
        n = len(jacobian)
        found.append(((jacobian**2).sum() / n, n / participation_ratio(jacobian) - 1))
    return found


def between(turn: float, images: Tensor, seed: int) -> nn.Sequential:
    """Return a plain stack ``turn`` away from a linear map, levelled at the images given."""
    model = stack(seed, residual=False)
    inner = model[1]
    layers = [d for b in inner.blocks for d in (b.branch.dense1, b.branch.dense2)]
    random = [layer.weight.detach().clone() for layer in layers]
    look_linear(inner, seed)  # the stem too, which all arms share
    with torch.no_grad():
        for layer, he in zip(layers, random, strict=True):
            layer.weight.copy_(math.cos(turn) * layer.weight + math.sin(turn) * he)
        mean = sum(at[0] for at in squares(model, images)) / len(images)
        # Without biases the Jacobian is of degree 1 in the weights of each layer.
        for layer in layers:
            layer.weight *= mean ** (-0.5 / len(layers))
    return model


def residual(factor: float, seed: int) -> nn.Sequential:
    """Return a residual stack with ``factor`` on its branches, and the stem of the plain ones."""
    model = stack(seed, factor=factor)
    with torch.no_grad():
        stem = model[1].stem.weight
        stem[len(stem) // 2 :] = -stem[: len(stem) // 2]
    return model


def arms(images: Tensor) -> dict[str, Callable[[int], nn.Sequential]]:
    """Return what makes each arm's network from a seed."""
    plain = {f"plain, {turn:.3g}": lambda seed, t=turn: between(t, images, seed) for turn in TURNS}
    return {
        **plain,
        "residual, 1/√L": lambda seed: residual(BLOCKS**-0.5, seed),
        "residual, 0.1": lambda seed: residual(0.1, seed),
    }


def start(model: nn.Sequential, images: Tensor) -> dict[str, float]:
    """Return the mean of the squared singular values, and their spread, over the images."""
    at = squares(model, images)
    means = (sum(values) / len(at) for values in zip(*at, strict=True))
    return dict(zip(("mean_square", "spread"), (round(value, 4) for value in means), strict=True))


def measure(runs: common.Runs, tiny: Dataset, arm: str, make: Any, images: Tensor) -> None:
    """Search the arm's rate, train at it, and keep what its singular values were at the start."""
    best = searched(runs, tiny, make, "sgd", {"arm": arm})
    for seed in SEEDS:

        def found(seed: int = seed) -> dict[str, Any]:
            return {
                **start(make(seed), images),
                **outcome(make(seed), tiny, "sgd", best, seed),
            }

        runs.row(found, part="run", arm=arm, learning_rate=best, seed=seed)


if __name__ == "__main__":
    torch.set_num_threads(1)
    stored = common.Runs("conditioning", __file__)
    small = mnist().downsampled(2)
    first = torch.from_numpy(small.x_train[:IMAGES])
    for name, maker in arms(first).items():
        measure(stored, small, name, maker, first)
    stored.store()
