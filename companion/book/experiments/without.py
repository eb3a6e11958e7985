"""Deep convolutional networks without shortcuts: which starts and activations let them learn?

The 8 x 8 digits and the networks of ``merges``, 32 layers of 8, 16 and 32 channels, twelve epochs.
All arms but the two with batch norm have no norm anywhere, and biases in its place; all keep He's
first convolution and the classifier. The weights between them, the activation or the shortcuts are
what differs: see ``ARMS``. Rates come from one search on held-out images, over as many epochs and
over two seeds. About 15 minutes on one core.

    python -m companion.book.experiments.without
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

import companion.torch as cp
from companion import weights
from companion.book.experiments import common
from companion.book.experiments.merges import biased, score, trained
from companion.book.experiments.remedies import Times
from companion.data import Dataset, digits8

WIDTH = 8
#: The search begins lower than elsewhere: what has no norm bears only small rates.
RATES = (0.003, 0.01, 0.03, 0.1)
#: Of near-identity starts: what is added to the identity, in units of He's deviation.
NOISE = 0.1
#: TAT's target: the cosine at the end of two inputs that begin at a right angle.
ETA = 0.9
DEPTH, EPOCHS = 32, 12
SEEDS, SEARCH_SEEDS = (0, 1, 2, 3, 4), (7, 8)
#: For the arms that are compared by rate; so far up the search went for the last of them.
BROAD = (*RATES, 0.3, 1.0, 3.0)


class Arm(NamedTuple):
    """How an arm differs from a plain stack with ReLU from He's weights."""

    start: str = "he"
    activation: str = "relu"
    norm: bool = False
    residual: bool = False


ARMS = {
    "plain, He's weights": Arm(),
    "plain, batch norm": Arm(norm=True),
    "plain, near the identity": Arm("near_identity"),
    "plain, delta-orthogonal": Arm("delta_orthogonal"),
    "plain, delta-orthogonal, tanh": Arm("delta_orthogonal", "tanh"),
    "plain, delta-orthogonal, TAT": Arm("delta_orthogonal", "tat"),
    "plain, looks linear": Arm("looks_linear"),
    "residual, branches × 1/√L": Arm(residual=True),
    "residual, batch norm": Arm(norm=True, residual=True),
}


BY_RATE = (
    "plain, batch norm",
    "plain, delta-orthogonal, tanh",
    "plain, looks linear",
    "residual, branches × 1/√L",
    "residual, batch norm",
)


def cosine_map(c: float, slope: float) -> float:
    """Return the cosine after one wide layer of two inputs whose cosine is c before.

    Of a leaky ReLU with this negative slope: c + (1 - a)^2 / (pi (1 + a^2)) times
    (sqrt(1 - c^2) - c arccos c).
    """
    bend = (1 - slope) ** 2 / (math.pi * (1 + slope**2))
    return min(1.0, c + bend * (math.sqrt(max(0.0, 1 - c * c)) - c * math.acos(c)))


def end_cosine(slope: float, layers: int) -> float:
    """Return the cosine of two inputs at a right angle, after so many activations."""
    c = 0.0
    for _ in range(layers):
        c = cosine_map(c, slope)
    return c


def tailored_slope(layers: int, target: float = ETA) -> float:
    """Return the slope with which that cosine is ``target``, by bisection; 0 if ReLU's is less."""
    low, high = 0.0, 1.0  # the cosine falls as the slope rises
    if end_cosine(low, layers) <= target:
        return 0.0
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (middle, high) if end_cosine(middle, layers) > target else (low, middle)
    return high


def delta(rows: Tensor, kernel: Tensor) -> Tensor:
    """Return a kernel that is zero but for the matrix in its middle."""
    new = torch.zeros_like(kernel)
    new[:, :, kernel.shape[2] // 2, kernel.shape[3] // 2] = rows
    return new


def mirrored(matrix: Tensor) -> Tensor:
    """Return (M, -M; -M, M), at which relu on both signs of z adds up to M z."""
    return torch.cat([torch.cat([matrix, -matrix], 1), torch.cat([-matrix, matrix], 1)])


def restart(model: nn.Module, start: str, gain: float, seed: int) -> None:
    """Give the convolutions behind the first another start; the orthogonal ones times ``gain``."""
    generator = torch.Generator().manual_seed(seed)
    first, *others = (m for m in model.modules() if isinstance(m, cp.Conv2d))
    with torch.no_grad():
        if start == "looks_linear":
            half = len(first.weight) // 2
            first.weight[half:] = -first.weight[:half]
        for conv in others:
            kernel = conv.weight
            rows, columns = kernel.shape[:2]
            if start == "near_identity":
                conv.weight *= NOISE
                conv.weight += nn.init.dirac_(torch.empty_like(kernel))
            elif start == "delta_orthogonal":
                o = nn.init.orthogonal_(torch.empty(rows, columns), gain, generator=generator)
                conv.weight.copy_(delta(o, kernel))
            else:
                o = torch.empty(rows // 2, columns // 2)
                nn.init.orthogonal_(o, generator=generator)
                conv.weight.copy_(delta(mirrored(o), kernel))


def swap(model: nn.Module, activation: nn.Module) -> None:
    """Put an activation in the place of every ReLU."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, nn.ReLU):
                setattr(module, name, activation)


def network(arm: Arm, depth: int, seed: int) -> nn.Module:
    """Return the arm's network; all have the weights of the seed where the arm changes none."""
    model = cp.cifar_preact_resnet(depth, WIDTH, residual=arm.residual, in_channels=1, seed=seed)
    if not arm.norm:
        biased(model)
    weights.initialize(model, seed)
    slope = tailored_slope(depth - 1) if arm.activation == "tat" else 0.0
    gain = 1.0 if arm.activation == "tanh" else math.sqrt(2 / (1 + slope**2))
    if arm.start != "he":
        restart(model, arm.start, gain, seed)
    if arm.activation == "tat":
        swap(model, nn.LeakyReLU(slope))
    elif arm.activation == "tanh":
        swap(model, nn.Tanh())
    if arm.residual and not arm.norm:
        blocks = [block for stage in model.stages for block in stage]
        for block in blocks:
            block.branch.append(Times(len(blocks) ** -0.5))
    return model


def measure(runs: common.Runs, digits: Dataset, name: str) -> None:
    """Search the arm's rate, and train at it."""
    settings: dict[str, Any] = {"epochs": EPOCHS, "batch_size": 64}
    held = digits.validation(300)

    def tried(rate: float, seed: int) -> tuple[float, float]:
        model = network(ARMS[name], DEPTH, seed)
        return score(model, held, seed, learning_rate=rate, **settings)

    def made(rate: float, seed: int) -> dict[str, Any]:
        model = network(ARMS[name], DEPTH, seed)
        return trained(model, digits, seed, learning_rate=rate, **settings)

    place = {"arm": name, "depth": DEPTH, "epochs": EPOCHS}
    rates = BROAD if name in BY_RATE else RATES
    rate = runs.best_rate(tried, rates, SEARCH_SEEDS, **place)
    for seed in SEEDS:
        at = {"part": "test", **place, "learning_rate": rate, "seed": seed}
        runs.row(lambda seed=seed: made(rate, seed), **at)


if __name__ == "__main__":
    torch.set_num_threads(1)
    stored = common.Runs("without", __file__)
    for name in ARMS:
        measure(stored, digits8(), name)
    stored.store()
