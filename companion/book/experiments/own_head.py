"""What a network's own head makes of each stream, and what a linear reader fitted to it does.

Dense stacks of six blocks with layer norm, whose stream has 64 numbers from stem to head, so that
the head can be put behind any block; with shortcuts and without. MNIST's 7 x 7 pixels, four epochs
of Adam; each arm's rate is searched on the last fifth of the training images. Behind the stem and
every block, in trained and in untrained stacks: the test accuracy of the stack's own head, that of
a linear classifier fitted there, and how much of the pixels' variance a ridge regression recovers.

    python -m companion.book.experiments.own_head
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import nn

import companion.torch as ct
from companion.book.experiments import common
from companion.book.experiments.information import classified, readable, scaled
from companion.book.experiments.late_layers import streams
from companion.data import Dataset, mnist

SEEDS = (0, 1, 2, 3, 4)
BLOCKS, WIDTH, EPOCHS = 6, 64, 4


def stack(residual: bool, seed: int) -> nn.Sequential:
    """Return an untrained stack for images (N, 1, 7, 7)."""
    options: dict[str, Any] = {"norm": "layer", "residual": residual, "seed": seed}
    return nn.Sequential(nn.Flatten(), ct.residual_mlp(49, 10, BLOCKS, WIDTH, **options))


def trained(residual: bool, rate: float, seed: int, data: Dataset) -> nn.Sequential:
    """Return a trained stack in inference mode."""
    model = stack(residual, seed)
    how: dict[str, Any] = {"epochs": EPOCHS, "optimizer": "adam", "learning_rate": rate}
    ct.fit(model, data, batch_size=64, seed=seed, progress=False, **how)
    return model.eval()


@torch.no_grad()
def by_block(model: nn.Sequential, data: Dataset) -> dict[str, list[float]]:
    """Return the three numbers of each stream."""
    kept = data.validation()
    images = np.concatenate([kept.x_train, kept.x_test, data.x_test])
    labels = np.concatenate([kept.y_train, kept.y_test, data.y_test])
    sizes = len(kept.x_train), len(kept.x_test)
    pixels = images.reshape(len(images), -1).astype(np.float64)
    found: dict[str, list[float]] = {"head": [], "label": [], "readable": []}
    for stream in streams(model, torch.from_numpy(images).permute(0, 3, 1, 2)):
        features = stream.double().numpy()
        logits = model[1].dense(model[1].relu(stream[sum(sizes) :]))
        right = (logits.argmax(1).numpy() == labels[sum(sizes) :]).mean()
        found["head"].append(round(float(right), 4))
        found["label"].append(round(classified(features, labels, *sizes), 4))
        found["readable"].append(round(readable(features, pixels, *sizes), 4))
    return found


def main() -> None:
    torch.set_num_threads(1)
    tiny = scaled(mnist().downsampled(2))
    runs = common.Runs("own_head", __file__)
    for residual in (True, False):

        def score(rate: float, seed: int, residual: bool = residual) -> tuple[float, float]:
            part = tiny.validation()
            model = trained(residual, rate, seed, part)
            loss, accuracy = ct.evaluate(model, part.x_test, part.y_test)
            return accuracy, -loss

        rate = runs.best_rate(score, common.ADAM_RATES, residual=residual)
        for seed in SEEDS:
            place = {"part": "run", "residual": residual, "seed": seed}
            runs.row(
                lambda residual=residual, rate=rate, seed=seed: by_block(
                    trained(residual, rate, seed, tiny), tiny
                ),
                trained=True,
                learning_rate=rate,
                **place,
            )
            runs.row(
                lambda residual=residual, seed=seed: by_block(stack(residual, seed).eval(), tiny),
                trained=False,
                **place,
            )
    runs.store()


if __name__ == "__main__":
    main()
