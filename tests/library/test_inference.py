"""What makes a network faster changes neither its outputs nor the network itself."""

from __future__ import annotations

import copy
import pickle

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn

import companion.tensorflow as ct
import companion.torch as cp
from companion import weights

torch.set_num_threads(1)

NETWORKS = [
    ("cifar_resnet", (8,), {"width": 8}, 3),
    ("cifar_resnet", (8,), {"width": 4, "shortcut": "B"}, 3),
    ("cifar_resnet", (8,), {"width": 4, "residual": False}, 3),
    ("cifar_preact_resnet", (8,), {"width": 4, "shortcut": "C"}, 3),
    ("fixup_resnet", (8,), {"width": 4}, 3),
    ("wide_resnet", (10, 1), {}, 3),
    ("mnist_resnet", (), {}, 1),
    ("resnet18", (), {"num_classes": 5}, 3),
    ("resnet50", (), {"num_classes": 5}, 3),
    ("resnet50", (), {"version": "v1", "num_classes": 5}, 3),
    ("resnet50_v2", (), {"num_classes": 5}, 3),
    ("resnext50_32x4d", (), {"num_classes": 5}, 3),
    ("se_resnet50", (), {"num_classes": 5}, 3),
    ("revnet_cifar", (14,), {"width": 8}, 3),
    ("densenet_cifar", (), {}, 3),
    ("residual_unet", (), {"channels": 4}, 1),
    ("dncnn", (), {}, 1),
]


def lived_in(model, seed=0):
    """Give running statistics and biases values that are not their initial ones."""
    rng = np.random.default_rng(seed)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.from_numpy(rng.uniform(0.5, 2, value.shape)))
        elif value.ndim == 1:
            value += torch.from_numpy(rng.normal(0, 0.1, value.shape)).to(value.dtype)
    return model


def relative(a, b):
    assert a.shape == b.shape
    return float(np.abs(a - b).max() / np.abs(b).max())


def norms(model):
    return sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())


@pytest.mark.parametrize(("name", "args", "options", "channels"), NETWORKS)
def test_outputs_stay_and_the_original_too(name, args, options, channels):
    model = lived_in(getattr(cp, name)(*args, seed=0, **options)).train()
    before = copy.deepcopy(model.state_dict())
    fast = cp.optimize_for_inference(model)
    for side, count in ((32, 3), (36, 1)):  # another size needs no other copy
        x = np.random.default_rng(0).random((count, side, side, channels), np.float32)
        assert relative(cp.predict(fast, x), cp.predict(model, x)) <= 1e-5
    assert model.training and all(p.requires_grad for p in model.parameters())
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(m.inplace for m in model.modules() if isinstance(m, nn.ReLU))
    assert not fast.training and not any(p.requires_grad for p in fast.parameters())


def test_norms_after_convolutions_are_gone_and_others_stay():
    assert norms(cp.optimize_for_inference(cp.cifar_resnet(8, width=4, seed=0))) == 0
    # Before each first convolution of three blocks, and before the head.
    assert norms(cp.optimize_for_inference(cp.cifar_preact_resnet(8, width=4, seed=0))) == 4


def row(*parts):
    return nn.Sequential(*parts).eval()


def shared():
    conv = cp.Conv2d(4, 4)
    return row(conv, cp.BatchNorm2d(4), conv)


def hooked():
    conv = cp.Conv2d(4, 4)
    conv.register_forward_hook(lambda module, inputs, output: output * 2)
    return row(conv, cp.BatchNorm2d(4))


class Doubling(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


class Standardised(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight - weight.mean((1, 2, 3), keepdim=True), bias)


def one_relu():
    relu = nn.ReLU()
    return row(
        cp.Residual(cp.Conv2d(4, 4), activation=relu),
        cp.Residual(row(relu, cp.Conv2d(4, 4))),
    )


def changes(part):
    """A ReLU, or a merge, whose hook needs what came in."""
    part.register_forward_hook(lambda module, inputs, output: output - inputs[0])
    return part


@pytest.mark.parametrize(
    "build",
    [
        shared,
        hooked,
        one_relu,
        lambda: row(Standardised(4, 4, 3), nn.ReLU()),
        lambda: row(cp.Conv2d(4, 4), changes(nn.ReLU())),
        lambda: cp.Residual(cp.Conv2d(4, 4), activation=changes(nn.ReLU())),
        lambda: cp.Residual(cp.Conv2d(4, 4), merge=changes(cp.Add())),
        lambda: row(Doubling(4, 4, 3), cp.BatchNorm2d(4)),
        lambda: row(nn.utils.parametrizations.weight_norm(cp.Conv2d(4, 4)), cp.BatchNorm2d(4)),
        lambda: row(cp.Conv2d(4, 4), nn.BatchNorm2d(4, track_running_stats=False)),
        lambda: row(nn.Conv2d(4, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU()),
        lambda: row(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(4)),
        lambda: row(nn.Conv2d(4, 4, 1, stride=2, padding=1), nn.BatchNorm2d(4)),
        lambda: row(nn.Conv2d(4, 4, 3, dilation=2, bias=True), nn.BatchNorm2d(4, affine=False)),
        lambda: cp.Residual(nn.Identity(), activation=nn.ReLU()),
        lambda: cp.Residual(nn.Identity(), None, activation=nn.ReLU()),
        lambda: cp.Residual(row(cp.Conv2d(4, 4), nn.Identity()), activation=nn.ReLU()),
    ],
)
def test_what_cannot_be_changed_safely_is_left(build):
    torch.manual_seed(0)
    model = lived_in(build()).eval()
    x = torch.randn(2, 4, 8, 8)
    given = x.clone()
    with torch.no_grad():
        expected = model(x)
        got = cp.optimize_for_inference(model)(x)
    assert torch.allclose(got, expected, atol=1e-5)
    assert torch.equal(x, given), "the input was written over"


def test_no_random_number_is_drawn():
    model = cp.cifar_resnet(8, width=4, seed=0)
    before = torch.get_rng_state()
    cp.optimize_for_inference(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_new_weights_reach_the_calls():
    x = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    one, other = (cp.optimize_for_inference(cp.cifar_resnet(8, width=4, seed=s)) for s in (0, 1))
    cp.predict(one, x)
    one.load_state_dict(other.state_dict())
    assert relative(cp.predict(one, x), cp.predict(other, x)) <= 1e-6


def test_it_is_copied_pickled_cast_and_differentiated():
    model = cp.optimize_for_inference(lived_in(cp.cifar_resnet(8, width=4, seed=0)))
    x = torch.randn(2, 3, 16, 16)
    expected = model(x)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again(x), expected)
    assert torch.allclose(copy.deepcopy(model).double()(x.double()).float(), expected, atol=1e-4)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    assert gradient.isfinite().all() and gradient.any()


def test_wrong_inputs_are_still_refused():
    fast = cp.optimize_for_inference(cp.cifar_resnet(8, width=4, seed=0))
    for x, named in ((torch.zeros(1, 2, 8, 8), "channels"), (torch.zeros(3, 8, 8), "dimensions")):
        with pytest.raises(ValueError, match=named):
            fast(x)


@pytest.mark.parametrize("bad", ["a string", None])
def test_what_is_no_model_is_refused(bad):
    for package in (cp, ct):
        with pytest.raises(ValueError, match="model"):
            package.optimize_for_inference(bad)


def test_a_keras_network_with_several_outputs_is_refused():
    x = keras.Input((4,))
    h = keras.layers.Dense(3)(x)
    with pytest.raises(ValueError, match="one output, got 2"):
        ct.optimize_for_inference(keras.Model(x, [h, keras.layers.ReLU()(h)]))


def test_unbuilt_models_are_refused():
    with pytest.raises(ValueError, match="built"):
        ct.optimize_for_inference(keras.Sequential([keras.layers.Dense(3)]))


@pytest.mark.parametrize(
    ("name", "args", "options", "channels"), [NETWORKS[1], NETWORKS[3], NETWORKS[15]]
)
def test_a_frozen_keras_network_answers_alike(name, args, options, channels):
    source = lived_in(getattr(cp, name)(*args, seed=0, **options))
    model = getattr(ct, name)(*args, seed=1, **options)
    weights.transfer(source, model)
    fast = ct.optimize_for_inference(model)
    for count in (1, 3):
        x = np.random.default_rng(0).random((count, 32, 32, channels), np.float32)
        expected = ct.predict(model, x)
        assert relative(ct.predict(fast, x), expected) <= 1e-5
        assert relative(fast(tf.constant(x)).numpy(), expected) <= 1e-5
    weights.initialize(model, 5)  # what the model becomes does not reach the copy
    assert relative(ct.predict(fast, x), expected) <= 1e-5


def test_a_frozen_keras_network_is_evaluated_and_takes_tokens():
    model = ct.transformer(11, 1, channels=8, heads=2, seed=0)
    tokens = np.random.default_rng(0).integers(0, 11, (3, 6))
    fast = ct.optimize_for_inference(model)
    assert ct.evaluate(fast, tokens, tokens) == pytest.approx(ct.evaluate(model, tokens, tokens))


def test_a_frozen_keras_network_refuses_what_does_not_fit():
    fast = ct.optimize_for_inference(ct.cifar_resnet(8, width=4, seed=0))
    for shape, named in (((1, 8, 8, 2), "channels"), ((8, 8, 3), "dimensions")):
        with pytest.raises(ValueError, match=named):
            fast(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="training"):
        fast(np.zeros((1, 8, 8, 3), np.float32), training=True)
