"""Photographs under noise: predict the noise or the clean image, and where each one starts.

Six convolutions of 16 channels, short and four times longer, with and without batch norm, three
seeds; the learning rate of every arm is the best of three on two held-out training photographs.
About 20 minutes on one core.

    python -m companion.book.experiments.denoising
"""

from __future__ import annotations

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

SEEDS = (0, 1, 2)
SIGMAS = (10, 25, 50)
RATES = (0.003, 0.01, 0.03)
DEPTH, CHANNELS = 6, 16
PATCHES = {"size": 32, "count": 2400}
BATCH = 16
SHORT, LONG = 1, 4  # epochs: 150 and 600 steps
ARMS = ("direct", "residual", "residual, zero", "direct, identity")
LOUD = ("direct, loud", "residual, loud")
ONE_RATE = 0.01  # of the two random starts beside one another, at the weakest noise


def started(arm: str, norm: bool, seed: int) -> torch.nn.Module:
    """A network whose last layer starts as the arm says.

    "loud" is the companion's own start, whose spread counts a layer's outgoing channels: 1 here.
    All others count the incoming ones, which makes the last layer quieter by sqrt(CHANNELS).
    """
    model = cp.dncnn(DEPTH, CHANNELS, norm=norm, residual=arm.startswith("residual"), seed=seed)
    convolutions = [m for m in model.whole.branch if isinstance(m, torch.nn.Conv2d)]
    with torch.no_grad():
        if "loud" not in arm:
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


def best_rate(held: Photographs, tasks: list[Any], sigma: float, arm: str, norm: bool) -> float:
    """The rate that restores the held-out photographs best: mean of two runs, short training."""
    found: dict[float, list[float]] = {rate: [] for rate in RATES}
    for rate in RATES:
        for seed, data in zip((7, 8), tasks, strict=True):
            model = started(arm, norm, seed)
            try:
                trained(cp, model, data, SHORT, rate, seed)
                found[rate] += scores(held, sigma, seed, network(cp, model))
            except FloatingPointError:
                found[rate].append(-np.inf)
    means = {rate: float(np.mean(values)) for rate, values in found.items()}
    print(sigma, arm, norm, {k: round(v, 2) for k, v in means.items()}, flush=True)
    return max(means, key=means.__getitem__)


def restored(runs: list[dict[str, Any]], each: list[float], **row: Any) -> None:
    psnr = round(float(np.mean(each)), 3)
    common.noted(runs, **row, psnr=psnr, each=[round(e, 3) for e in each])


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


if __name__ == "__main__":
    torch.set_num_threads(1)
    photos = photographs()
    held = photos.validation()
    runs: list[dict[str, Any]] = []
    for sigma in SIGMAS:
        w, factor = width(photos, sigma), strength(held, sigma)
        baselines = {
            "add_gaussian_noise": (lambda x: x, {}),
            "Gaussian filter": (lambda x, w=w: gaussian_filter(x, (w, w, 0)), {"width": w}),
            "non-local means": (non_local(sigma, factor), {"strength": factor}),
        }
        for name, (denoise, chosen) in baselines.items():
            for seed in SEEDS:
                each = scores(photos, sigma, seed, denoise)
                restored(runs, each, arm=name, sigma=sigma, seed=seed, **chosen)
        validation = [task(held, sigma, seed) for seed in (7, 8)]
        tasks = {seed: task(photos, sigma, seed) for seed in SEEDS}
        for norm, arm in [(n, a) for n in (False, True) for a in ARMS] + [(False, a) for a in LOUD]:
            rate = best_rate(held, validation, sigma, arm, norm)
            of = {"arm": arm, "sigma": sigma, "norm": norm, "learning_rate": rate}
            cases = [("torch", SHORT)]
            if sigma != 25 and arm not in LOUD:
                cases.append(("torch", LONG))
            if sigma == 10 and not norm and arm in ("direct", "residual, zero"):
                cases.append(("tensorflow", SHORT))
            for framework, epochs in cases:
                for seed in SEEDS:
                    module, start = (
                        (cp, started) if framework == "torch" else (cf, started_in_keras)
                    )
                    model = start(arm, norm, seed)
                    seconds = trained(module, model, tasks[seed], epochs, rate, seed)
                    each = scores(photos, sigma, seed, network(module, model))
                    place = {"framework": framework, "epochs": epochs, "seed": seed}
                    restored(runs, each, **of, **place, cpu_seconds=seconds)
    for arm, seed in product(("direct", "residual"), range(6)):
        model = started(arm, False, seed)
        trained(cp, model, task(photos, SIGMAS[0], seed), SHORT, ONE_RATE, seed)
        each = scores(photos, SIGMAS[0], seed, network(cp, model))
        of = {"arm": f"{arm}, one rate", "sigma": SIGMAS[0], "norm": False}
        restored(runs, each, **of, learning_rate=ONE_RATE, seed=seed)
    common.store("denoising", "companion/book/experiments/denoising.py", runs)
