"""What a network that was trained on other digits is worth, by the number of new images.

Digits 0 to 5 of MNIST at 14x14 pixels train a network; its body then goes to digits 6 to 9 with a
fresh head, and all of it is trained, or the head alone. The control starts from fresh weights. All
arms take the same 96 steps on the same images. Each arm's learning rate is searched on 400 images
that are in no part, by the mean accuracy of two runs. Five seeds, each with its own network, images
and head. About 5 minutes on one core.

    python -m companion.book.experiments.finetuning
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import cache, partial
from typing import Any

import numpy as np
import torch
from torch import nn

import companion.torch as ct
from companion import weights
from companion.book.experiments import common
from companion.data import Dataset, mnist

SEEDS, SEARCH = (0, 1, 2, 3, 4), (10, 11)
ARMS = ("from scratch", "fine-tuned", "body frozen")
BEFORE, NEW = (0, 1, 2, 3, 4, 5), (6, 7, 8, 9)
#: New images of each class.
SIZES = (5, 20, 80)
STEPS, BATCH, HELD = 96, 20, 400


def of_classes(digits: Dataset, classes: tuple[int, ...]) -> Dataset:
    """Return the images of some classes, numbered from 0."""
    parts: dict[str, Any] = {"num_classes": len(classes)}
    for part in ("train", "test"):
        x, y = getattr(digits, f"x_{part}"), getattr(digits, f"y_{part}")
        kept = np.isin(y, classes)
        parts |= {f"x_{part}": x[kept], f"y_{part}": np.searchsorted(classes, y[kept])}
    return replace(digits, **parts)


def drawn(digits: Dataset, size: int, seed: int) -> Dataset:
    """Return ``size`` training images of each class, drawn by the seed."""
    order = np.random.default_rng([seed, size]).permutation(len(digits.x_train))
    labels = digits.y_train[order]
    each = [order[labels == label][:size] for label in range(digits.num_classes)]
    chosen = np.concatenate(each)
    return replace(digits, x_train=digits.x_train[chosen], y_train=digits.y_train[chosen])


def network(classes: int, seed: int) -> nn.Module:
    return ct.cifar_resnet(14, 16, in_channels=1, num_classes=classes, seed=seed)


def start(arm: str, before: nn.Module, seed: int) -> nn.Module:
    """Return the network of an arm, untrained on the new digits."""
    model = network(len(NEW), 100 + seed)
    if arm != "from scratch":
        weights.transfer(before, model, partial=True)
    if arm == "body frozen":
        for part in (model.stem, model.stages):
            part.requires_grad_(False).eval()
    return model


def trained(arm: str, before: nn.Module, data: Dataset, size: int, seed: int, rate: float) -> dict:
    """Train an arm on a draw of ``data``, and test it on all of data's test images."""
    model, images = start(arm, before, seed), drawn(data, size, seed)
    settings = {
        "epochs": STEPS * BATCH // len(images.x_train),
        "batch_size": BATCH,
        "learning_rate": rate,
        "seed": seed,
    }
    with common.cpu_seconds() as seconds:
        history = ct.fit(model, images, progress=False, **settings)
    return {
        "last_epoch_loss": round(history.loss[-1], 4),
        "test_accuracy": round(ct.evaluate(model, data.x_test, data.y_test)[1], 4),
        "cpu_seconds": round(seconds[0], 2),
    }


@cache
def before(seed: int) -> nn.Module:
    """Return the network that has learnt the digits 0 to 5."""
    model, data = network(len(BEFORE), seed), of_classes(mnist().downsampled(), BEFORE)
    ct.fit(model, data, epochs=4, batch_size=32, learning_rate=0.1, seed=seed, progress=False)
    return model


def learnt_before(seed: int) -> dict:
    data = of_classes(mnist().downsampled(), BEFORE)
    accuracy = ct.evaluate(before(seed), data.x_test, data.y_test)[1]
    return {"test_accuracy": round(accuracy, 4)}


def main() -> None:
    torch.set_num_threads(1)
    runs = common.Runs("finetuning", __file__)
    new = of_classes(mnist().downsampled(), NEW)
    pool = new.validation(HELD)  # of which the last HELD images choose the learning rates
    final = replace(pool, x_test=new.x_test, y_test=new.y_test)
    for seed in (*SEARCH, *SEEDS):
        runs.row(partial(learnt_before, seed), part="before", seed=seed)
    for size in SIZES:
        for arm in ARMS:

            def run(
                data: Dataset, rate: float, seed: int, arm: str = arm, size: int = size
            ) -> dict:
                return trained(arm, before(seed), data, size, seed, rate)

            def score(rate: float, seed: int, run: Callable = run) -> float:
                return run(pool, rate, seed)["test_accuracy"]

            place = {"arm": arm, "images_per_class": size}
            rate = runs.best_rate(score, common.SGD_RATES, SEARCH, **place)
            for seed in SEEDS:
                at = {"part": "test", **place, "learning_rate": rate, "seed": seed}
                runs.row(partial(run, final, rate, seed), **at)
    runs.store()


if __name__ == "__main__":
    main()
