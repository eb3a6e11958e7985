"""Tissue of a brain template: residual blocks and long skips, each on and off, shallow and deep.

A U-Net of 18 or 48 layers in its four forms; the learning rate of each is the best of three on the
validation slices, by two seeds and as many steps as in the test. Three seeds, and six for the pairs
that keep the long skips, whose differences are small. Beside it: the deep plain network with three
times the epochs, and two settings in TensorFlow. About 12 minutes on two cores.

    python -m companion.book.experiments.medical
"""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from itertools import product
from multiprocessing import get_context
from typing import Any

import torch

import companion.tensorflow as cf
import companion.torch as cp
from companion.book.experiments import common
from companion.data import SegmentationDataset, brain
from companion.metrics import dice

SEEDS, MORE_SEEDS, VALIDATION_SEEDS = range(3), range(6), (7, 8)
BLOCKS = (1, 4)
RATES = (0.03, 0.1, 0.3)
EPOCHS = 10
HEIGHT = 20  # mm; the slice whose predictions are kept as a picture
MODULES = {"torch": cp, "tensorflow": cf}


def trained(
    data: SegmentationDataset,
    framework: str,
    blocks: int,
    residual: bool,
    long_skips: bool,
    seed: int,
    epochs: int,
    rate: float,
) -> tuple[dict[str, Any], Any]:
    """Train one network; return its row and what it predicts for the test slices."""
    module = MODULES[framework]
    model = module.residual_unet(1, 3, 2, 8, blocks, residual, long_skips, seed=seed)
    settings: dict[str, Any] = {"epochs": epochs, "batch_size": 2, "learning_rate": rate}
    with common.cpu_seconds() as seconds:
        history = module.fit(model, data, seed=seed, progress=False, **settings)
    predicted = module.predict(model, data.x_test).argmax(-1)
    _, grey, white = dice(predicted, data.y_test, 3)
    row = {
        "framework": framework,
        "blocks": blocks,
        "residual": residual,
        "long_skips": long_skips,
        "epochs": epochs,
        "learning_rate": rate,
        "seed": seed,
        "grey": round(float(grey), 4),
        "white": round(float(white), 4),
        "last_epoch_loss": round(history.loss[-1], 4),
        "cpu_seconds": round(seconds[0], 2),
    }
    return row, predicted


Network = tuple[int, bool, bool]  # blocks, residual, long skips


def best_rate(held: SegmentationDataset, steps: int, network: Network, runs: list[dict]) -> float:
    """The rate with the highest mean Dice on the validation slices, after as many steps."""
    epochs = round(EPOCHS * steps / len(held.x_train))
    scores = dict.fromkeys(RATES, 0.0)
    for rate, seed in product(RATES, VALIDATION_SEEDS):
        row, _ = trained(held, "torch", *network, seed, epochs, rate)
        common.noted(runs, part="validation", **row)
        scores[rate] += row["grey"] + row["white"]
    return max(scores, key=scores.__getitem__)


def measured(network: Network) -> tuple[list[dict], dict]:
    """All runs of one network, and what seed 0 makes of one slice."""
    torch.set_num_threads(1)
    blocks, residual, long_skips = network
    slices = brain(noise=0.08)
    runs: list[dict] = []
    rate = best_rate(slices.validation(), len(slices.x_train), network, runs)
    for seed in MORE_SEEDS if long_skips else SEEDS:
        row, predicted = trained(slices, "torch", *network, seed, EPOCHS, rate)
        common.noted(runs, part="test", **row)
        if seed == 0:
            (at,) = (slices.z_test == HEIGHT).nonzero()[0]
            rows = ["".join(map(str, line)) for line in predicted[at]]
            kept = {name: row[name] for name in ("blocks", "residual", "long_skips")}
            picture = {**kept, "height": HEIGHT, "tissue": rows}
    for seed in SEEDS if long_skips else ():
        if blocks == 1:
            row, _ = trained(slices, "tensorflow", *network, seed, EPOCHS, rate)
            common.noted(runs, part="test", **row)
        elif not residual:
            row, _ = trained(slices, "torch", *network, seed, 3 * EPOCHS, rate)
            common.noted(runs, part="longer", **row)
    return runs, picture


if __name__ == "__main__":
    # The longest first, so that both cores are busy to the end.
    networks = list(product(sorted(BLOCKS, reverse=True), (False, True), (True, False)))
    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as pool:
        found = dict(zip(networks, pool.map(measured, networks), strict=True))
    ordered = [
        found[network] for network in sorted(networks, key=lambda n: (n[0], not n[2], not n[1]))
    ]
    pictures = [picture for _, picture in ordered]
    common.store("medical_pictures", "companion/book/experiments/medical.py", pictures)
    common.store(
        "medical",
        "companion/book/experiments/medical.py",
        [row for runs, _ in ordered for row in runs],
    )
