"""The recipe trains, repeats, agrees between frameworks in float64, and stops on NaN."""

from __future__ import annotations

import dataclasses
import math
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from torch import nn

import companion.tensorflow as ct
import companion.torch as cp
from companion import data
from companion.recipe import Recipe
from companion.tensorflow.optimizers import make_optimizer as keras_optimizer
from companion.torch.optimizers import make_optimizer
from tests.library.harness import refused_alike, tiny

torch.set_num_threads(1)


@pytest.fixture(scope="module")
def digits():
    full = data.mnist()
    assert np.bincount(full.y_test).tolist() == [100] * 10
    return dataclasses.replace(full, x_train=full.x_train[:320], y_train=full.y_train[:320])


@pytest.mark.usefixtures("keras_in_double", "nothing_compiled")
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_first_epoch_agrees_between_frameworks(optimizer, digits):
    settings = {"epochs": 1, "batch_size": 64, "shift": 2, "label_smoothing": 0.1}
    settings |= {"optimizer": optimizer, "learning_rate": 0.01, "progress": False}
    some = dataclasses.replace(digits, x_train=digits.x_train[:128], y_train=digits.y_train[:128])
    here, there = (tiny(f) for f in (cp, ct))
    one, other = cp.fit(here.double(), some, **settings), ct.fit(there, some, **settings)
    assert one.loss == pytest.approx(other.loss, abs=1e-5)  # Keras has the rates in float32


def descend(optimizer, parameters, rate=None, steps=10):
    """Take steps down a bowl, different along every axis."""
    for step in range(steps):
        sum(
            (p**2 * torch.arange(1.0, 1 + p.numel()).view_as(p)).sum() for p in parameters
        ).backward()
        optimizer.step() if rate is None else optimizer.step(rate(step))
        for p in parameters:
            p.grad = None


def start():
    torch.manual_seed(0)
    return nn.ParameterList([torch.randn(3, 2), torch.randn(4)]).double()


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_at_a_constant_rate_the_optimizers_are_those_of_torch_optim(name):
    ours, theirs = start(), start()
    recipe = Recipe(optimizer=name, weight_decay=0.0 if name == "sgd" else 0.1)
    descend(make_optimizer(ours, recipe), list(ours), lambda step: 0.01)
    if name == "sgd":
        optimizer = torch.optim.SGD(theirs, lr=0.01, momentum=0.9, nesterov=True)
    else:  # its epsilon stands elsewhere: 1e-8 of a step at most
        groups = [{"params": [theirs[0]]}, {"params": [theirs[1]], "weight_decay": 0.0}]
        optimizer = torch.optim.AdamW(groups, lr=0.01, weight_decay=0.1)
    descend(optimizer, list(theirs))
    for one, other, before in zip(ours, theirs, start(), strict=True):
        assert torch.allclose(one, other, rtol=0, atol=1e-12 if name == "sgd" else 1e-7)
        assert (one - before).abs().min() > 0.01


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_at_the_recipe_s_rate_the_optimizers_are_those_of_keras(name):
    ours, recipe = start(), Recipe(optimizer=name, epochs=1, weight_decay=0.1)
    variables = [keras.Variable(p.detach().numpy(), dtype="float64") for p in ours]
    model = SimpleNamespace(trainable_variables=variables)
    optimizer = keras_optimizer(model, recipe, steps=10)
    for _ in range(10):
        optimizer.apply(
            [2 * v * np.arange(1.0, 1 + v.numpy().size).reshape(v.shape) for v in variables],
            variables,
        )
    descend(make_optimizer(ours, recipe), list(ours), lambda step: recipe.rate(step, 10))
    for one, other in zip(ours, variables, strict=True):  # Keras has the rates in float32
        np.testing.assert_allclose(one.detach().numpy(), other.numpy(), rtol=0, atol=1e-5)


def test_keras_goes_on_after_the_recipe(digits):
    model = tiny(ct)
    ct.fit(model, digits, epochs=1, progress=False)
    rate = float(model.optimizer.learning_rate)
    assert 0 < rate == pytest.approx(Recipe(epochs=1).rate(4, 5))
    after = model.fit(digits.x_train, digits.y_train, verbose=0)
    assert math.isfinite(after.history["loss"][0])


def test_training_follows_the_model_s_precision(digits):
    some = dataclasses.replace(digits, x_train=digits.x_train[:64], y_train=digits.y_train[:64])
    for dtype, kind in ((torch.float64, "float64"), (torch.bfloat16, "float32")):
        model = cp.cifar_resnet(8, 2, in_channels=1, seed=0).to(dtype)
        (checkpoint,) = cp.train(model, some, epochs=1, batch_size=32, progress=False)
        assert next(model.parameters()).dtype == dtype
        weights = {n: a.dtype for n, a in checkpoint.arrays.items() if n.endswith("weight")}
        assert set(weights.values()) == {np.dtype(kind)}
        assert cp.predict(model, digits.x_test[:4]).dtype == kind
        model = cp.cifar_resnet(8, 2, in_channels=1, seed=1).to(dtype)
        settings = {"epochs": 1, "batch_size": 32, "progress": False}
        assert cp.fit(model, some, resume=checkpoint, **settings) == checkpoint.history


@pytest.mark.parametrize("framework", [cp, ct])
def test_training_begins_with_the_first_next_and_may_be_left(framework, digits):
    model = tiny(framework)
    before = framework.predict(model, digits.x_test[:4])
    epochs = framework.train(model, digits, epochs=9, progress=False)
    assert np.array_equal(framework.predict(model, digits.x_test[:4]), before)
    assert [next(epochs).epoch for _ in range(2)] == [1, 2]
    epochs.close()
    with pytest.raises(ValueError, match="epochs"):
        next(framework.train(model, digits, epochs=0))


def test_same_seed_repeats_exactly(digits):
    runs = [cp.fit(cp.mnist_resnet(seed=0), digits, epochs=1, progress=False) for _ in range(2)]
    assert runs[0].loss == runs[1].loss


@pytest.mark.parametrize("framework", [cp, ct])
def test_nan_stops_training(framework, digits):
    with pytest.raises(FloatingPointError, match="lower learning_rate"):
        framework.fit(tiny(framework), digits, epochs=3, learning_rate=1e30, progress=False)


@pytest.mark.parametrize("bad", [{"epochs": 0}, {"batch_size": 999}, {"learning_rate": 0}])
def test_bad_settings_are_refused(bad, digits):
    for framework in (cp, ct):
        with pytest.raises(ValueError, match=next(iter(bad))):
            framework.fit(framework.mnist_resnet(seed=0), digits, progress=False, **bad)


@pytest.mark.parametrize(
    ("epochs", "least"),
    [
        (1, 0.7),  # 0.86 to 0.90 by seed, which moves more than another processor's rounding
        pytest.param(Recipe().epochs, 0.975, marks=pytest.mark.exhaustive),
    ],
)
def test_small_network_learns_the_digits(epochs, least):
    full = data.mnist()
    model = cp.mnist_resnet(seed=0)
    cp.fit(model, full, epochs=epochs, label_smoothing=0.1, shift=2, progress=False)
    assert cp.evaluate(model, full.x_test, full.y_test)[1] > least


def test_a_batch_without_labels_changes_nothing_but_by_decay():
    rng = np.random.default_rng(0)
    y = np.array([0, -1, 2, -1, 1, -1])
    some = SimpleNamespace(x_train=rng.random((6, 4), np.float32), y_train=y, num_classes=3)
    weight = rng.random((4, 3), np.float32)
    one = nn.Linear(4, 3, dtype=torch.float64)
    other = keras.Sequential([keras.Input((4,)), keras.layers.Dense(3, dtype="float64")])
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


test_both_frameworks_refuse_no_threads = refused_alike([("use_threads", (0,), {}, "threads")])
