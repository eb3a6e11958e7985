"""What only looks at a network leaves its parts in their modes; what trains it starts clean."""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
import pytest
import torch
from ml_dtypes import bfloat16
from torch import nn

import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from companion.data import digits8
from companion.torch import probes
from companion.torch.costs import (
    block_time,
    effective_multiply_adds,
    layer_costs,
    peak_saved_bytes,
    saved_bytes,
)
from tests.library.harness import tiny

torch.set_num_threads(1)
DIGITS = digits8()
DIGITS = dataclasses.replace(DIGITS, x_train=DIGITS.x_train[:64], y_train=DIGITS.y_train[:64])
SHORT = {"epochs": 1, "batch_size": 32, "progress": False}


def small():
    return tiny(cp)


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

    model = tiny(ct)
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

    model = tiny(ct)
    stem, *others = model.layers
    stem.trainable = False
    before = [v.numpy().copy() for v in model.trainable_variables], stem.get_weights()
    ct.fit(model, DIGITS, **SHORT)
    assert all(
        not np.array_equal(a, v) for a, v in zip(before[0], model.trainable_variables, strict=True)
    )
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


IMAGES = np.random.default_rng(0).normal(size=(4, 8, 8, 1)).astype(np.float32)
LABELS = np.arange(4)


def starts_in_place():
    return nn.Sequential(nn.ReLU(inplace=True), small()).eval()


def block_in_place():
    return cp.Residual(nn.Conv2d(1, 1, 3, padding=1), preactivation=nn.ReLU(inplace=True))


def plain(model):
    """The network of starts_in_place, which writes over nothing."""
    model[0].inplace = False
    return model


ON_ARRAYS = {
    "predict": lambda model, x: cp.predict(model, x),
    "evaluate": lambda model, x: cp.evaluate(model, x, LABELS),
    "optimized": lambda model, x: cp.predict(cp.optimize_for_inference(model), x),
}


@pytest.mark.parametrize("use", ON_ARRAYS)
@pytest.mark.parametrize("tensors", [False, True])
def test_what_is_predicted_from_stays_as_it_is(use, tensors):
    x = torch.from_numpy(IMAGES.copy()) if tensors else IMAGES.copy()
    found = [ON_ARRAYS[use](starts_in_place(), x) for _ in range(2)]
    assert np.array_equal(np.asarray(x), IMAGES)
    expected = ON_ARRAYS[use](plain(starts_in_place()), IMAGES)
    for one in found:
        np.testing.assert_allclose(one, expected, rtol=1e-5, atol=1e-6)


ON_TENSORS = {
    "activation_variances": lambda model, x: list(probes.activation_variances(model, x).values()),
    "input_gradients": probes.input_gradients,
    "block_jacobian": lambda model, x: probes.block_jacobian(model, x[:1]),
    "operation_graph": lambda model, x: len(probes.operation_graph(model[1], x)),
    "layer_costs": lambda model, x: [c.multiply_adds for c in layer_costs(model, x)],
    "effective_multiply_adds": effective_multiply_adds,
}


@pytest.mark.parametrize("use", ON_TENSORS)
def test_what_is_measured_with_stays_as_it_is(use):
    x = torch.from_numpy(IMAGES.copy()).permute(0, 3, 1, 2)
    expected = ON_TENSORS[use](plain(starts_in_place()), x.clone())
    for _ in range(2):
        found = ON_TENSORS[use](starts_in_place(), x)
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-7)
    assert np.array_equal(x.permute(0, 2, 3, 1), IMAGES) and not x.requires_grad


@pytest.mark.parametrize(
    "use",
    [
        lambda x: probes.operation_graph(starts_in_place(), x),
        lambda x: probes.path_gradients([block_in_place()] * 2, x, torch.sum),
        lambda x: saved_bytes(starts_in_place(), x),
        lambda x: peak_saved_bytes(starts_in_place(), x),
        lambda x: block_time(block_in_place(), x, 1),
        lambda x: block_time(block_in_place(), x, 1, training=True),
    ],
)
def test_what_is_timed_and_weighed_stays_as_it_is(use):
    x = torch.from_numpy(IMAGES.copy()).permute(0, 3, 1, 2)
    use(x)
    assert np.array_equal(x.permute(0, 2, 3, 1), IMAGES) and not x.requires_grad


def test_tensors_are_trained_on_and_stay_as_they_are():
    histories = []
    for given in (np.asarray, torch.from_numpy):
        model = nn.Sequential(nn.ReLU(inplace=True), small())
        x, y = given(DIGITS.x_train - 0.5), given(DIGITS.y_train)
        data = dataclasses.replace(DIGITS, x_train=x, y_train=y)
        histories.append(cp.fit(model, data, **SHORT).loss)
        assert np.array_equal(np.asarray(x), DIGITS.x_train - 0.5)
        assert cp.evaluate(model, x, y) == cp.evaluate(model, np.asarray(x), np.asarray(y))
    assert histories[0] == histories[1]


def test_tensors_of_any_precision_are_taken():
    model, x = small(), torch.from_numpy(IMAGES)
    expected = cp.predict(model, x.bfloat16().float().numpy())
    assert np.array_equal(cp.predict(model, x.bfloat16().requires_grad_()), expected)
    short = IMAGES.astype(bfloat16)
    twin = tiny(ct)
    assert np.array_equal(ct.predict(twin, short), ct.predict(twin, short.astype(np.float32)))


def test_keras_leaves_arrays_as_they_are():
    model, data = tiny(ct), DIGITS.x_train.copy()
    ct.fit(model, dataclasses.replace(DIGITS, x_train=data), **SHORT)
    ct.evaluate(model, data, DIGITS.y_train)
    assert np.array_equal(data, DIGITS.x_train)


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


def test_a_frozen_body_stays_and_its_head_learns_alike_in_both_frameworks(keras_in_double):
    here = cp.cifar_resnet(8, width=2, in_channels=1, seed=0).double()
    for name, buffer in here.named_buffers():  # statistics that have seen something
        if "running" in name:
            buffer += 0.1
    there = ct.cifar_resnet(8, width=2, in_channels=1, seed=1)
    weights.transfer(here, there)
    before = weights.named_arrays(here)

    for part in (here.stem, here.stages):
        part.requires_grad_(False).eval()
    for name in ("stem", "stages"):
        there.get_layer(name).trainable = False

    after = []
    for package, model in ((cp, here), (ct, there)):
        package.fit(model, DIGITS, **SHORT)
        after.append(weights.named_arrays(model))
        for name, array in after[-1].items():
            assert np.array_equal(array, before[name]) != name.startswith("head"), name
    for name, array in after[0].items():
        np.testing.assert_allclose(after[1][name], array, rtol=1e-9, atol=1e-9, err_msg=name)
