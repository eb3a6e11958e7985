"""Do a shortcut's own parameters make a network overfit? Options A, B and C on few images.

A network of 20 layers on 1,000 of MNIST's images of 7 x 7 pixels, sixteen epochs: option A has no
parameters, B has projections where the shape changes, C in every block. Same branches, initial
weights and batches. Each option has the rate of a search on 800 other images, with as many steps;
B and C also run at the rate of A. About 3 minutes on one core.

    python -m companion.book.experiments.projections
"""

from __future__ import annotations

import dataclasses

import torch

import companion.torch as ct
from companion.book.experiments import common
from companion.data import Dataset, mnist

SEEDS = (0, 1, 2, 3, 4, 5)
OPTIONS = ("A", "B", "C")
DEPTH, IMAGES, EPOCHS = 20, 1000, 16


def trained(option: str, rate: float, seed: int, data: Dataset) -> dict[str, float]:
    """Train one network; return its size and what it reached."""
    net = ct.cifar_resnet(DEPTH, width=8, shortcut=option, in_channels=1, seed=seed)
    settings = {"epochs": EPOCHS, "batch_size": 64, "learning_rate": rate, "seed": seed}
    ct.fit(net, data, progress=False, **settings)
    loss, accuracy = ct.evaluate(net, data.x_test, data.y_test)
    return {
        "parameters": sum(p.numel() for p in net.parameters()),
        "train_accuracy": round(ct.evaluate(net, data.x_train, data.y_train)[1], 4),
        "test_accuracy": round(accuracy, 4),
        "test_loss": round(loss, 4),
    }


def few(data: Dataset) -> Dataset:
    """Return the data set with only its first training images."""
    return dataclasses.replace(data, x_train=data.x_train[:IMAGES], y_train=data.y_train[:IMAGES])


def main() -> None:
    torch.set_num_threads(1)
    tiny = mnist().downsampled(2)
    runs = common.Runs("projections", __file__)

    def rows(part: str, option: str, rate: float) -> None:
        for seed in SEEDS:
            runs.row(
                lambda seed=seed: trained(option, rate, seed, few(tiny)),
                **{"part": part, "option": option, "learning_rate": rate, "seed": seed},
            )

    rates = {}
    for option in OPTIONS:

        def score(rate: float, seed: int, option: str = option) -> tuple[float, float]:
            row = trained(option, rate, seed, few(tiny.validation()))
            return row["test_accuracy"], -row["test_loss"]

        rates[option] = runs.best_rate(score, common.SGD_RATES, option=option)
        rows("run", option, rates[option])
    for option in OPTIONS[1:]:
        rows("at the rate of A", option, rates["A"])
    runs.store()


if __name__ == "__main__":
    main()
