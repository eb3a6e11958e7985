"""How many epochs, and how much time, to a fixed training loss: plain against residual, by depth.

The 5,000 MNIST images averaged to 7 x 7 pixels, twelve epochs of one cycle. Within a pair all is
equal but the shortcuts and the peak learning rate. Each depth of each arm has its own rate: that at
which seed 7 needs the fewest epochs and, among those, ends with the lowest loss. Training loss is
all that is compared here, so it decides the search too. About 15 minutes on one core.

    python -m companion.book.experiments.convergence
"""

from __future__ import annotations

import torch

import companion.torch as ct
from companion.book.experiments import common
from companion.data import Dataset, mnist

SEEDS = (0, 1, 2)
DEPTHS = (8, 44, 20)
EPOCHS = 12
TARGET = 0.3


def losses(data: Dataset, depth: int, residual: bool, rate: float, seed: int) -> list[float]:
    """Train; return the mean training loss of every epoch."""
    model = ct.cifar_resnet(depth, width=8, residual=residual, in_channels=1, seed=seed)
    settings = {"epochs": EPOCHS, "batch_size": 64, "learning_rate": rate, "seed": seed}
    return ct.fit(model, data, progress=False, **settings).loss


def epochs_needed(loss: list[float], target: float = TARGET) -> int:
    """Return the first epoch with at most that mean loss; one more than there are if none has."""
    return next((epoch for epoch, x in enumerate(loss, 1) if x <= target), len(loss) + 1)


def crossing(loss: list[float], target: float = TARGET) -> float:
    """Return when the loss crosses the target, in epochs, on a line between two of them.

    One more than there are epochs if it never does, and 1 if the first has crossed it already.
    """
    at = epochs_needed(loss, target)
    if at == 1 or at > len(loss):
        return float(at)
    before, after = loss[at - 2], loss[at - 1]
    return at - 1 + (before - target) / (before - after)


def main() -> None:
    torch.set_num_threads(1)
    tiny = mnist().downsampled(2)
    runs = common.Runs("convergence", __file__)
    for depth in DEPTHS:
        for residual in (True, False):

            def score(rate, seed, depth=depth, residual=residual):
                loss = losses(tiny, depth, residual, rate, seed)
                return -epochs_needed(loss), -loss[-1]

            place = {"depth": depth, "residual": residual}
            rate = runs.best_rate(score, common.SGD_RATES, **place)
            for seed in SEEDS:

                def make(depth=depth, residual=residual, rate=rate, seed=seed):
                    with common.cpu_seconds() as seconds:
                        loss = losses(tiny, depth, residual, rate, seed)
                    return {
                        "loss": [round(value, 4) for value in loss],
                        "cpu_seconds": round(seconds[0], 2),
                    }

                runs.row(make, depth=depth, learning_rate=rate, residual=residual, seed=seed)
    runs.store()


if __name__ == "__main__":
    main()
