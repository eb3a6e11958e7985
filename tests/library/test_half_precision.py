"""Networks in 16 bits compute what they compute in 32, to the rounding of 16."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch

import companion.torch as cp
from companion import list_models, weights
from companion.data import digits8
from companion.torch import probes
from companion.torch.hyper_connections import rms_norm
from tests.library.harness import exhaustive_but
from tests.library.test_torch_expectations import ALL, WIDE, build

torch.set_num_threads(1)
#: Large ones, whose many layers are those of a smaller one.
LARGE = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", *WIDE)
CASES = exhaustive_but(ALL, lambda name: name not in LARGE)
#: Relative distance of outputs: rounding of 2^-9 and 2^-12, in some ten layers.
TOLERANCE = {"bfloat16": 0.03, "float16": 0.004, "autocast": 0.03}
SHORT = {"bfloat16": torch.bfloat16, "float16": torch.float16}


def test_every_network_is_there():
    assert set(list_models()) <= set(ALL)


def alive(name):
    """Return the network in inference mode, none of whose outputs is zero, and its input."""
    network, x = build(name, seed=0).eval(), ALL[name][2][:2]
    torch.manual_seed(0)
    if name == "fixup_resnet":  # which starts at zero
        for p in network.parameters():
            p.data.add_(0.1 * torch.randn_like(p))
    return network, x


@pytest.mark.parametrize("how", TOLERANCE)
@pytest.mark.parametrize("name", CASES)
def test_networks_in_16_bits(name, how):
    if how == "float16" and name in ("resnet101", "resnet152"):
        pytest.skip("untrained, with the statistics of the start, its stream grows past 65,504")
    network, x = alive(name)
    found = []
    for dtype in (torch.float32, SHORT.get(how, torch.float32)):
        network, x = network.to(dtype), x.to(dtype) if x.is_floating_point() else x
        with torch.autocast("cpu", torch.bfloat16, enabled=how == "autocast" and bool(found)):
            y = network(x)
        network.zero_grad()
        y.float().square().mean().backward()
        grads = [p.grad for p in network.parameters() if p.grad is not None]
        assert all(torch.isfinite(g).all() for g in grads)
        found.append([y.detach().float(), torch.cat([g.float().flatten() for g in grads])])
    for one, other, tolerance in zip(*found, (TOLERANCE[how], 16 * TOLERANCE[how]), strict=True):
        assert (one - other).norm() < tolerance * one.norm()


def test_large_numbers_are_normalised_in_16_bits():
    x = torch.tensor([[300.0, -400.0], [0.0, 0.0]])
    for dtype in SHORT.values():
        y = rms_norm(x.to(dtype))
        assert y.dtype == dtype
        torch.testing.assert_close(y.float(), rms_norm(x), rtol=1e-2, atol=0)


DIGITS = digits8()
DIGITS = dataclasses.replace(DIGITS, x_train=DIGITS.x_train[:64], y_train=DIGITS.y_train[:64])


def small(dtype=torch.float32):
    return cp.cifar_resnet(8, width=2, in_channels=1, seed=0).eval().to(dtype)


@pytest.mark.parametrize("dtype", SHORT.values())
def test_predictions_and_probes(dtype):
    x, y = DIGITS.x_test[:64], DIGITS.y_test[:64]
    expected, found = cp.evaluate(small(), x, y), cp.evaluate(small(dtype), x, y)
    assert found[0] == pytest.approx(expected[0], rel=0.02)
    np.testing.assert_allclose(cp.predict(small(dtype), x), cp.predict(small(), x), atol=0.05)
    images = torch.from_numpy(x[:4]).permute(0, 3, 1, 2)
    instruments = [
        lambda model, x: list(probes.activation_variances(model, x).values()),
        lambda model, x: probes.input_gradients(model, x),
        lambda model, x: probes.block_jacobian(model, x[:1]),
        lambda model, x: list(probes.gradient_norms(model, lambda: model(x).sum()).values()),
        lambda model, x: probes.loss_surface(model, lambda: model(x).sum(), 0.1, 3),
        lambda model, x: probes.path_gradients(list(model.stages[0]), model.stem(x), torch.sum),
    ]
    for look in instruments:
        want, got = (
            np.asarray(look(small(t), images.to(t)), float) for t in (torch.float32, dtype)
        )
        assert np.linalg.norm(got - want) < 0.1 * np.linalg.norm(want)


def test_training_in_bfloat16_and_not_in_float16():
    settings = {"epochs": 2, "batch_size": 32, "progress": False}
    one, other = (cp.fit(small(t), DIGITS, **settings) for t in (torch.float32, torch.bfloat16))
    assert other.loss == pytest.approx(one.loss, rel=0.05)
    with pytest.raises(ValueError, match="float64, float32 or bfloat16, got .* float16"):
        cp.fit(small(torch.float16), DIGITS, **settings)


def test_weights_go_where_they_are_held_exactly():
    source, short = small(), small(torch.bfloat16)
    arrays = weights.named_arrays(short)
    for name, array in weights.named_arrays(source).items():
        assert array.dtype == arrays[name].dtype == np.float32
        np.testing.assert_allclose(arrays[name], array, rtol=2**-8)
    wide = cp.cifar_resnet(8, width=2, in_channels=1, seed=1)
    weights.transfer(short, wide)
    assert all((a == arrays[n]).all() for n, a in weights.named_arrays(wide).items())
    weights.transfer(wide, again := small(torch.bfloat16))  # these values have 16 bits
    assert all((a == arrays[n]).all() for n, a in weights.named_arrays(again).items())
    with pytest.raises(ValueError, match="exactly, got bfloat16 at .* for float32"):
        weights.transfer(source, short)
    with pytest.raises(ValueError, match="exactly, got float16 at .* for bfloat16"):
        weights.transfer(short, small(torch.float16))


def test_weights_go_to_keras_and_back_in_bfloat16():
    import keras

    import companion.tensorflow as ct

    keras.config.set_dtype_policy("bfloat16")  # tests/conftest.py puts it back
    there = ct.BasicBlock(4, 4)
    here, back = (cp.BasicBlock(4, 4).bfloat16() for _ in range(2))
    weights.transfer(here, there)
    weights.transfer(there, back)
    expected = weights.named_arrays(here)
    assert all((a == expected[n]).all() for n, a in weights.named_arrays(back).items())
