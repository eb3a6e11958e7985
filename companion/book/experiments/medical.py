"""Tissue of a brain template: residual blocks and long skips, each on and off, shallow and deep.

A U-Net of 18 or 48 layers in its four forms with batch norm, and with instance norm in the two that
keep the long skips. The learning rate of every network comes from the same search on the validation
slices, in about as many steps as in the test: two seeds with batch norm, whose scores scatter, and
one with instance norm. Six seeds. Beside it, with three seeds: the deep pair of batch norm with
three times the epochs, and two settings in TensorFlow. And one network again, which tells something
only where ``--resume`` has taken up the rows of another processor: same seeds, same settings, other
rounding. About half an hour on one core.

    python -m companion.book.experiments.medical
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import product
from typing import Any

import torch
from torch import nn

import companion.tensorflow as cf
import companion.torch as cp
from companion.book.experiments import common
from companion.data import SegmentationDataset, brain
from companion.metrics import dice

SEEDS, MORE_SEEDS = range(3), range(6)
NORMS = ("instance", "batch")
SEARCH_SEEDS = {"batch": (7, 8), "instance": (7,)}
BLOCKS = (4, 1)
EPOCHS = 10
HEIGHT = 20  # mm; the slice whose predictions are kept as a picture
MODULES = {"torch": cp, "tensorflow": cf}

#: What is predicted for the slice at ``HEIGHT``, by network and seed.
drawn: dict[tuple[Any, ...], list[str]] = {}


def group_norm(model: nn.Module, size: int) -> nn.Module:
    """Replace every batch norm, in place, by a norm over ``size`` channels of each slice by itself.

    With a size of 1 that is ``nn.InstanceNorm2d(channels, affine=True)``, in a third of its time.
    """
    for name, child in model.named_children():
        if isinstance(child, nn.BatchNorm2d):
            channels = child.num_features
            model.set_submodule(name, nn.GroupNorm(channels // size, channels, eps=child.eps))
        else:
            group_norm(child, size)
    return model


def instance_norm(model: nn.Module) -> nn.Module:
    """Replace every batch norm, in place, by a norm of each channel of each slice by itself."""
    return group_norm(model, 1)


def scored(
    module: Any, model: Any, data: SegmentationDataset, seed: int, **settings: Any
) -> tuple[Any, dict[str, Any]]:
    """Train a network; return its labels of the test slices, and the numbers of a row."""
    with common.cpu_seconds() as seconds:
        history = module.fit(model, data, seed=seed, progress=False, **settings)
    predicted = module.predict(model, data.x_test).argmax(-1)
    _, grey, white = dice(predicted, data.y_test, 3)
    row = {"last_epoch_loss": round(history.loss[-1], 4), "cpu_seconds": round(seconds[0], 2)}
    return predicted, {"grey": round(float(grey), 4), "white": round(float(white), 4), **row}


def trained(
    data: SegmentationDataset, arm: dict[str, Any], seed: int, epochs: int, rate: float
) -> dict[str, Any]:
    """Train one network and score it on the test slices of ``data``."""
    module, skips = MODULES[arm["framework"]], (arm["residual"], arm["long_skips"])
    model = module.residual_unet(1, 3, 2, 8, arm["blocks"], *skips, seed=seed)
    if arm["norm"] == "instance":
        instance_norm(model)
    settings: dict[str, Any] = {"epochs": epochs, "batch_size": 2, "learning_rate": rate}
    predicted, row = scored(module, model, data, seed, **settings)
    if HEIGHT in data.z_test:
        (at,) = (data.z_test == HEIGHT).nonzero()[0]
        drawn[(*arm.values(), seed)] = ["".join(map(str, line)) for line in predicted[at]]
    return row


def searched(
    runs: common.Runs,
    slices: SegmentationDataset,
    arm: dict[str, Any],
    seeds: tuple[int, ...],
    train: Callable[..., dict[str, Any]] = trained,
    rates: tuple[float, ...] = common.SGD_RATES,
) -> float:
    """The rate with the highest mean Dice on the validation slices, after about as many steps."""
    held = slices.validation()
    epochs = round(EPOCHS * len(slices.x_train) / len(held.x_train))

    def score(rate: float, seed: int) -> float:
        row = train(held, arm, seed, epochs, rate)
        return (row["grey"] + row["white"]) / 2

    return runs.best_rate(score, rates, seeds, **arm, epochs=epochs)


def plan() -> Iterator[tuple[str, dict[str, Any], int, int]]:
    """Every run that is reported, as part, network, seed and epochs."""

    def arms(norm: str, long_skips: bool) -> list[dict[str, Any]]:
        of = {"framework": "torch", "norm": norm}
        pairs = product(BLOCKS, (True, False))
        return [{**of, "blocks": b, "residual": r, "long_skips": long_skips} for b, r in pairs]

    for norm, seed in product(NORMS, MORE_SEEDS):
        yield from (("test", arm, seed, EPOCHS) for arm in arms(norm, True))
        if norm == "batch":
            yield from (("test", arm, seed, EPOCHS) for arm in arms(norm, False))
    for seed, arm in product(SEEDS, arms("batch", True)):
        if arm["blocks"] == 4:
            yield "longer", arm, seed, 3 * EPOCHS
        else:
            yield "test", {**arm, "framework": "tensorflow"}, seed, EPOCHS
    (network,) = (a for a in arms("batch", True) if a["blocks"] == 1 and a["residual"])
    yield from (("again", network, seed, EPOCHS) for seed in MORE_SEEDS)


def measure() -> None:
    torch.set_num_threads(1)
    runs, pictures = (common.Runs(n, __file__) for n in ("medical", "medical_pictures"))
    slices = brain(noise=0.08)
    rates: dict[tuple[Any, ...], float] = {}
    for part, arm, seed, epochs in plan():
        network = tuple(arm.values())[1:]  # in TensorFlow with PyTorch's rate
        if network not in rates:
            rates[network] = searched(runs, slices, arm, SEARCH_SEEDS[arm["norm"]])
        rate = rates[network]
        place = {"part": part, **arm, "epochs": epochs, "learning_rate": rate, "seed": seed}
        runs.row(lambda a=arm, s=seed, e=epochs, r=rate: trained(slices, a, s, e, r), **place)
        if (seed, part, arm["blocks"], arm["framework"]) == (0, "test", 4, "torch"):
            at = (*arm.values(), seed)
            pictures.row(lambda at=at: {"height": HEIGHT, "tissue": drawn[at]}, **place)
    runs.store()
    pictures.store()


if __name__ == "__main__":
    measure()
