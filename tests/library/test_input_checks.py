"""Arrays that no network can use are refused before any work, in both frameworks."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import tensorflow as tf
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion import data

torch.set_num_threads(1)

GOOD = np.zeros((2, 28, 28, 1), np.float32)
HOLED = GOOD.copy()
HOLED[1, 3, 3] = np.nan


@pytest.fixture(scope="module")
def digits():
    full = data.mnist()
    return dataclasses.replace(full, x_train=full.x_train[:64], y_train=full.y_train[:64])


@pytest.mark.parametrize("framework", [cp, ct])
@pytest.mark.parametrize(
    ("x", "named"),
    [
        (GOOD[..., 0], "4 dimensions"),
        (GOOD[:0], "empty"),
        (HOLED, "finite"),
        (np.full_like(GOOD, np.inf), "finite"),
        (np.zeros((2, 28, 28, 3), np.float32), "channels"),
    ],
)
def test_predict(framework, x, named):
    with pytest.raises(ValueError, match=named):
        framework.predict(framework.mnist_resnet(seed=0), x)


@pytest.mark.parametrize("framework", [cp, ct])
@pytest.mark.parametrize(
    "y",
    [np.zeros(3, int), np.zeros((2, 1), int), np.zeros(2, float), np.full(2, 10), np.full(2, -1)],
)
def test_evaluate(framework, y):
    with pytest.raises(ValueError, match="y_test"):
        framework.evaluate(framework.mnist_resnet(seed=0), GOOD, y)


@pytest.mark.parametrize("framework", [cp, ct])
@pytest.mark.parametrize(
    ("change", "settings", "named"),
    [
        ({"x_train": HOLED, "y_train": np.zeros(2, int)}, {}, "finite"),
        ({"y_train": np.zeros(7, int)}, {}, "y_train"),
        ({"y_train": np.full(64, 10)}, {}, "y_train"),
        ({"y_train": np.full(64, -1)}, {}, "y_train"),
        ({}, {"batch_size": 65}, "batch_size"),
        ({}, {"learning_rate": float("nan")}, "learning_rate"),
        ({}, {"label_smoothing": 1.5}, "label_smoothing"),
        ({}, {"weight_decay": -1}, "weight_decay"),
        ({}, {"shift": -1}, "shift"),
        ({}, {"epochs": 1.5}, "epochs"),
        ({}, {"seed": None}, "seed"),
    ],
)
def test_fit(framework, change, settings, named, digits):
    broken = dataclasses.replace(digits, **change)
    with pytest.raises(ValueError, match=named):
        framework.fit(framework.mnist_resnet(seed=0), broken, progress=False, **settings)


def test_one_value_per_channel_in_training():
    x = np.zeros((1, 1, 1, 4), np.float32)
    with pytest.raises(ValueError, match="more than one value"):
        cp.BasicBlock(4, 4).train()(torch.from_numpy(x).permute(0, 3, 1, 2))
    with pytest.raises(ValueError, match="more than one value"):
        ct.BasicBlock(4, 4)(tf.constant(x), training=True)
    assert cp.BasicBlock(4, 4).eval()(torch.zeros(1, 4, 1, 1)).shape == (1, 4, 1, 1)


@pytest.mark.parametrize("shape", [(2, 4, 4, 5), (2, 4, 4), (0, 4, 4, 4)])
@pytest.mark.parametrize("part", ["BasicBlock", "BottleneckBlock", "ZeroPad", "Projection"])
def test_blocks_and_shortcuts(shape, part):
    with pytest.raises(ValueError, match="x must"):
        getattr(ct, part)(4, 8)(tf.zeros(shape))
    channels_first = shape if len(shape) < 4 else (shape[0], shape[3], shape[1], shape[2])
    with pytest.raises(ValueError, match="x must"):
        getattr(cp, part)(4, 8)(torch.zeros(channels_first))
