"""How often is the deeper plain network the worse one? Thirty seeds at the smallest budget.

The runs that chapter 1 repeats on its page: digits of 7 x 7 pixels, two epochs of 31 steps, batches
of 128. Plain networks of 20 and 32 layers and a residual one of 32, each at the rate that one
search finds for it on a validation part (3,200 images train, 800 choose; three epochs of 25 steps),
seeds 37 and 38. The scores are in depth_seeds_search.json. About four minutes on one core.

    python -m companion.book.experiments.depth_seeds
"""

from __future__ import annotations

import torch

import companion.torch as cp
from companion.book.experiments import common
from companion.data import Dataset, mnist

SEEDS = tuple(range(30))
SEARCH_SEEDS = (37, 38)
ARMS = ((20, False), (32, False), (32, True))
EPOCHS, SEARCH_EPOCHS = 2, 3


def trained(
    depth: int, residual: bool, rate: float, seed: int, data: Dataset, epochs: int
) -> cp.ResNet:
    model = cp.cifar_resnet(depth, width=8, residual=residual, in_channels=1, seed=seed)
    settings = {"batch_size": 128, "learning_rate": rate, "seed": seed}
    cp.fit(model, data, epochs=epochs, progress=False, **settings)
    return model


def score(depth: int, residual: bool, rate: float, seed: int, part: Dataset) -> tuple[float, float]:
    model = trained(depth, residual, rate, seed, part, SEARCH_EPOCHS)
    loss, accuracy = cp.evaluate(model, part.x_test, part.y_test)
    return accuracy, -loss


def run(depth: int, residual: bool, rate: float, seed: int, data: Dataset) -> dict[str, float]:
    model = trained(depth, residual, rate, seed, data, EPOCHS)
    return {"train_accuracy": round(cp.evaluate(model, data.x_train, data.y_train)[1], 4)}


if __name__ == "__main__":
    torch.set_num_threads(1)
    tiny = mnist().downsampled(2)
    part = tiny.validation()
    search = common.Runs("depth_seeds_search", __file__)
    rates = {
        (depth, residual): search.best_rate(
            lambda rate, seed, d=depth, r=residual: score(d, r, rate, seed, part),
            common.SGD_RATES,
            SEARCH_SEEDS,
            depth=depth,
            residual=residual,
        )
        for depth, residual in ARMS
    }
    search.store()
    runs = common.Runs("depth_seeds", __file__)
    for depth, residual in ARMS:
        rate = rates[depth, residual]
        for seed in SEEDS:
            runs.row(
                lambda d=depth, r=residual, rate=rate, seed=seed: run(d, r, rate, seed, tiny),
                depth=depth,
                residual=residual,
                learning_rate=rate,
                seed=seed,
            )
    runs.store()
