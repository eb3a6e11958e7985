"""A model computes on its own device, wherever that is, and what it is given goes there."""

from __future__ import annotations

import contextlib
import dataclasses
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import companion.torch as cp
from companion.data import digits8
from companion.torch import _devices, costs, probes
from tests.library.elsewhere import elsewhere

torch.set_num_threads(1)

DIGITS = digits8()
DIGITS = dataclasses.replace(DIGITS, x_train=DIGITS.x_train[:64], y_train=DIGITS.y_train[:64])
IMAGES = torch.from_numpy(DIGITS.x_test[:4]).permute(0, 3, 1, 2)
CUDA = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA graphics card")
MPS = pytest.mark.skipif(
    not torch.backends.mps.is_available(), reason="needs an Apple graphics card"
)
#: One that every machine has, where results are those of the CPU to the last bit, and real ones.
DEVICES = [
    pytest.param("meta", id="elsewhere"),
    pytest.param("cuda", marks=CUDA),
    pytest.param("mps", marks=MPS),
]


@pytest.fixture(params=DEVICES)
def device(request):
    with elsewhere() if request.param == "meta" else contextlib.nullcontext():
        yield request.param


def near(found, expected, device):
    exact = {"rtol": 0, "atol": 0}
    np.testing.assert_allclose(
        found, expected, **(exact if device == "meta" else {"rtol": 1e-3, "atol": 1e-3})
    )


def small(device="cpu"):
    return cp.cifar_resnet(8, width=2, in_channels=1, seed=0).to(device)


def adamw(model):
    return torch.optim.AdamW(model.parameters(), lr=1e-2)


SETTINGS = {
    "sgd": lambda model: {"shift": 1, "label_smoothing": 0.1},
    "adam": lambda model: {"optimizer": "adam", "learning_rate_factors": {"stem": 0.5}},
    "own": lambda model: {"optimizer": adamw(model)},
}


@pytest.mark.parametrize("name", SETTINGS)
def test_training_there_is_training_here_and_goes_on_in_either_place(name, device):
    common = {"epochs": 2, "batch_size": 32, "progress": False}
    here, there = small(), small(device)
    one = list(cp.train(here, DIGITS, **common, **SETTINGS[name](here)))
    other = list(cp.train(there, DIGITS, **common, **SETTINGS[name](there)))
    near(other[-1].history.loss, one[-1].history.loss, device)
    x, y = DIGITS.x_test[:64], DIGITS.y_test[:64]
    near(cp.evaluate(there, x, y), cp.evaluate(here, x, y), device)
    near(cp.predict(there, x), cp.predict(here, x), device)
    for checkpoint, place in ((one[0], device), (other[0], "cpu"), (other[0], device)):
        again = small(place)
        settings = {**common, **SETTINGS[name](again)}
        history = cp.fit(again, DIGITS, resume=checkpoint, **settings)
        near(history.loss, one[-1].history.loss, device)
        near(cp.predict(again, x), cp.predict(here, x), device)
        assert next(again.parameters()).device.type == place


def test_a_squared_error_and_labels_to_ignore(device):
    rng = np.random.default_rng(0)
    x, y = rng.standard_normal((32, 8)), rng.integers(0, 3, 32)
    y[rng.random(32) < 0.7] = -1
    common = {"epochs": 1, "batch_size": 4, "learning_rate": 0.01, "progress": False}
    for targets, loss in ((rng.standard_normal((32, 3)), "squared_error"), (y, "cross_entropy")):
        data = SimpleNamespace(x_train=x, y_train=targets, num_classes=3)
        losses = []
        for place in ("cpu", device):
            torch.manual_seed(0)
            model = nn.Linear(8, 3).to(place)
            losses.append(cp.fit(model, data, loss=loss, **common).loss)
        near(losses[1], losses[0], device)


def lesioned(model, x):
    with probes.without_blocks(model, ["stages.0.0"]):
        return cp.predict(model, x.permute(0, 2, 3, 1))


INSTRUMENTS = {
    "activation_variances": lambda m, x: list(probes.activation_variances(m, x).values()),
    "input_gradients": probes.input_gradients,
    "block_jacobian": lambda m, x: probes.block_jacobian(m, x[:1]),
    "gradient_norms": lambda m, x: list(
        probes.gradient_norms(m, lambda: m(_devices.to_device_of(m, x)).sum()).values()
    ),
    "loss_surface": lambda m, x: probes.loss_surface(
        m, lambda: m(_devices.to_device_of(m, x)).sum(), 0.1, 3
    ),
    "path_gradients": lambda m, x: probes.path_gradients(
        list(m.stages[0]), m.stem(_devices.to_device_of(m, x)).detach().cpu(), torch.sum
    ),
    "operation_graph": lambda m, x: len(probes.operation_graph(m, x)),
    "without_blocks": lesioned,
    "layer_costs": lambda m, x: [c.multiply_adds for c in costs.layer_costs(m, x)],
    "effective_multiply_adds": costs.effective_multiply_adds,
}


@pytest.mark.parametrize("name", INSTRUMENTS)
def test_probes_and_costs_take_inputs_there(name, device):
    look = INSTRUMENTS[name]
    near(look(small(device).eval(), IMAGES), look(small().eval(), IMAGES), device)


def test_bytes_and_seconds_there(device):
    assert costs.block_time(cp.BasicBlock(1, 1).to(device).eval(), IMAGES, 1).first
    for count in (costs.saved_bytes, costs.peak_saved_bytes):
        found = count(small(device), IMAGES)
        assert device == "meta" or found == count(small(), IMAGES)  # which has no addresses


def test_inputs_stay_where_they_are_for_a_function_and_a_module_without_parameters():
    x = torch.zeros(1, 2)
    for module in (torch.sin, nn.ReLU()):
        assert _devices.to_device_of(module, x) is x
    assert _devices.to_device_of(nn.Linear(2, 2, device="meta"), x).is_meta


def test_a_network_made_ready_there(device):
    here, there = (cp.optimize_for_inference(small(d)) for d in ("cpu", device))
    assert next(there.parameters()).device.type == device
    near(cp.predict(there, DIGITS.x_test[:8]), cp.predict(here, DIGITS.x_test[:8]), device)


def test_a_file_in_onnx_is_the_same_from_everywhere(device, tmp_path):
    pytest.importorskip("onnxscript")
    files = []
    for place in ("cpu", device):
        torch.manual_seed(0)
        model = nn.Linear(3, 2).to(place)
        path = cp.export_onnx(model, tmp_path / f"{place}.onnx", np.zeros((1, 3), np.float32))
        files.append(path.read_bytes())
        assert next(model.parameters()).device.type == place
    assert files[0] == files[1]


@pytest.mark.parametrize("device", DEVICES[1:])
def test_precision_there(device):
    settings = {"epochs": 2, "batch_size": 32, "progress": False, "precision": "bfloat16"}
    model, plain = small(device), small(device)
    first, last = cp.train(model, DIGITS, **settings)
    history = cp.fit(plain, DIGITS, **{**settings, "precision": "float32"})
    assert last.history.loss == pytest.approx(history.loss, rel=0.05)
    assert last.history.loss != history.loss
    again = small(device)
    resumed = cp.fit(again, DIGITS, resume=first, **settings)
    assert resumed.loss == pytest.approx(last.history.loss, rel=1e-3)
    assert {p.dtype for p in again.parameters()} == {torch.float32}


@pytest.mark.parametrize("device", DEVICES[1:])
def test_what_is_drawn_there_is_drawn_again(device):
    def random():
        torch.manual_seed(0)
        block = cp.Residual(cp.Dense(64, 64), merge=cp.StochasticDepth(0.5))
        return nn.Sequential(nn.Flatten(), block, cp.Dense(64, 10)).to(device)

    settings = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "progress": False}
    first, last = cp.train(random(), DIGITS, **settings)
    assert f"generator.{device}" in first.arrays
    torch.manual_seed(9)
    history = cp.fit(random(), DIGITS, resume=first, **settings)
    assert history.loss == pytest.approx(last.history.loss, rel=1e-5)


@pytest.mark.parametrize("kind", ["cuda", "mps"])
def test_each_device_s_generator_is_asked_as_it_wants_to_be(kind, monkeypatch):
    asked = []

    class Module:  # none of them is here, and older versions of mps take no device
        def get_rng_state(*device):
            asked.append(device[1:])
            return torch.tensor([7])

        def set_rng_state(self, state, *device):
            asked.append((state.item(), *device))

    there = torch.device(kind)
    monkeypatch.setattr(torch, "get_device_module", lambda device: Module())
    devices = _devices.own_generators(there)
    states = _devices.random_states(devices)
    _devices.set_random_states(devices, states)
    where = () if kind == "mps" else (there,)
    assert asked == [where, (7, *where)] and _devices.own_generators(torch.device("cpu")) == []
