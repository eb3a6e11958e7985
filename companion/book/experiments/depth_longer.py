"""Does degradation pass with more training? Plain and residual networks at three budgets.

The 5,000 MNIST images averaged to 7 x 7 pixels; 4, 12 and 40 epochs of 62 steps, each run with a
learning-rate cycle of its own, three seeds. Each network and budget has the rate that one search
finds for it on a validation part (3,200 images train, 800 choose), seeds 7 and 8: over 5 and 15
epochs of 50 steps, as many steps as the runs of 4 and 12 epochs have. The runs of 40 epochs take
the rate found for 12: a search of their length is left out. Scores: depth_longer_search.json.

    python -m companion.book.experiments.depth_longer
"""

from __future__ import annotations

import torch

import companion.torch as cp
from companion.book.experiments import common
from companion.book.experiments.depth import best_rate, train
from companion.data import Dataset, mnist

SEEDS = (0, 1, 2)
SEARCH_SEEDS = (7, 8)
ARMS = ((8, False), (32, False), (32, True))
#: Epochs of a run, and of the search whose rate it takes.
BUDGETS = {4: 5, 12: 15, 40: 15}


def run(
    depth: int, residual: bool, epochs: int, rate: float, seed: int, data: Dataset
) -> dict[str, float]:
    with common.cpu_seconds() as seconds:
        model, history = train("torch", depth, residual, rate, seed, data, epochs)
    loss, accuracy = cp.evaluate(model, data.x_train, data.y_train)
    return {
        "last_epoch_loss": round(history.loss[-1], 5),
        "train_loss": round(loss, 5),
        "train_accuracy": round(accuracy, 4),
        "test_accuracy": round(cp.evaluate(model, data.x_test, data.y_test)[1], 4),
        "cpu_seconds": round(seconds[0], 2),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    tiny = mnist().downsampled(2)
    search = common.Runs("depth_longer_search", __file__)
    rates = {
        (depth, residual, epochs): best_rate(
            search, depth, residual, tiny, epochs, SEARCH_SEEDS, epochs=epochs
        )
        for epochs in sorted(set(BUDGETS.values()))
        for depth, residual in ARMS
    }
    search.store()
    runs = common.Runs("depth_longer", __file__)
    for epochs, searched in BUDGETS.items():
        for depth, residual in ARMS:
            rate = rates[depth, residual, searched]
            place = {"depth": depth, "residual": residual, "epochs": epochs}
            for seed in SEEDS:
                runs.row(
                    lambda place=place, rate=rate, seed=seed: run(
                        **place, rate=rate, seed=seed, data=tiny
                    ),
                    **place,
                    learning_rate=rate,
                    seed=seed,
                )
    runs.store()
