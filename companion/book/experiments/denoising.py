"""Photographs under noise: predict the noise or the clean image, and where each one starts.

Six convolutions of 16 channels, with and without batch norm, at three levels of noise; at the
weakest also four times longer. Six seeds, three at the middle noise and in the longer runs. The
learning rate of every arm is searched on two held-out training photographs, with as many steps as
are reported: over two seeds in the short runs at the weakest noise, over one elsewhere. About 20
minutes on one core.

    python -m companion.book.experiments.denoising
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial
from itertools import product
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from skimage.restoration import denoise_nl_means

import companion.tensorflow as cf
import companion.torch as cp
from companion.book.experiments import common
from companion.data import Photographs, add_gaussian_noise, photographs, random_patches
from companion.metrics import psnr

SEEDS = (0, 1, 2, 3, 4, 5)
SIGMAS = (10, 25, 50)
DEPTH, CHANNELS = 6, 16
PATCHES = {"size": 32, "count": 2400}
BATCH = 16
SHORT, LONG = 1, 4  # epochs: 150 and 600 steps
ARMS = ("direct", "residual", "residual, zero", "direct, identity")


def started(arm: str, norm: bool, seed: int) -> torch.nn.Module:
    """A network whose last layer starts as the arm says.

    The companion's own start takes its spread from a layer's outgoing channels, of which the last
    has 1; here the incoming ones are counted, which makes it quieter by sqrt(CHANNELS).
    """
    model = cp.dncnn(DEPTH, CHANNELS, norm=norm, residual=arm.startswith("residual"), seed=seed)
    convolutions = [m for m in model.whole.branch if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        convolutions[-1].weight *= CHANNELS**-0.5
        if "zero" in arm:
            convolutions[-1].weight.zero_()
        if "identity" in arm:  # the first channel carries the image; the others are not yet read
            convolutions[-1].weight.zero_()
            for convolution in convolutions:
                convolution.weight[0] = 0
                convolution.weight[0, 0, 1, 1] = 1
    return model


def started_in_keras(arm: str, norm: bool, seed: int) -> Any:
    model = cf.dncnn(DEPTH, CHANNELS, norm=norm, residual=arm.startswith("residual"), seed=seed)
    last = model.get_layer("whole").branch.layers[-1].kernel
    last.assign(last * (0.0 if "zero" in arm else CHANNELS**-0.5))
    return model


def task(photos: Photographs, sigma: float, seed: int) -> SimpleNamespace:
    clean = random_patches(photos.x_train, **PATCHES, seed=seed)
    return SimpleNamespace(x_train=add_gaussian_noise(clean, sigma, seed), y_train=clean)


def scores(photos: Photographs, sigma: float, seed: int, denoise: Any) -> list[float]:
    """PSNR on each test photograph, in decibels."""
    return [psnr(x, denoise(add_gaussian_noise(x, sigma, seed + 100))) for x in photos.x_test]


def network(module: Any, model: Any) -> Any:
    return lambda x: module.predict(model, x[None])[0]


def trained(module: Any, model: Any, data: Any, epochs: int, rate: float, seed: int) -> float:
    settings = {"epochs": epochs, "learning_rate": rate, "seed": seed, "batch_size": BATCH}
    settings |= {"optimizer": "adam", "weight_decay": 0.0, "loss": "squared_error"}
    with common.cpu_seconds() as seconds:
        module.fit(model, data, progress=False, **settings)
    return round(seconds[0], 2)


def restored(photos: Photographs, sigma: float, seed: int, denoise: Any) -> dict[str, Any]:
    """PSNR on the test photographs, and what it is with brightness and contrast put right."""
    answers = [denoise(add_gaussian_noise(x, sigma, seed + 100)) for x in photos.x_test]
    pairs = list(zip(photos.x_test, answers, strict=True))
    each = [psnr(x, y) for x, y in pairs]
    fitted = [psnr(x, brightness_and_contrast_of(x, y)) for x, y in pairs]
    return {
        "psnr": round(float(np.mean(each)), 3),
        "fitted": round(float(np.mean(fitted)), 3),
        "each": [round(e, 3) for e in each],
    }


def brightness_and_contrast_of(clean: np.ndarray, answer: np.ndarray) -> np.ndarray:
    """Return a times the answer plus b, for the a and b that come closest to the clean image."""
    a, b = np.polyfit(answer.ravel().astype(float), clean.ravel().astype(float), 1)
    return (a * answer + b).astype(np.float32)


def run(photos: Photographs, of: dict[str, Any], framework: str, seed: int) -> dict[str, Any]:
    """Train one network, and restore the test photographs with it."""
    module, start = (cp, started) if framework == "torch" else (cf, started_in_keras)
    model = start(of["arm"], of["norm"], seed)
    data = task(photos, of["sigma"], seed)
    seconds = trained(module, model, data, of["epochs"], of["learning_rate"], seed)
    found = restored(photos, of["sigma"], seed, network(module, model))
    return {"cpu_seconds": seconds, **found}


def best_rate(runs: common.Runs, held: Photographs, seeds: tuple[int, ...], **of: Any) -> float:
    """The rate that restores the held-out photographs best, after as many steps as reported."""

    def score(rate: float, seed: int) -> float:
        model = started(of["arm"], of["norm"], seed)
        trained(cp, model, task(held, of["sigma"], seed), of["epochs"], rate, seed)
        found = scores(held, of["sigma"], seed, network(cp, model))
        return float(np.mean(found))

    return runs.best_rate(score, common.ADAM_RATES, seeds, **of)


def width(photos: Photographs, sigma: float) -> float:
    """The Gaussian filter that restores the training photographs best."""
    widths = np.arange(0.3, 2.5, 0.1).round(1)
    means = [
        np.mean(
            [
                psnr(x, gaussian_filter(add_gaussian_noise(x, sigma, 7), (w, w, 0)))
                for x in photos.x_train
            ]
        )
        for w in widths
    ]
    return float(widths[int(np.argmax(means))])


def strength(held: Photographs, sigma: float) -> float:
    """The strength of the non-local means that restores the held-out photographs best."""
    factors = (0.6, 0.8, 1.0)
    means = [np.mean(scores(held, sigma, 7, non_local(sigma, f))) for f in factors]
    return factors[int(np.argmax(means))]


def non_local(sigma: float, factor: float) -> Any:
    s = sigma / 255
    options = {"patch_size": 5, "patch_distance": 6, "h": factor * s, "sigma": s}
    return lambda x: denoise_nl_means(x[..., 0], fast_mode=True, **options)[..., None]


def without_a_network(runs: common.Runs, photos: Photographs, sigma: float) -> None:
    w, factor = width(photos, sigma), strength(photos.validation(), sigma)
    baselines = {
        "noisy": (lambda x: x, {}),
        "Gaussian filter": (lambda x: gaussian_filter(x, (w, w, 0)), {"width": w}),
        "non-local means": (non_local(sigma, factor), {"strength": factor}),
    }
    for (name, (denoise, chosen)), seed in product(baselines.items(), SEEDS[:3]):
        place = {"arm": name, "sigma": sigma, "seed": seed, **chosen}
        runs.row(partial(restored, photos, sigma, seed, denoise), **place)


def cases() -> Iterator[tuple[dict[str, Any], tuple[int, ...], tuple[int, ...]]]:
    """Every setting, the seeds of its search, and those that are reported."""
    weak, middle, strong = SIGMAS
    for sigma, norm, arm in product((weak, strong, middle), (False, True), ARMS):
        place = {"arm": arm, "sigma": sigma, "norm": norm, "epochs": SHORT}
        yield place, (7, 8) if sigma == weak else (7,), SEEDS[:3] if sigma == middle else SEEDS
    for norm, arm in product((False, True), ARMS):
        yield {"arm": arm, "sigma": weak, "norm": norm, "epochs": LONG}, (7,), SEEDS[:3]


if __name__ == "__main__":
    torch.set_num_threads(1)
    photos = photographs()
    held = photos.validation()
    runs = common.Runs("denoising", __file__)
    for sigma in SIGMAS:
        without_a_network(runs, photos, sigma)
    for place, search, reported in cases():
        rate = best_rate(runs, held, search, **place)
        of = {**place, "learning_rate": rate}
        for seed in reported:
            runs.row(partial(run, photos, of, "torch", seed), **of, framework="torch", seed=seed)
        first = place["sigma"] == SIGMAS[0] and place["epochs"] == SHORT
        if first and not place["norm"] and place["arm"] in ("direct", "residual, zero"):
            for seed in SEEDS[:3]:
                at = {**of, "framework": "tensorflow", "seed": seed}
                runs.row(partial(run, photos, of, "tensorflow", seed), **at)
    runs.store()
