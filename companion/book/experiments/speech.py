"""Nine speakers told apart: depth, disturbances that training never saw, and strangers.

Residual convolutions over time against plain ones. Accuracy by depth: five seeds, the learning
rate of every arm, depth and budget searched on held-out training utterances (for 60 epochs, after
half of them). Where disturbances or strangers are compared, both arms have equal rates, and all
three are shown: a rate changes robustness more than a shortcut does. Half an hour on one core.

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

SEEDS = range(5)
DEPTHS = (7, 13, 25, 49)
BUDGETS = (20, 60)  # epochs
RATES = (0.003, 0.01, 0.03)  # equal for both arms, where disturbances or strangers are compared
NOISE = (0.0, 0.25, 0.5, 1.0, 2.0)  # in standard deviations of the training frames
OFFSET = (0.0, 0.25, 0.5, 1.0)  # likewise
COMMON = {"batch_size": 30, "optimizer": "adam", "progress": False}


def noisy(x: np.ndarray, lengths: np.ndarray, level: float, seed: int) -> np.ndarray:
    """Add noise to the frames that are real; the padding stays zero."""
    real = np.arange(x.shape[1]) < lengths[:, None]
    noise = np.random.default_rng([seed, 1]).standard_normal(x.shape) * real[..., None]
    return (x + level * noise).astype(np.float32)


def shifted(x: np.ndarray, lengths: np.ndarray, level: float, seed: int) -> np.ndarray:
    """Add twelve constants to each utterance, as another channel does to cepstra."""
    real = np.arange(x.shape[1]) < lengths[:, None]
    constant = np.random.default_rng([seed, 2]).standard_normal((len(x), 1, x.shape[2]))
    return (x + level * constant * real[..., None]).astype(np.float32)


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


def best_rate(
    runs: common.Runs, data: SequenceDataset, depth: int, residual: bool, epochs: int
) -> float:
    """The rate with most held-out utterances right; the smaller loss decides between equals."""
    budget = epochs if epochs == min(BUDGETS) else epochs // 2

    def score(rate: float, seed: int) -> common.Score:
        settings = {"epochs": budget, "learning_rate": rate}
        model, _ = trained(cp, data, depth, residual, seed, **settings)
        loss, right = cp.evaluate(model, data.x_test, data.y_test)
        return right, -loss

    place = {"depth": depth, "residual": residual, "epochs": epochs}
    return runs.best_rate(score, common.ADAM_RATES, **place)


def scored(
    module: Any, data: SequenceDataset, of: dict[str, Any], train: SequenceDataset | None = None
) -> dict[str, Any]:
    """Train one model and test it at every level of noise, and of an offset."""
    settings = {"epochs": of["epochs"], "learning_rate": of["learning_rate"]}
    with common.cpu_seconds() as seconds:
        model, history = trained(
            module, train or data, of["depth"], of["residual"], of["seed"], **settings
        )

    def right(disturb: Any, level: float) -> float:
        x = disturb(data.x_test, data.lengths_test, level, of["seed"])
        return round(module.evaluate(model, x, data.y_test)[1], 4)

    return {
        "train_accuracy": round(module.evaluate(model, data.x_train, data.y_train)[1], 4),
        "test_accuracy": right(noisy, 0.0),
        "by_noise": [right(noisy, level) for level in NOISE],
        "by_offset": [right(shifted, level) for level in OFFSET],
        "last_epoch_loss": round(history.loss[-1], 4),
        "cpu_seconds": round(seconds[0], 2),
    }


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


def strangers(
    data: SequenceDataset, train: np.ndarray, test: np.ndarray, absent: tuple[int, ...]
) -> float:
    """Tell three speakers apart by the nearest mean of features that were learnt without them."""
    means = np.stack([train[data.y_train == k].mean(0) for k in absent])
    chosen = np.isin(data.y_test, absent)
    distances = np.linalg.norm(test[chosen][:, None] - means, axis=2)
    return float(np.mean(np.array(absent)[distances.argmin(1)] == data.y_test[chosen]))


def averages(model: nn.Sequential, x: np.ndarray, lengths: np.ndarray) -> dict[str, np.ndarray]:
    """Features of each utterance: averages over all frames, as in training, and over real ones."""
    with torch.no_grad():
        frames = nn.Sequential(*list(model.children())[:-2]).eval()(torch.from_numpy(x)).numpy()
    real = (np.arange(x.shape[1]) < lengths[:, None])[..., None]
    return {"all": frames.mean(1), "real": (frames * real).sum(1) / lengths[:, None]}


def embedding(data: SequenceDataset, of: dict[str, Any]) -> dict[str, Any]:
    """Mean over three groups of speakers, each absent in training once; 0 epochs train nothing.

    The features as they are; averaged over real frames only; brought to one deviation over the
    training utterances of the six others; and both.
    """
    settings = {"epochs": of["epochs"], "learning_rate": of["learning_rate"]}
    right: dict[str, list[float]] = {}
    for absent in ((0, 1, 2), (3, 4, 5), (6, 7, 8)):
        known = six(data, absent)
        if of["epochs"]:
            model, _ = trained(cp, known, of["depth"], of["residual"], of["seed"], **settings)
        else:
            shape = {"num_classes": known.num_classes, "residual": of["residual"]}
            model = cp.speech_resnet(of["depth"], **shape, seed=of["seed"])
        parts = [(known.x_train, known.lengths_train), (data.x_train, data.lengths_train)]
        parts.append((data.x_test, data.lengths_test))
        others, train, test = (averages(model, x, lengths) for x, lengths in parts)
        for frames, name in (("all", "strangers"), ("real", "strangers, real frames")):
            scale = others[frames].std(0) + 1e-6  # a channel may be silent
            for by, suffix in ((1.0, ""), (scale, ", one scale")):
                found = strangers(data, train[frames] / by, test[frames] / by, absent)
                right.setdefault(name + suffix, []).append(found)
    return {name: round(float(np.mean(values)), 4) for name, values in right.items()}


def depths(runs: common.Runs, data: SequenceDataset) -> None:
    """Every arm by depth and budget, each at the rate that was found for it; some in Keras too."""
    held = data.validation()
    for epochs, depth, residual in product(BUDGETS, DEPTHS, (True, False)):
        rate = best_rate(runs, held, depth, residual, epochs)
        arm = {"depth": depth, "residual": residual, "epochs": epochs, "learning_rate": rate}
        modules = {"torch": cp, "tensorflow": cf} if (epochs, depth) == (20, 25) else {"torch": cp}
        for (framework, module), seed in product(modules.items(), SEEDS):
            of = {"framework": framework, **arm, "seed": seed, "training": "clean"}
            runs.row(lambda module=module, of=of: scored(module, data, of), **of)


def louder(runs: common.Runs, data: SequenceDataset) -> None:
    """Thirteen layers trained with noise, and as many steps without it, all at one rate."""
    arm = {"framework": "torch", "depth": 13, "learning_rate": 0.01}
    for residual, seed in product((True, False), SEEDS):
        of = {**arm, "residual": residual, "seed": seed}
        noise = {**of, "epochs": 20, "training": "with noise"}
        runs.row(lambda of=noise: scored(cp, data, of, with_noise(data, of["seed"])), **noise)
        clean = {**of, "epochs": 60, "training": "clean, as many steps"}
        runs.row(lambda of=clean: scored(cp, data, of), **clean)


def features(runs: common.Runs, data: SequenceDataset) -> None:
    """Strangers told apart by features that were learnt without them, at equal rates, or by none.

    The control of what training gave: the same networks at their start.
    """
    for epochs, residual, seed in product((0, 20), (True, False), SEEDS):
        for rate in RATES if epochs else (0.0,):
            of = {"framework": "torch", "depth": 13, "residual": residual, "epochs": epochs}
            of |= {"learning_rate": rate, "seed": seed, "training": "six speakers"}
            runs.row(lambda of=of: embedding(data, of), **of)


def robustness(runs: common.Runs, data: SequenceDataset) -> None:
    """Depths at which both arms are accurate, every rate: does the shortcut stand more?

    The deeper of them also three times longer: is the plain network less robust, or less trained?
    """
    for (depth, epochs), rate, residual, seed in product(
        ((7, 20), (13, 20), (13, 60)), RATES, (True, False), range(6)
    ):
        of = {"framework": "torch", "depth": depth, "residual": residual, "epochs": epochs}
        of |= {"learning_rate": rate, "seed": seed, "training": "clean"}
        runs.row(lambda of=of: scored(cp, data, of), **of)


if __name__ == "__main__":
    torch.set_num_threads(1)
    vowels = japanese_vowels()
    disturbed = common.Runs("speech_noise", __file__)
    robustness(disturbed, vowels)
    disturbed.store()
    told_apart = common.Runs("speech", __file__)
    louder(told_apart, vowels)
    features(told_apart, vowels)
    depths(told_apart, vowels)
    told_apart.store()
