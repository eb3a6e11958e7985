"""Two networks on small digits, with shortcuts and without, whose blocks the reader takes out.

Eight blocks of two dense layers, 32 channels, batch norm before each ReLU, no shape that changes,
so that every block can go and any two can change places. The data are scikit-learn's digits of
8 x 8 pixels. Each arm has its own rate, searched on 300 training images held out, three seeds.
The weights of seed 0 are stored beside the run; figures of the page hold them in eight bits.
Five minutes on one core.

    python -m companion.book.experiments.live_lesions
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from typing import Any

import numpy as np
import torch
from torch import nn

import companion.torch as cp
from companion.book import live_models
from companion.book.experiments import common
from companion.data import Dataset, digits8
from companion.torch import lesions, probes

BLOCKS, CHANNELS = 8, 32
ARMS = ("residual", "plain")
SEEDS, SEARCHED = range(5), (7, 8, 9)
SETTINGS: dict[str, Any] = {
    "epochs": 20,
    "batch_size": 64,
    "optimizer": "adam",
    "progress": False,
}
#: How often three blocks are drawn.
DRAWS = 20


def network(arm: str, seed: int) -> nn.Sequential:
    residual = arm == "residual"
    mlp = cp.residual_mlp(64, 10, BLOCKS, CHANNELS, "batch", residual=residual, seed=seed)
    return nn.Sequential(nn.Flatten(), mlp)


def fitted(arm: str, data: Dataset, rate: float, seed: int) -> nn.Sequential:
    model = network(arm, seed)
    cp.fit(model, data, learning_rate=rate, seed=seed, **SETTINGS)
    return model


def weights_of(model: nn.Sequential) -> dict[str, np.ndarray]:
    """All arrays that inference needs, by their names in the perceptron."""
    state = model[1].state_dict().items()
    return {name: t.numpy().copy() for name, t in state if not name.endswith("_tracked")}


def with_weights(arm: str, weights: dict[str, np.ndarray]) -> nn.Sequential:
    """The network with these weights, in float64."""
    model = network(arm, seed=0).double()
    state = {name: torch.from_numpy(array) for name, array in weights.items()}
    missing, unknown = model[1].load_state_dict(state, strict=False)
    if unknown or any(not name.endswith("_tracked") for name in missing):
        raise ValueError(f"weights must be those of the network, got {sorted(weights)}")
    return model.eval()


def accuracy(model: nn.Module, data: Dataset) -> float:
    return round(cp.evaluate(model, data.x_test, data.y_test)[1], 4)


def measured(model: nn.Sequential, data: Dataset, seed: int) -> dict[str, Any]:
    """Accuracy on the test digits: whole, without each block, without three, and of swaps."""
    names, rng = list(probes.residual_blocks(model)), np.random.default_rng(seed)

    def without(gone: list[str]) -> float:
        with lesions.without_blocks(model, gone):
            return accuracy(model, data)

    def swapped(pair: tuple[str, str]) -> float:
        with lesions.swapped_blocks(model, *pair):
            return accuracy(model, data)

    three = [without(list(rng.choice(names, 3, replace=False))) for _ in range(DRAWS)]
    swaps = [swapped(pair) for pair in combinations(names, 2)]
    return {
        "accuracy": accuracy(model, data),
        "each": [without([name]) for name in names],
        "three": round(float(np.median(three)), 4),
        "swapped": round(float(np.median(swaps)), 4),
    }


def score(arm: str, held: Dataset) -> Callable[[float, int], common.Score]:
    def of(rate: float, seed: int) -> common.Score:
        loss, right = cp.evaluate(fitted(arm, held, rate, seed), held.x_test, held.y_test)
        return right, -loss

    return of


if __name__ == "__main__":
    torch.set_num_threads(1)
    digits, kept = digits8(), {}
    runs = common.Runs("live_lesions", __file__)
    for which in ARMS:
        best = runs.best_rate(
            score(which, digits.validation(300)), common.ADAM_RATES, SEARCHED, arm=which
        )
        for seed in SEEDS:
            model = fitted(which, digits, best, seed)
            place = {"arm": which, "learning_rate": best, "seed": seed}
            runs.row(lambda m=model, s=seed: measured(m, digits, s), weights="float", **place)
            if seed == 0:
                kept[which] = weights_of(model)
                small = with_weights(which, live_models.rounded(kept[which])).float()
                runs.row(lambda m=small: measured(m, digits, 0), weights="int8", **place)
    live_models.save("live_lesions", kept)
    runs.store()
