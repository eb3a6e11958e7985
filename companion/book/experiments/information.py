"""What is left of the input in the stream: its share of the length, and what can be read off it.

Pre-activation networks of 32 layers on MNIST's 7 x 7 pixels, four epochs, beside the plain control;
the rate of each arm is searched on a validation part, with as many steps. Both are also measured
before training. After every block: which share of the stream's squared length, and which cosine,
the input has that the shortcuts carry (over all channels and over the eight that it fills), and how
much of the pixels' variance a ridge regression recovers from the stream. About 2 minutes on a core.

    python -m companion.book.experiments.information
"""

from __future__ import annotations

import dataclasses

import numpy as np
import torch
from torch import nn

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

            def make(residual=residual, rate=rate, seed=seed):
                model = trained(residual, rate, seed, tiny, EPOCHS)
                accuracy = round(ct.evaluate(model, tiny.x_test, tiny.y_test)[1], 4)
                return {"test_accuracy": accuracy, **by_block(model, tiny)}

            place = {"part": "run", "residual": residual, "seed": seed}
            runs.row(make, learning_rate=rate, trained=True, **place)

            def make_untrained(residual=residual, seed=seed):
                model = network(residual, seed).train()
                with torch.no_grad():  # the norms' statistics, without a step
                    for _ in range(20):
                        model(torch.from_numpy(tiny.x_train[:500]).permute(0, 3, 1, 2))
                return by_block(model.eval(), tiny)

            runs.row(make_untrained, trained=False, **place)
    runs.store()


if __name__ == "__main__":
    main()
