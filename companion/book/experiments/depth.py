"""Residual and plain networks by depth on real digits, in both frameworks, three seeds.

The 5,000 MNIST images, averaged over 2 x 2 pixels to 14 x 14. Within a pair everything is equal
but the shortcuts: branches, initial weights, batches, schedule. About 30 minutes on one core.

    python -m companion.book.experiments.depth
"""

from __future__ import annotations

import dataclasses

import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion.book.experiments import common
from companion.data import downsampled, mnist

SEEDS = (0, 1, 2)
DEPTHS = {"torch": (8, 20, 32, 44, 56), "tensorflow": (8, 44)}
SETTINGS = {"epochs": 4, "batch_size": 64, "learning_rate": 0.1}


def run(framework: str, depth: int, residual: bool, seed: int, data) -> dict:
    companion = {"torch": cp, "tensorflow": ct}[framework]
    model = companion.cifar_resnet(depth, width=8, residual=residual, in_channels=1, seed=seed)
    with common.cpu_seconds() as seconds:
        history = companion.fit(model, data, seed=seed, progress=False, **SETTINGS)
    result = {
        "framework": framework,
        "depth": depth,
        "residual": residual,
        "seed": seed,
        "last_epoch_loss": round(history.loss[-1], 4),
        "train_accuracy": round(companion.evaluate(model, data.x_train, data.y_train)[1], 4),
        "test_accuracy": round(companion.evaluate(model, data.x_test, data.y_test)[1], 4),
        "cpu_seconds": round(seconds[0], 2),
    }
    print(result, flush=True)
    return result


if __name__ == "__main__":
    torch.set_num_threads(1)
    digits = mnist()
    small = dataclasses.replace(
        digits, x_train=downsampled(digits.x_train), x_test=downsampled(digits.x_test)
    )
    runs = [
        run(framework, depth, residual, seed, small)
        for framework, depths in DEPTHS.items()
        for depth in depths
        for residual in (True, False)
        for seed in SEEDS
    ]
    common.store("depth", "companion/book/experiments/depth.py", runs)
