"""Nine speakers told apart: depth, noise that training never saw, and speakers it never met.

Residual convolutions over time against plain ones, three seeds; the learning rate of every arm,
depth and budget is the best of three on held-out training utterances. About 15 minutes on one core.

    python -m companion.book.experiments.speech
"""

from __future__ import annotations

from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import torch
from torch import nn

import companion.tensorflow as cf
import companion.torch as cp
from companion.book.experiments import common
from companion.data import SequenceDataset, japanese_vowels

SEEDS = (0, 1, 2)
DEPTHS = (7, 13, 25, 49)
BUDGETS = (20, 60)  # epochs
RATES = (0.003, 0.01, 0.03)
NOISE = (0.0, 0.25, 0.5, 1.0, 2.0)  # in standard deviations of the training frames
COMMON = {"batch_size": 30, "optimizer": "adam", "progress": False}


def noisy(x: np.ndarray, lengths: np.ndarray, level: float, seed: int) -> np.ndarray:
    """Add noise to the frames that are real; the padding stays zero."""
    real = np.arange(x.shape[1]) < lengths[:, None]
    noise = np.random.default_rng([seed, 1]).standard_normal(x.shape) * real[..., None]
    return (x + level * noise).astype(np.float32)


def with_noise(data: SequenceDataset, seed: int) -> SequenceDataset:
    """Every training utterance three times: clean, with noise 0.5 and with noise 1."""
    parts = [noisy(data.x_train, data.lengths_train, s, seed + 100) for s in (0.0, 0.5, 1.0)]
    return replace(
        data,
        x_train=np.concatenate(parts),
        y_train=np.tile(data.y_train, 3),
        lengths_train=np.tile(data.lengths_train, 3),
    )


def trained(
    module: Any, data: SequenceDataset, depth: int, residual: bool, seed: int, **settings: Any
):
    model = module.speech_resnet(depth, num_classes=data.num_classes, residual=residual, seed=seed)
    return model, module.fit(model, data, seed=seed, **COMMON, **settings)


def best_rate(data: SequenceDataset, depth: int, residual: bool, epochs: int) -> float:
    """The rate with most held-out utterances right; the smaller loss decides between equals."""
    scores = {}
    for rate in RATES:
        settings = {"epochs": epochs, "learning_rate": rate}
        model, _ = trained(cp, data, depth, residual, 7, **settings)
        loss, right = cp.evaluate(model, data.x_test, data.y_test)
        scores[rate] = right, -loss
    print(depth, residual, epochs, scores, flush=True)
    return max(scores, key=scores.__getitem__)


def scored(
    module: Any, data: SequenceDataset, of: dict[str, Any], train: SequenceDataset | None = None
):
    """Train one model and test it at every level of noise."""
    settings = {"epochs": of["epochs"], "learning_rate": of["learning_rate"]}
    with common.cpu_seconds() as seconds:
        model, history = trained(
            module, train or data, of["depth"], of["residual"], of["seed"], **settings
        )
    by_noise = [
        module.evaluate(model, noisy(data.x_test, data.lengths_test, s, of["seed"]), data.y_test)[1]
        for s in NOISE
    ]
    result = {
        **of,
        "train_accuracy": round(module.evaluate(model, data.x_train, data.y_train)[1], 4),
        "test_accuracy": round(by_noise[0], 4),
        "by_noise": [round(a, 4) for a in by_noise],
        "last_epoch_loss": round(history.loss[-1], 4),
        "cpu_seconds": round(seconds[0], 2),
    }
    print(result, flush=True)
    return result


def six(data: SequenceDataset, absent: tuple[int, ...]) -> SequenceDataset:
    """The training part without three of the speakers, the others numbered from 0."""
    kept = np.isin(data.y_train, absent, invert=True)
    return replace(
        data,
        x_train=data.x_train[kept],
        lengths_train=data.lengths_train[kept],
        y_train=np.unique(data.y_train[kept], return_inverse=True)[1].astype(np.int64),
        num_classes=data.num_classes - len(absent),
    )


def strangers(data: SequenceDataset, features: Any, absent: tuple[int, ...]) -> float:
    """Tell three speakers apart by the nearest mean of features that were learnt without them."""
    train, test = features(data.x_train), features(data.x_test)
    means = np.stack([train[data.y_train == k].mean(0) for k in absent])
    chosen = np.isin(data.y_test, absent)
    distances = np.linalg.norm(test[chosen][:, None] - means, axis=2)
    return float(np.mean(np.array(absent)[distances.argmin(1)] == data.y_test[chosen]))


def embedding(data: SequenceDataset, of: dict[str, Any]) -> dict[str, Any]:
    """Mean over three groups of speakers, each absent in training once."""
    settings = {"epochs": of["epochs"], "learning_rate": of["learning_rate"]}
    right = []
    for absent in ((0, 1, 2), (3, 4, 5), (6, 7, 8)):
        model, _ = trained(
            cp, six(data, absent), of["depth"], of["residual"], of["seed"], **settings
        )
        body = nn.Sequential(*list(model.children())[:-1]).eval()
        right.append(strangers(data, lambda x, body=body: cp.predict(body, x), absent))
    result = {**of, "strangers": round(float(np.mean(right)), 4)}
    print(result, flush=True)
    return result


def depths(data: SequenceDataset) -> list[dict[str, Any]]:
    """Every arm by depth and budget, each at its best rate."""
    held = data.validation()
    runs: list[dict[str, Any]] = []
    for depth, residual, epochs in product(DEPTHS, (True, False), BUDGETS):
        rate = best_rate(held, depth, residual, epochs)
        arm = {"depth": depth, "residual": residual, "epochs": epochs, "learning_rate": rate}
        for seed in SEEDS:
            of = {**arm, "seed": seed, "training": "clean"}
            runs.append(scored(cp, data, {"framework": "torch", **of}))
            if epochs == 20 and depth in (13, 25):
                runs.append(scored(cf, data, {"framework": "tensorflow", **of}))
                strange = {"framework": "torch", **of, "training": "six speakers"}
                runs.append(embedding(data, strange))
            if epochs == 20 and depth == 13:
                # As many steps as 60 epochs of the clean utterances.
                louder = {"framework": "torch", **of, "training": "with noise"}
                runs.append(scored(cp, data, louder, with_noise(data, seed)))
    return runs


def robustness(data: SequenceDataset) -> list[dict[str, Any]]:
    """Depths at which both arms are accurate, every rate: does the shortcut stand noise better?"""
    cases = product((7, 13), RATES, (True, False), range(6))
    return [
        scored(
            cp,
            data,
            {
                "framework": "torch",
                "depth": depth,
                "residual": residual,
                "epochs": 20,
                "learning_rate": rate,
                "seed": seed,
                "training": "clean",
            },
        )
        for depth, rate, residual, seed in cases
    ]


if __name__ == "__main__":
    torch.set_num_threads(1)
    vowels = japanese_vowels()
    common.store("speech", "companion/book/experiments/speech.py", depths(vowels))
    common.store("speech_noise", "companion/book/experiments/speech.py", robustness(vowels))
