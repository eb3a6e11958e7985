"""What the shortcut carries forward, and what it carries back: each with and without the other.

Four arms of 32 layers on MNIST's 7 x 7 pixels, four epochs. "both" is the residual network. In
"forward only" the shortcut's values are added and its gradient is dropped; in "backward only" it
adds zeros whose gradient is that of the shortcut; "none" is the plain control. Equal branches,
initial weights, and batches. Each arm's rate is searched on a validation part, with as many steps.
About 4 minutes on one core.

    python -m companion.book.experiments.detached
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

import companion.torch as ct
from companion.book.experiments import common
from companion.data import Dataset, mnist
from companion.torch import probes

SEEDS = (0, 1, 2)
DEPTH = 32
EPOCHS, SEARCH_EPOCHS = 4, 5  # 248 steps of 64 images, and 250 on the four fifths of the search


class ForwardOnly(nn.Module):
    """The values of x, without its gradient."""

    def forward(self, x: Tensor) -> Tensor:
        return x.detach()


class BackwardOnly(nn.Module):
    """Zeros, with the gradient of x."""

    def forward(self, x: Tensor) -> Tensor:
        return x - x.detach()


ARMS = {"both": None, "forward only": ForwardOnly, "backward only": BackwardOnly, "none": None}


def network(arm: str, seed: int, depth: int = DEPTH) -> nn.Module:
    """Return the network of an arm; all arms of a seed have the same weights."""
    net = ct.cifar_resnet(depth, width=8, residual=arm != "none", in_channels=1, seed=seed)
    change = ARMS[arm]
    if change is not None:
        for block in probes.residual_blocks(net).values():
            block.shortcut = nn.Sequential(block.shortcut, change())
    return net


def trained(arm: str, rate: float, seed: int, data: Dataset, epochs: int) -> dict:
    """Train one network; return what it reached."""
    net = network(arm, seed)
    settings = {"epochs": epochs, "batch_size": 64, "learning_rate": rate, "seed": seed}
    history = ct.fit(net, data, progress=False, **settings)
    loss, accuracy = ct.evaluate(net, data.x_test, data.y_test)
    return {
        "loss": [round(value, 4) for value in history.loss],
        "train_accuracy": round(ct.evaluate(net, data.x_train, data.y_train)[1], 4),
        "test_accuracy": round(accuracy, 4),
        "test_loss": round(loss, 4),
    }


def main() -> None:
    torch.set_num_threads(1)
    tiny = mnist().downsampled(2)
    runs = common.Runs("detached", __file__)
    for arm in ARMS:

        def score(rate, seed, arm=arm):
            row = trained(arm, rate, seed, tiny.validation(), SEARCH_EPOCHS)
            return row["test_accuracy"], -row["test_loss"]

        rate = runs.best_rate(score, common.SGD_RATES, arm=arm)
        for seed in SEEDS:

            def make(arm=arm, rate=rate, seed=seed):
                return trained(arm, rate, seed, tiny, EPOCHS)

            runs.row(make, part="run", arm=arm, learning_rate=rate, seed=seed)
    runs.store()


if __name__ == "__main__":
    main()
