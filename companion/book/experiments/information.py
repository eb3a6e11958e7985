"""What is left of the input in the stream: its share of the length, and what can be read off it.

Pre-activation networks of 32 layers on MNIST's 7 x 7 pixels, four epochs, beside the plain control;
the rate of each arm is searched on a validation part, with as many steps. Both are also measured
before training. After every block: which share of the stream's squared length, and which cosine,
the input has that the shortcuts carry (over all channels and over the eight that it fills), and how
much of the pixels' variance a ridge regression recovers from the stream.

The rows of part "label" ask for the label, from the stem on: how many unseen images a linear
classifier gets right that is fitted to the stream, and how many the network's own head does if all
later branches are silent, so that it reads the stream as the shortcuts carry it; once with the
head's norm as it is, once with its statistics taken anew from that stream. About 4 minutes.

    python -m companion.book.experiments.information
"""

from __future__ import annotations

import copy
import dataclasses
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import companion.torch as ct
from companion.book.experiments import common
from companion.data import Dataset, mnist
from companion.torch import probes

SEEDS = (0, 1, 2, 3, 4)
DEPTH, WIDTH = 32, 8
EPOCHS, SEARCH_EPOCHS = 4, 5  # 248 steps of 64 images, and 250 on the four fifths of the search
PENALTIES = 10.0 ** np.arange(-1, 6)


def readable(features: np.ndarray, pixels: np.ndarray, train: int, choose: int) -> float:
    """Return the share of the pixels' variance that a ridge regression recovers on unseen images.

    It is fitted on the first ``train`` rows, its penalty chosen on the next ``choose``, and judged
    on the rest.
    """
    mean, std = features[:train].mean(0), features[:train].std(0)
    x = (features - mean) / np.where(std > 1e-6 * std.max(), std, np.inf)
    y = pixels - pixels[:train].mean(0)
    square, product = x[:train].T @ x[:train], x[:train].T @ y[:train]
    validation, test = slice(train, train + choose), slice(train + choose, None)

    def missed(weights: np.ndarray, part: slice) -> float:
        return float(((y[part] - x[part] @ weights) ** 2).sum() / (y[part] ** 2).sum())

    fits = [np.linalg.solve(square + p * np.eye(len(square)), product) for p in PENALTIES]
    return 1 - missed(min(fits, key=lambda w: missed(w, validation)), test)


def classified(features: np.ndarray, labels: np.ndarray, train: int, choose: int) -> float:
    """Return the share of unseen images whose label a linear classifier reads off.

    Ridge regression to one number for each class, the largest of which decides. Fitted and chosen
    as :func:`readable`, by accuracy.
    """
    classes = np.eye(labels.max() + 1)[labels]
    mean, std = features[:train].mean(0), features[:train].std(0)
    x = (features - mean) / np.where(std > 1e-6 * std.max(), std, np.inf)
    y = classes[:train] - classes[:train].mean(0)
    square, product = x[:train].T @ x[:train], x[:train].T @ y
    offset = classes[:train].mean(0)
    validation, test = slice(train, train + choose), slice(train + choose, None)

    def right(weights: np.ndarray, part: slice) -> float:
        return float(((x[part] @ weights + offset).argmax(1) == labels[part]).mean())

    fits = [np.linalg.solve(square + p * np.eye(len(square)), product) for p in PENALTIES]
    return right(max(fits, key=lambda w: right(w, validation)), test)


def labels_by_block(model: nn.Module, data: Dataset) -> dict[str, Any]:
    """Return how many labels are read off the image, the stem's output and each block's."""
    kept = data.validation()
    images = np.concatenate([kept.x_train, kept.x_test, data.x_test])
    labels = np.concatenate([kept.y_train, kept.y_test, data.y_test])
    sizes = len(kept.x_train), len(kept.x_test)
    flat = images.reshape(len(images), -1).astype(np.float64)
    found: dict[str, Any] = {"raw": round(classified(flat, labels, *sizes), 4)}
    found |= {"label": [], "head": [], "head_renormed": []}
    blocks = list(probes.residual_blocks(model).values())
    # The plain network has no shortcuts: its stream is brought to the head by the residual one's.
    carry = [b.shortcut for b in probes.residual_blocks(network(True, 0)).values()]
    with torch.no_grad():
        stream = model.stem(torch.from_numpy(images).permute(0, 3, 1, 2))
        for at in range(len(blocks) + 1):
            stream = blocks[at - 1](stream) if at else stream
            features = stream.flatten(1).double().numpy()
            found["label"].append(round(classified(features, labels, *sizes), 4))
            carried = stream
            for shortcut in carry[at:]:
                carried = shortcut(carried)
            for key, logits in heads(model.head, carried, sum(sizes)).items():
                right = (logits.argmax(1).numpy() == labels[sum(sizes) :]).mean()
                found[key].append(round(float(right), 4))
    return found


def heads(head: nn.Module, stream: Tensor, train: int) -> dict[str, Tensor]:
    """Return the head's logits of the images after ``train``, its norm as it is and taken anew."""
    anew = copy.deepcopy(head)
    anew.norm.reset_running_stats()
    anew.norm.momentum = None  # the mean over all that it sees, which is one batch
    anew.train()(stream[:train])
    return {"head": head(stream[train:]), "head_renormed": anew.eval()(stream[train:])}


def by_block(model: nn.Module, data: Dataset) -> dict[str, list[float]]:
    """Return what is left of the input after each block; shares and cosines with shortcuts only."""
    kept = data.validation()
    parts = (kept.x_train, kept.x_test, data.x_test)
    images = np.concatenate(parts)
    pixels = images.reshape(len(images), -1).astype(np.float64)
    found: dict[str, list[float]] = {}

    def note(**values: float) -> None:
        for name, value in values.items():
            found.setdefault(name, []).append(round(float(value), 4))

    with torch.no_grad():
        stream = carried = model.stem(torch.from_numpy(images).permute(0, 3, 1, 2))
        for block in probes.residual_blocks(model).values():
            stream = block(stream)
            features = stream.flatten(1).double().numpy()
            note(readable=readable(features, pixels, len(parts[0]), len(parts[1])))
            if block.shortcut is None:
                continue
            carried = block.shortcut(carried)
            test = slice(-len(data.x_test), None)
            own = stream[test, :WIDTH], carried[test, :WIDTH]
            for channels, (s, c) in {"": (stream[test], carried[test]), "_own": own}.items():
                note(**{f"share{channels}": c.square().sum() / s.square().sum()})
                cosine = nn.functional.cosine_similarity(s.flatten(1), c.flatten(1))
                note(**{f"cosine{channels}": cosine.mean()})
    return found


def network(residual: bool, seed: int) -> nn.Module:
    """Return an untrained network of either arm."""
    return ct.cifar_preact_resnet(DEPTH, WIDTH, residual=residual, in_channels=1, seed=seed)


def trained(residual: bool, rate: float, seed: int, data: Dataset, epochs: int) -> nn.Module:
    """Return a trained network in inference mode."""
    model = network(residual, seed)
    settings = {"epochs": epochs, "batch_size": 64, "learning_rate": rate, "seed": seed}
    ct.fit(model, data, progress=False, **settings)
    return model.eval()


def untrained(residual: bool, seed: int, data: Dataset) -> nn.Module:
    """Return a network that has not been trained, but whose norms know the images."""
    model = network(residual, seed).train()
    with torch.no_grad():
        for _ in range(20):
            model(torch.from_numpy(data.x_train[:500]).permute(0, 3, 1, 2))
    return model.eval()


def scaled(data: Dataset) -> Dataset:
    """Return the images with mean 0 and spread 1: else the share says how dark they are."""
    mean, std = data.x_train.mean(), data.x_train.std()
    parts = {key: (getattr(data, key) - mean) / std for key in ("x_train", "x_test")}
    return dataclasses.replace(data, **parts)


def main() -> None:
    torch.set_num_threads(1)
    tiny = scaled(mnist().downsampled(2))
    runs = common.Runs("information", __file__)
    for residual in (True, False):

        def score(rate, seed, residual=residual):
            part = tiny.validation()
            model = trained(residual, rate, seed, part, SEARCH_EPOCHS)
            loss, accuracy = ct.evaluate(model, part.x_test, part.y_test)
            return accuracy, -loss

        rate = runs.best_rate(score, common.SGD_RATES, residual=residual)
        for seed in SEEDS:
            measure(runs, residual, rate, seed, tiny)
    runs.store()


def measure(runs: common.Runs, residual: bool, rate: float, seed: int, data: Dataset) -> None:
    """Keep what is left of the input and of the label, in a network before and after training."""
    nets: dict[bool, nn.Module] = {}  # made when the first row asks

    def net(is_trained: bool) -> nn.Module:
        if is_trained not in nets:
            nets[is_trained] = (
                trained(residual, rate, seed, data, EPOCHS)
                if is_trained
                else untrained(residual, seed, data)
            )
        return nets[is_trained]

    def accuracy() -> float:
        return round(ct.evaluate(net(True), data.x_test, data.y_test)[1], 4)

    place = {"residual": residual, "seed": seed}
    for part, look in (("run", by_block), ("label", labels_by_block)):
        runs.row(
            lambda look=look: {"test_accuracy": accuracy(), **look(net(True), data)},
            learning_rate=rate,
            trained=True,
            part=part,
            **place,
        )
        runs.row(lambda look=look: look(net(False), data), trained=False, part=part, **place)


if __name__ == "__main__":
    main()
