"""What is compared between the frameworks."""

from __future__ import annotations

import importlib
from types import SimpleNamespace

import numpy as np

from companion.book.bench.timing import Comparison, Measurement, Program


def measurements() -> dict[str, Measurement]:
    case = Comparison(
        "both/fit/cifar20",
        "cifar20, an epoch of 8 steps of 32 images in fit: TensorFlow against PyTorch",
        lambda: (epochs("tensorflow"), epochs("torch")),
        target=1.1,
        rounds=6,
    )
    return {case.id: case.run}


def epochs(framework: str) -> Program:
    """Return a training run of CIFAR-20 on noise, one epoch of 8 steps of 32 images a call."""
    module = importlib.import_module(f"companion.{framework}")
    rng = np.random.default_rng(0)
    x = rng.random((256, 32, 32, 3), np.float32)
    data = SimpleNamespace(x_train=x, y_train=rng.integers(0, 10, 256), num_classes=10)
    recipe = {"epochs": 1000, "batch_size": 32, "learning_rate": 0.01, "progress": False}
    run = module.train(module.cifar_resnet(20, seed=0), data, **recipe)
    return lambda: next(run)
