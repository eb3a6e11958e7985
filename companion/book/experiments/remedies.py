"""Remedies for a stream that grows: do stacks of 50 dense layers learn with them, and without?

The 4,000 MNIST training images averaged to 7 x 7 pixels, two epochs of one cycle, with SGD and with
Adam. Within a seed all stacks have the same weights in the branches, but for the remedy. Each arm's
rate is searched on the last 800 training images; the search sees the other 3,200, so 100 steps in
place of 124. A stack whose loss becomes infinite or no number has no accuracy.

    python -m companion.book.experiments.remedies
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

import companion.torch as ct
from companion import weights
from companion.book.experiments import common
from companion.data import Dataset, mnist
from companion.torch.fixup import ScalarBias, ScalarScale

SEEDS = (0, 1, 2)
BLOCKS, WIDTH = 25, 64  # of two layers
#: The search of SGD begins lower than elsewhere: without a remedy a stack bears only small rates.
RATES = {"sgd": (0.001, 0.003, *common.SGD_RATES), "adam": common.ADAM_RATES}


class Times(nn.Module):
    """A number by which the branch is multiplied in every forward pass; it is not learned."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


def stack(seed: int, start: str = "he", factor: float = 1.0, **options: Any) -> nn.Sequential:
    """Return a stack of dense layers.

    Parameters
    ----------
    start: "he"; "scaled", the last weights of every branch over the root of the number of blocks;
        or "looks_linear".
    factor: on every branch, in every forward pass.
    options: norm, merge, residual.
    """
    model = ct.residual_mlp(49, 10, BLOCKS, WIDTH, seed=seed, **options)
    if start == "looks_linear":
        look_linear(model, seed)
    else:
        weights.initialize(model, seed, start)
    if factor != 1:
        for block in model.blocks:
            block.branch.append(Times(factor))
    return nn.Sequential(nn.Flatten(), model)


def look_linear(model: nn.Module, seed: int = 0) -> None:
    """Give a plain stack of even width a start at which it computes a linear map.

    Half the units hold the negatives of the other half, and relu(z) - relu(-z) = z: with weights
    (O, -O; -O, O), O orthogonal, a layer multiplies z by O (Balduzzi et al. 2017).
    """
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        stem = model.stem.weight
        half = stem.shape[0] // 2
        stem[half:] = -stem[:half]
        for block in model.blocks:
            for layer in (block.branch.dense1, block.branch.dense2):
                o = torch.empty(half, half)
                nn.init.orthogonal_(o, generator=generator)
                layer.weight.copy_(torch.cat([torch.cat([o, -o], 1), torch.cat([-o, o], 1)]))


def fixup(seed: int) -> nn.Sequential:
    """Return the stack with Fixup's scalars, and its start (Zhang et al. 2019, section 3)."""

    def block() -> nn.Module:
        parts: dict[str, Callable[[], nn.Module]] = {
            "bias1": ScalarBias,
            "relu1": nn.ReLU,
            "bias2": ScalarBias,
            "dense1": lambda: ct.HiddenDense(WIDTH, WIDTH),
            "bias3": ScalarBias,
            "relu2": nn.ReLU,
            "bias4": ScalarBias,
            "dense2": lambda: ct.HiddenDense(WIDTH, WIDTH),
            "scale": ScalarScale,
        }
        return ct.Residual(nn.Sequential(OrderedDict((n, make()) for n, make in parts.items())))

    blocks = nn.Sequential(*(block() for _ in range(BLOCKS)))
    last = [ScalarBias(), nn.ReLU(), ScalarBias(), ct.Dense(WIDTH, 10)]
    model = nn.Sequential(nn.Flatten(), ct.Dense(49, WIDTH), blocks, *last)
    weights.initialize(model, seed, "fixup")
    return model


def linear(seed: int) -> nn.Sequential:
    """Return what a stack has to beat before its depth is of any use."""
    model = nn.Sequential(nn.Flatten(), ct.Dense(49, 10))
    weights.initialize(model, seed)
    return model


ARMS: dict[str, Callable[[int], nn.Module]] = {
    "plain, He's weights": lambda seed: stack(seed, residual=False),
    "plain, layer norm": lambda seed: stack(seed, norm="layer", residual=False),
    "plain, batch norm": lambda seed: stack(seed, norm="batch", residual=False),
    "plain, looks linear": lambda seed: stack(seed, "looks_linear", residual=False),
    "plain, batch norm, looks linear": lambda seed: stack(
        seed, "looks_linear", norm="batch", residual=False
    ),
    "residual, nothing done": lambda seed: stack(seed),
    "1. normalised (layer norm)": lambda seed: stack(seed, norm="layer"),
    "1. normalised (batch norm)": lambda seed: stack(seed, norm="batch"),
    "2. branch times 1/√L": lambda seed: stack(seed, factor=BLOCKS**-0.5),
    "2. last weights times 1/√L at the start": lambda seed: stack(seed, "scaled"),
    "3. started at zero (ReZero)": lambda seed: stack(seed, merge="rezero"),
    "4. scaled start (Fixup)": fixup,
    "a linear map, no hidden layer": linear,
}


def trained(
    model: nn.Module, data: Dataset, optimizer: str, rate: float, seed: int
) -> dict[str, float]:
    """Train the stack; return accuracy on what it was trained on, and on the test part.

    Raises
    ------
    FloatingPointError: it diverged.
    """
    how: dict[str, Any] = {"epochs": 2, "optimizer": optimizer, "learning_rate": rate}
    ct.fit(model, data, seed=seed, progress=False, **how)
    try:
        loss, test = ct.evaluate(model, data.x_test, data.y_test)
        train = ct.evaluate(model, data.x_train, data.y_train)[1]
    except ValueError as error:  # after the last step the logits are no numbers
        raise FloatingPointError from error
    found = {"train_accuracy": train, "test_accuracy": test, "test_loss": loss}
    return {name: round(value, 4) for name, value in found.items()}


def searched(
    runs: common.Runs,
    data: Dataset,
    make: Callable[[int], nn.Module],
    optimizer: str,
    place: dict[str, Any],
) -> float:
    """Return the best rate for what ``make`` builds from a seed; the rows get the place."""

    def score(rate: float, seed: int) -> tuple[float, float]:
        found = trained(make(seed), data.validation(), optimizer, rate, seed)
        return found["test_accuracy"], -found["test_loss"]

    return runs.best_rate(score, RATES[optimizer], **place)


def outcome(
    model: nn.Module, data: Dataset, optimizer: str, rate: float, seed: int
) -> dict[str, float | None]:
    """Return what :func:`trained` does, and nothing for each number where it diverged."""
    try:
        return {**trained(model, data, optimizer, rate, seed)}
    except FloatingPointError:  # the loss is no number any more
        return {"train_accuracy": None, "test_accuracy": None, "test_loss": None}


def measure(runs: common.Runs, tiny: Dataset, arm: str, optimizer: str) -> None:
    """Search the arm's rate, and train at it."""
    place = {"arm": arm, "optimizer": optimizer}
    best = searched(runs, tiny, ARMS[arm], optimizer, place)
    for seed in SEEDS:
        runs.row(
            lambda seed=seed: outcome(ARMS[arm](seed), tiny, optimizer, best, seed),
            part="run",
            **place,
            learning_rate=best,
            seed=seed,
        )


if __name__ == "__main__":
    torch.set_num_threads(1)
    stored = common.Runs("remedies", __file__)
    small = mnist().downsampled(2)
    for optimizer in RATES:
        for arm in ARMS:
            measure(stored, small, arm, optimizer)
    stored.store()
