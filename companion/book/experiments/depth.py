"""Residual and plain networks by depth on real digits: six seeds, three of them in TensorFlow too.

The 5,000 MNIST images, averaged over 2 x 2 pixels to 14 x 14; four epochs of 62 steps. Within a
pair the branches, initial weights, batches and schedule are equal. Each depth, with and without
shortcuts, has the learning rate that one search finds for it: in PyTorch, on a validation part
(3,200 images train, 800 choose; five epochs of 50 steps), over three seeds. TensorFlow takes those
rates. The scores of the search are in depth_search.json. About 40 minutes on one core.

    python -m companion.book.experiments.depth
"""

from __future__ import annotations

from typing import Any

import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion.book.experiments import common
from companion.data import Dataset, mnist

SEEDS = {"torch": range(6), "tensorflow": range(3)}
SEARCH_SEEDS = (7, 8, 9)  # deep plain networks scatter
DEPTHS = {"torch": (8, 20, 32, 44, 56), "tensorflow": (8, 44)}
EPOCHS = 4
SEARCH_EPOCHS = 5  # of 50 steps instead of 62, since fewer images train


def train(
    framework: str, depth: int, residual: bool, rate: float, seed: int, data: Dataset, epochs: int
) -> tuple[Any, Any]:
    """Return a trained network and the history of its training."""
    companion = {"torch": cp, "tensorflow": ct}[framework]
    model = companion.cifar_resnet(depth, width=8, residual=residual, in_channels=1, seed=seed)
    settings = {"batch_size": 64, "learning_rate": rate, "seed": seed}
    return model, companion.fit(model, data, epochs=epochs, progress=False, **settings)


def best_rate(
    search: common.Runs,
    depth: int,
    residual: bool,
    data: Dataset,
    epochs: int,
    seeds: tuple[int, ...] = SEARCH_SEEDS,
    /,
    **more: Any,
) -> float:
    """Search the rate with the highest accuracy on the validation part; loss decides ties."""
    part = data.validation()

    def score(rate: float, seed: int) -> tuple[float, float]:
        model, _ = train("torch", depth, residual, rate, seed, part, epochs)
        loss, accuracy = cp.evaluate(model, part.x_test, part.y_test)
        return accuracy, -loss

    place = {"depth": depth, "residual": residual, **more}
    return search.best_rate(score, common.SGD_RATES, seeds, **place)


def run(
    framework: str, depth: int, residual: bool, rate: float, seed: int, data: Dataset
) -> dict[str, float]:
    companion = {"torch": cp, "tensorflow": ct}[framework]
    with common.cpu_seconds() as seconds:
        model, history = train(framework, depth, residual, rate, seed, data, EPOCHS)
    return {
        "last_epoch_loss": round(history.loss[-1], 4),
        "train_accuracy": round(companion.evaluate(model, data.x_train, data.y_train)[1], 4),
        "test_accuracy": round(companion.evaluate(model, data.x_test, data.y_test)[1], 4),
        "cpu_seconds": round(seconds[0], 2),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    small = mnist().downsampled()
    search = common.Runs("depth_search", __file__)
    rates = {
        (depth, residual): best_rate(search, depth, residual, small, SEARCH_EPOCHS)
        for depth in DEPTHS["torch"]
        for residual in (True, False)
    }
    search.store()
    runs = common.Runs("depth", __file__)
    for framework, depths in DEPTHS.items():
        for depth in depths:
            for residual in (True, False):
                rate = rates[depth, residual]
                arm = {"framework": framework, "depth": depth, "residual": residual}
                for seed in SEEDS[framework]:
                    runs.row(
                        lambda arm=arm, rate=rate, seed=seed: run(
                            **arm, rate=rate, seed=seed, data=small
                        ),
                        **arm,
                        learning_rate=rate,
                        seed=seed,
                    )
    runs.store()
