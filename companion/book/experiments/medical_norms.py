"""Which norm, and over how many slices? The deep U-Net with and without shortcuts, ten seeds.

Three norms (batch, instance, and group norm of four channels a group), batches of two slices and
of eight, shortcuts and none: twelve cells of one table, all of 48 layers with long skips. Every
cell sees the same number of slices, so with eight in a batch it takes a quarter of the steps. To
afford ten seeds, each slice is cut to a window of 64 mm. Each cell's rate comes from the same
search on the validation slices, in about as many steps as in the test, with one seed. About a
quarter of an hour on one core.

    python -m companion.book.experiments.medical_norms
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import torch

import companion.torch as cp
from companion.book.experiments import common
from companion.book.experiments.medical import EPOCHS, group_norm, scored, searched
from companion.data import SegmentationDataset, brain

SEEDS, SEARCH_SEEDS = range(10), (17,)
#: Channels in a group of the norm that stands in each batch norm's place; 0 leaves that.
NORMS = {"batch": 0, "group": 4, "instance": 1}
BATCHES = (2, 8)
BLOCKS = 4
#: Rows and columns of a slice: on the left of the middle, cortex and white matter.
WINDOW = slice(40, 72), slice(16, 48)
RATES = (0.03, *common.SGD_RATES[2:], 1.0)


def windowed(data: SegmentationDataset) -> SegmentationDataset:
    """Cut every slice and its labels to the window."""
    names = ("x_train", "y_train", "x_test", "y_test")
    return replace(data, **{n: getattr(data, n)[(slice(None), *WINDOW)].copy() for n in names})


def trained(
    data: SegmentationDataset, arm: dict[str, Any], seed: int, epochs: int, rate: float
) -> dict[str, Any]:
    """Train one network and score it on the test slices of ``data``."""
    model = cp.residual_unet(1, 3, 2, 8, BLOCKS, arm["residual"], seed=seed)
    if size := NORMS[arm["norm"]]:
        group_norm(model, size)
    settings = {"epochs": epochs, "batch_size": arm["batch_size"], "learning_rate": rate}
    return scored(cp, model, data, seed, **settings)[1]


def measure() -> None:
    torch.set_num_threads(1)
    runs, slices = common.Runs("medical_norms", __file__), windowed(brain(noise=0.08))
    arms = [
        {"norm": norm, "batch_size": size, "residual": residual}
        for norm, size, residual in product(NORMS, BATCHES, (True, False))
    ]
    rates = [searched(runs, slices, arm, SEARCH_SEEDS, trained, RATES) for arm in arms]
    for seed in SEEDS:
        for arm, rate in zip(arms, rates, strict=True):
            place = {"part": "test", **arm, "epochs": EPOCHS, "learning_rate": rate, "seed": seed}
            runs.row(lambda a=arm, s=seed, r=rate: trained(slices, a, s, EPOCHS, r), **place)
    runs.store()


if __name__ == "__main__":
    measure()
