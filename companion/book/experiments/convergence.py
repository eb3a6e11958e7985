"""How many epochs, and how much time, to a fixed training loss: plain against residual, by depth.

The 5,000 MNIST images averaged to 7 x 7 pixels; twelve epochs of one cycle at two peak learning
rates. Within a pair everything is equal but the shortcuts. About 20 minutes on one core.

    python -m companion.book.experiments.convergence
"""

from __future__ import annotations

import dataclasses

import torch

import companion.torch as ct
from companion.book.experiments import common
from companion.data import downsampled, mnist

SEEDS = (0, 1, 2)
DEPTHS = (8, 20, 32, 44)
RATES = (0.03, 0.1)
EPOCHS = 12


def run(depth: int, rate: float, residual: bool, seed: int, data) -> dict:
    model = ct.cifar_resnet(depth, width=8, residual=residual, in_channels=1, seed=seed)
    settings = {"epochs": EPOCHS, "batch_size": 64, "learning_rate": rate, "seed": seed}
    with common.cpu_seconds() as seconds:
        history = ct.fit(model, data, progress=False, **settings)
    result = {
        "depth": depth,
        "learning_rate": rate,
        "residual": residual,
        "seed": seed,
        "loss": [round(value, 4) for value in history.loss],
        "cpu_seconds": round(seconds[0], 2),
    }
    print(result, flush=True)
    return result


if __name__ == "__main__":
    torch.set_num_threads(1)
    digits = mnist()
    tiny = dataclasses.replace(
        digits,
        x_train=downsampled(downsampled(digits.x_train)),
        x_test=downsampled(downsampled(digits.x_test)),
    )
    runs = [
        run(depth, rate, residual, seed, tiny)
        for depth in DEPTHS
        for rate in RATES
        for residual in (True, False)
        for seed in SEEDS
    ]
    common.store("convergence", "companion/book/experiments/convergence.py", runs)
