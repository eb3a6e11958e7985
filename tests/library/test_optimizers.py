"""The recipe's optimizers and the frameworks' own take the steps that they should."""

from __future__ import annotations

import dataclasses
from types import SimpleNamespace

import keras
import numpy as np
import pytest
import torch
from torch import nn

import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from companion.recipe import Recipe
from companion.tensorflow.optimizers import make_optimizer as keras_optimizer
from companion.torch.optimizers import make_optimizer

torch.set_num_threads(1)

#: Over ten steps, since Keras rounds 0.9 and 0.999 to 32 bits whatever it computes in.
ROUNDED = {"sgd": 5e-7, "adam": 1e-5}


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


@pytest.mark.usefixtures("keras_in_double")
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
    for one, other in zip(ours, variables, strict=True):
        np.testing.assert_allclose(one.detach().numpy(), other.numpy(), rtol=0, atol=ROUNDED[name])


# --- one of the framework's own


def vectors():
    rng = np.random.default_rng(0)
    return SimpleNamespace(
        x_train=rng.random((40, 4)), y_train=rng.integers(0, 3, 40), num_classes=3
    )


COMMON = {"epochs": 2, "batch_size": 8, "progress": False}  # ten steps


def twins():
    """The same network of two layers, in float64 where Keras computes so."""
    here = nn.Sequential()
    here.add_module("first", cp.HiddenDense(4, 5))
    here.add_module("relu", nn.ReLU())
    here.add_module("last", cp.Dense(5, 3))
    layers = [ct.HiddenDense(4, 5, name="first"), keras.layers.ReLU(), ct.Dense(5, 3, name="last")]
    there = keras.Sequential([keras.Input((4,)), *layers])
    weights.initialize(here, seed=0)
    weights.transfer(here, there)
    return here.double(), there


def apart(here, there):
    """Return the largest difference of their weights."""
    one, other = weights.named_arrays(here), weights.named_arrays(there)
    assert one.keys() == other.keys()
    return max(np.abs(one[name] - other[name]).max() for name in one)


@pytest.mark.usefixtures("keras_in_double", "nothing_compiled")
@pytest.mark.parametrize(
    ("mine", "theirs", "difference"),
    [
        (
            lambda p: torch.optim.SGD(p, lr=0.5, weight_decay=0.0),
            lambda: keras.optimizers.SGD(0.5),
            1e-14,
        ),
        (  # as the rate changes: PyTorch's velocity holds gradients, Keras's holds steps
            lambda p: torch.optim.SGD(p, lr=0.5, momentum=0.9),
            lambda: keras.optimizers.SGD(0.5, momentum=0.9),
            None,
        ),
        (  # they add epsilon at different places
            lambda p: torch.optim.AdamW(p, lr=0.05, eps=1e-8, weight_decay=0.1),
            lambda: keras.optimizers.AdamW(0.05, epsilon=1e-8, weight_decay=0.1),
            1e-6,
        ),
    ],
    ids=["sgd", "sgd with momentum", "adamw"],
)
def test_ten_steps_of_the_frameworks_own(mine, theirs, difference):
    here, there = twins()
    start = [p.detach().clone() for p in here.parameters()]
    own, other = mine(here.parameters()), theirs()
    one = cp.fit(here, vectors(), optimizer=own, **COMMON)
    two = ct.fit(there, vectors(), optimizer=other, **COMMON)
    if difference is None:
        assert 1e-4 < apart(here, there) < 1
    else:
        assert apart(here, there) < difference
        assert one.loss == pytest.approx(two.loss, abs=10 * difference)
    assert one.learning_rate == pytest.approx(two.learning_rate, rel=1e-12)
    assert min((p - q).abs().max() for p, q in zip(here.parameters(), start, strict=True)) > 0.01
    assert own.param_groups[0]["lr"] == pytest.approx(float(other.learning_rate))


def test_the_cycle_multiplies_the_rate_of_each_group():
    seen = []

    class Watched(torch.optim.SGD):
        def step(self, closure=None):
            seen.append([group["lr"] for group in self.param_groups])
            if len(seen) > 10:
                raise KeyboardInterrupt
            return super().step(closure)

    here, _ = twins()
    groups = [{"params": here.first.parameters(), "lr": 0.1}, {"params": here.last.parameters()}]
    own = Watched(groups, lr=torch.tensor(0.3, dtype=torch.float64))
    history = cp.fit(here, vectors(), optimizer=own, **COMMON)
    cycle = [Recipe(learning_rate=1.0).rate(step, 10) for step in range(10)]
    np.testing.assert_allclose(seen, [[0.1 * c, 0.3 * c] for c in cycle], rtol=1e-12)
    assert history.learning_rate == pytest.approx([seen[4][0], seen[9][0]])
    with pytest.raises(KeyboardInterrupt):
        cp.fit(here, vectors(), optimizer=own, **COMMON)
    assert [float(group["lr"]) for group in own.param_groups] == [0.1, 0.3]


@pytest.mark.usefixtures("nothing_compiled")
def test_the_cycle_multiplies_keras_s_rate_but_not_a_schedule():
    class Stops(keras.optimizers.SGD):
        rates = []

        def update_step(self, gradient, variable, learning_rate):
            self.rates.append(float(learning_rate))
            if len(self.rates) > 3:
                raise KeyboardInterrupt
            super().update_step(gradient, variable, learning_rate)

    own = Stops(0.5)
    with pytest.raises(KeyboardInterrupt):
        ct.fit(twins()[1], vectors(), optimizer=own, **COMMON)
    assert own.rates == pytest.approx([0.05] * 4) and float(own.learning_rate) == 0.5
    schedule = keras.optimizers.schedules.ExponentialDecay(0.1, 1, 0.5)
    history = ct.fit(twins()[1], vectors(), optimizer=keras.optimizers.SGD(schedule), **COMMON)
    assert history.learning_rate == pytest.approx([0.1 * 0.5**4, 0.1 * 0.5**9])


def rmsprop(model):
    return torch.optim.RMSprop(model.parameters(), lr=0.01, momentum=0.5, centered=True)


def grouped(model):
    groups = [{"params": [p]} for p in model.parameters()]
    return torch.optim.NAdam(groups, lr=0.01, weight_decay=0.1)


class Counting(torch.optim.SGD):
    """It keeps a number, and nothing for a parameter without momentum."""

    def step(self, closure=None):
        for group in self.param_groups:
            for p in group["params"]:
                count = self.state[p].get("count", 0) + 1
                self.state[p] |= {"count": count, "nothing": None}
                p.grad *= 1 / count
        return super().step(closure)


OWN = {
    "torch, RMSprop": (cp, rmsprop),
    "torch, NAdam in groups": (cp, grouped),
    "torch, a number": (cp, lambda model: Counting(model.parameters(), lr=0.1)),
    "keras, AdamW": (ct, lambda model: keras.optimizers.AdamW(0.01)),
    "keras, a schedule": (
        ct,
        lambda model: keras.optimizers.SGD(
            keras.optimizers.schedules.ExponentialDecay(0.1, 5, 0.5), momentum=0.9
        ),
    ),
}


@pytest.mark.usefixtures("nothing_compiled")
@pytest.mark.parametrize("name", OWN)
def test_a_run_with_one_s_own_optimizer_resumes_to_the_last_bit(name):
    framework, build = OWN[name]
    which = 0 if framework is cp else 1
    model = twins()[which]
    first, last = framework.train(model, vectors(), optimizer=build(model), **COMMON)
    for _ in range(2):  # a checkpoint is not used up
        again = twins()[which]
        optimizer = build(again)
        (end,) = framework.train(again, vectors(), resume=first, optimizer=optimizer, **COMMON)
        assert end.history.loss == last.history.loss
        assert end.arrays.keys() == last.arrays.keys() > {"model.0"} or which == 0
        assert all(np.array_equal(end.arrays[n], last.arrays[n]) for n in last.arrays)
    recipe = Recipe(**last.recipe.as_dict())  # as it comes back from JSON
    assert recipe == last.recipe
    with pytest.raises(ValueError, match="optimizer must be .own: .*, with which the run"):
        framework.fit(again, vectors(), resume=first, **COMMON)


def refused(framework, model, **settings):
    with pytest.raises(ValueError) as caught:
        framework.fit(model, vectors(), **COMMON, **settings)
    return str(caught.value)


def test_what_an_own_optimizer_must_be():
    here, there = twins()
    others = torch.optim.SGD(twins()[0].parameters())
    assert "the model alone, got 4 that are not" in refused(cp, here, optimizer=others)
    some = torch.optim.SGD(here.first.parameters())
    assert "is trained, got one without 'last.weight'" in refused(cp, here, optimizer=some)
    assert "got LBFGS" in refused(cp, here, optimizer=torch.optim.LBFGS(here.parameters()))
    here.last.requires_grad_(False)
    cp.fit(here, vectors(), optimizer=some, **COMMON)
    for framework, model, own in (
        (cp, here, torch.optim.SGD(here.parameters())),
        (ct, there, keras.optimizers.SGD(0.1)),
    ):
        for name, value in (
            ("learning_rate", 0.1),
            ("weight_decay", 0.0),
            ("learning_rate_factors", {}),
        ):
            told = refused(framework, model, optimizer=own, **{name: value})
            assert told.startswith(f"{name} must be left to an optimizer of your own")
        for wrong in ("own: SGD()", "lion", 3, framework):
            told = refused(framework, model, optimizer=wrong)
            assert told.startswith("optimizer must be one of 'sgd', 'adam', got")
    built = keras.optimizers.SGD(0.1)
    built.build(twins()[1].trainable_variables)
    assert "the model alone, got 4 that are not" in refused(ct, there, optimizer=built)
    built = keras.optimizers.SGD(0.1)
    built.build(there.layers[0].trainable_variables)
    assert "last/kernel'" in refused(ct, there, optimizer=built)


# --- discriminative fine-tuning


FACTORS = {"first": 0.5, "first.weight": 0.1, "last.bias": 3}


@pytest.mark.usefixtures("keras_in_double", "nothing_compiled")
@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_factors_on_the_rates_are_the_same_in_both_frameworks(name):
    settings = {**COMMON, "optimizer": name, "learning_rate": 0.05, "weight_decay": 0.5}
    here, there = twins()
    cp.fit(here, vectors(), learning_rate_factors=FACTORS, **settings)
    ct.fit(there, vectors(), learning_rate_factors=FACTORS, **settings)
    assert apart(here, there) < ROUNDED[name]
    plain, _ = twins()
    cp.fit(plain, vectors(), **settings)
    assert apart(here, plain) > 0.01


@pytest.mark.parametrize("name", ["sgd", "adam"])
def test_a_factor_is_another_rate_for_its_parameters_decay_included(name):
    recipe = Recipe(optimizer=name, weight_decay=0.1, learning_rate_factors={"0": 0.3})
    ours, slow, fast = start(), start(), start()
    descend(make_optimizer(ours, recipe), list(ours), lambda step: 0.01)
    plain = dataclasses.replace(recipe, learning_rate_factors={})
    descend(make_optimizer(slow, plain), list(slow), lambda step: 0.01 * 0.3)
    descend(make_optimizer(fast, plain), list(fast), lambda step: 0.01)
    assert torch.equal(ours[0], slow[0]) and torch.equal(ours[1], fast[1])
    assert not torch.equal(ours[0], fast[0])


def test_prefixes_end_at_dots_and_the_longest_counts():
    names = ["stem.conv.weight", "stem.norm.bias", "stems.weight", "stages.0.weight", "head"]
    given = {"stem": 0.1, "stem.norm": 0.2, "stages.0.weight": 4, "head": 0.5}
    assert Recipe(learning_rate_factors=given).factors(names) == [0.1, 0.2, 1.0, 4.0, 0.5]
    for wrong in ("ste", "stem.conv.weigh", "body"):
        with pytest.raises(ValueError, match=rf"\(stem, stems, stages, head, .* got '{wrong}'"):
            Recipe(learning_rate_factors={wrong: 1}).factors(names)
    for bad, told in (
        ({"stem": 0}, "above 0, got 0 for 'stem', which can be frozen"),
        ({"stem": -1}, "of 'stem' must be a number of at least 0, got -1"),
        ({1: 1}, "must map names of parameters to numbers"),
        ([1], "must map names of parameters to numbers"),
    ):
        with pytest.raises(ValueError, match=f"learning_rate_factors .*{told}"):
            Recipe(learning_rate_factors=bad)
    mine = {"stem": 1}
    recipe = Recipe(learning_rate_factors=mine)
    mine["stem"] = 2
    assert recipe.as_dict()["learning_rate_factors"] == {"stem": 1.0} and hash(recipe)


@pytest.mark.parametrize("framework", [cp, ct])
def test_factors_name_parts_that_the_model_has(framework):
    model = twins()[0 if framework is cp else 1]
    told = refused(framework, model, learning_rate_factors={"firs": 0.5})
    assert "(first, last, and what is in them), got 'firs'" in told


@pytest.mark.usefixtures("nothing_compiled")
def test_a_loaded_keras_model_goes_on_with_its_factors_and_decays(tmp_path):
    _, model = twins()
    ct.fit(model, vectors(), learning_rate_factors=FACTORS, **COMMON)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    config = again.optimizer.get_config()
    assert config["factors"] == pytest.approx([0.1, 0.5, 1.0, 3.0])
    assert config["decays"] == pytest.approx([0.005, 0, 0.005, 0])
    for one in (model, again):
        one.fit(vectors().x_train, vectors().y_train, shuffle=False, verbose=0)
    assert apart(model, again) == 0
