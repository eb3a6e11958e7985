"""The recipe trains, repeats, agrees between frameworks, and stops on NaN."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion import data

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits():
    full = data.mnist()
    assert np.bincount(full.y_test).tolist() == [100] * 10
    return dataclasses.replace(full, x_train=full.x_train[:320], y_train=full.y_train[:320])


def test_first_epoch_agrees_between_frameworks(digits):
    settings = {"epochs": 1, "shift": 2, "learning_rate": 0.01, "progress": False}
    losses = [
        framework.fit(framework.mnist_resnet(seed=0), digits, **settings).loss[0]
        for framework in (cp, ct)
    ]
    assert losses[0] == pytest.approx(losses[1], abs=1e-3)


def test_same_seed_repeats_exactly(digits):
    runs = [cp.fit(cp.mnist_resnet(seed=0), digits, epochs=1, progress=False) for _ in range(2)]
    assert runs[0].loss == runs[1].loss


@pytest.mark.parametrize("framework", [cp, ct])
def test_nan_stops_training(framework, digits):
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        framework.fit(
            framework.mnist_resnet(seed=0), digits, epochs=3, learning_rate=1e30, progress=False
        )


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"batch_size": 999}, {"learning_rate": 0}])
def test_bad_settings_are_refused(bad, digits):
    for framework in (cp, ct):
        with pytest.raises(ValueError, match=next(iter(bad))):
            framework.fit(framework.mnist_resnet(seed=0), digits, progress=False, **bad)


def test_small_network_learns_the_digits():
    full = data.mnist()
    model = cp.mnist_resnet(seed=0)
    cp.fit(model, full, label_smoothing=0.1, shift=2, progress=False)
    assert cp.evaluate(model, full.x_test, full.y_test)[1] > 0.975


def test_a_batch_without_labels_changes_nothing_but_by_decay():
    rng = np.random.default_rng(0)
    y = np.array([0, -1, 2, -1, 1, -1])
    some = SimpleNamespace(x_train=rng.random((6, 4), np.float32), y_train=y, num_classes=3)
    weight = rng.random((4, 3), np.float32)
    one, other = torch.nn.Linear(4, 3), keras.Sequential([keras.Input((4,)), keras.layers.Dense(3)])
    with torch.no_grad():
        one.weight.copy_(torch.from_numpy(weight.T))
        one.bias.zero_()
    other.set_weights([weight, np.zeros(3, np.float32)])
    recipe = {"epochs": 2, "batch_size": 1, "learning_rate": 0.1, "progress": False}
    here, there = cp.fit(one, some, **recipe), ct.fit(other, some, **recipe)
    np.testing.assert_allclose(here.loss, there.loss, rtol=1e-5)
    np.testing.assert_allclose(here.accuracy, there.accuracy)
    moved = other.get_weights()[0]
    np.testing.assert_allclose(one.weight.detach().numpy().T, moved, rtol=1e-5, atol=1e-6)
