"""What only looks at a network leaves its parts in their modes; what trains it starts clean."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import torch
from torch import nn

import companion.tensorflow as ct
import companion.torch as cp
from companion.data import digits8
from companion.torch.costs import effective_multiply_adds, layer_costs

torch.set_num_threads(1)
DIGITS = digits8()
DIGITS = dataclasses.replace(DIGITS, x_train=DIGITS.x_train[:64], y_train=DIGITS.y_train[:64])
SHORT = {"epochs": 1, "batch_size": 32, "progress": False}


def small():
    return cp.cifar_resnet(8, width=2, in_channels=1, seed=0)


@pytest.mark.parametrize(
    "look",
    [
        lambda model, path: cp.predict(model, DIGITS.x_test[:4]),
        lambda model, path: layer_costs(model, torch.zeros(2, 1, 8, 8)),
        lambda model, path: effective_multiply_adds(model, torch.zeros(2, 1, 8, 8)),
        lambda model, path: cp.export_onnx(model, path / "m.onnx", DIGITS.x_test[:4]),
    ],
)
def test_a_frozen_norm_stays_frozen(look, tmp_path):
    model = small().train()
    for module in model.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.eval()
    before = [module.training for module in model.modules()]
    assert len(set(before)) == 2
    look(model, tmp_path)
    assert [module.training for module in model.modules()] == before


def statistics(norm):
    return [v.numpy().copy() for v in (norm.running_mean, norm.running_var)]


def test_fit_leaves_a_frozen_norm_as_it_is_in_both_frameworks():
    model = small()
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    norms[0].eval()
    before = [statistics(norm) for norm in norms]
    cp.fit(model, DIGITS, **SHORT)
    changed = [not np.array_equal(b, statistics(n)) for b, n in zip(before, norms, strict=True)]
    assert changed == [False] + [True] * (len(norms) - 1)
    model.eval()
    cp.fit(model, DIGITS, **SHORT)  # a model in evaluation mode is trained whole
    assert not np.array_equal(before[0], statistics(norms[0]))

    model = ct.cifar_resnet(8, width=2, in_channels=1, seed=0)
    norms = [x for x in model._flatten_layers() if isinstance(x, keras.layers.BatchNormalization)]
    norms[0].trainable = False
    before = [norm.moving_mean.numpy() for norm in norms]
    ct.fit(model, DIGITS, **SHORT)
    changed = [not np.array_equal(b, n.moving_mean) for b, n in zip(before, norms, strict=True)]
    assert changed == [False] + [True] * (len(norms) - 1)


@pytest.mark.parametrize("rest", ["nothing", "a norm", "all but the head", "all"])
def test_fit_leaves_every_part_in_its_mode(rest):
    model = small()
    if rest != "nothing":
        (model.stem.norm if rest == "a norm" else model).eval()
    if rest == "all but the head":
        model.head.train()
    before = [module.training for module in model.modules()]
    norms = [module for module in model.modules() if isinstance(module, nn.BatchNorm2d)]
    moved = [norm.training or rest == "all" for norm in norms]
    statistic = [statistics(norm) for norm in norms]
    for _ in cp.train(model, DIGITS, **{**SHORT, "epochs": 2}):
        assert [module.training for module in model.modules()] == before
    assert [module.training for module in model.modules()] == before
    changed = [not np.array_equal(b, statistics(n)) for b, n in zip(statistic, norms, strict=True)]
    assert changed == moved


def test_fit_leaves_modes_also_where_it_fails():
    model = small()
    model.stem.norm.eval()
    before = [module.training for module in model.modules()]
    with pytest.raises(FloatingPointError):
        cp.fit(model, DIGITS, **{**SHORT, "epochs": 3}, learning_rate=1e30)
    assert [module.training for module in model.modules()] == before


class FrozenStem(nn.Sequential):
    """A network that keeps a part in evaluation mode by a ``train`` of its own, as is usual."""

    def train(self, mode=True):
        super().train(mode)
        self[0].stem.eval()
        return self


def test_fit_asks_a_network_that_knows_what_to_train():
    model = FrozenStem(small())
    before = statistics(model[0].stem.norm)
    cp.fit(model, DIGITS, **SHORT)
    assert np.array_equal(before, statistics(model[0].stem.norm))


def test_frozen_parameters_stay_in_both_frameworks():
    model = small()
    model.stem.requires_grad_(False)
    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    cp.fit(model, DIGITS, **SHORT)
    for name, p in model.named_parameters():
        assert torch.equal(p, before[name]) == name.startswith("stem"), name
        assert p.requires_grad != name.startswith("stem")

    model = ct.cifar_resnet(8, width=2, in_channels=1, seed=0)
    stem, *others = model.layers
    stem.trainable = False
    before = [v.numpy().copy() for v in model.trainable_variables], stem.get_weights()
    ct.fit(model, DIGITS, **SHORT)
    assert all(not np.array_equal(a, v) for a, v in zip(before[0], model.trainable_variables))
    assert all(np.array_equal(a, v) for a, v in zip(before[1], stem.get_weights(), strict=True))
    assert not stem.trainable and all(layer.trainable for layer in others)


class InPlaceFirst(nn.Module):
    """It overwrites its input, and no constructor can know."""

    def forward(self, x):
        return x.mul_(2)


def test_the_caller_s_arrays_stay_as_they_are():
    model = nn.Sequential(InPlaceFirst(), small())
    data = dataclasses.replace(DIGITS, x_train=DIGITS.x_train.copy(), x_test=DIGITS.x_test.copy())
    for _ in range(2):
        cp.evaluate(model, data.x_test, data.y_test)
        cp.fit(model, data, **SHORT)
    assert np.array_equal(data.x_train, DIGITS.x_train)
    assert np.array_equal(data.x_test, DIGITS.x_test)


def test_a_branch_that_works_in_place_is_refused_where_users_predict():
    model = nn.Sequential(cp.Residual(nn.Sequential(InPlaceFirst(), nn.Flatten())), nn.Flatten())
    with pytest.raises(ValueError, match="in place"):
        cp.predict(model, np.ones((2, 3), np.float32))


def test_gradients_of_other_work_do_not_count():
    clean, used = small(), small()
    used.eval()(torch.ones(2, 1, 8, 8)).sum().backward()
    used.train()
    one, other = (cp.fit(model, DIGITS, **SHORT) for model in (clean, used))
    assert one.loss == other.loss
    for a, b in zip(clean.parameters(), used.parameters(), strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("package", [cp, ct])
def test_too_few_logits_are_refused_before_anything_is_trained(package):
    model = package.cifar_resnet(8, width=2, in_channels=1, num_classes=5, seed=0)
    before = package.predict(model, DIGITS.x_test[:4])
    with pytest.raises(ValueError, match="each of the 10 classes of the data, got 5"):
        package.fit(model, DIGITS, **SHORT)
    assert np.array_equal(package.predict(model, DIGITS.x_test[:4]), before)
