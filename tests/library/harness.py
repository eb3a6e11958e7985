"""What tests of several modules share: inputs, a known network, and how twins are compared."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import torch
from torch import nn

import companion.reference as ref
import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from companion.architectures import Architecture, Stage
from tests.oracles.harness import near, run

torch.set_num_threads(1)

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 16, 24, 3)).astype(np.float32)
TOKENS = RNG.integers(0, 9, (3, 7))
FRAMES = RNG.normal(size=(3, 20, 12)).astype(np.float32)
VECTORS = RNG.normal(size=(8, 16)).astype(np.float32)


def exhaustive_but(cases, keep):
    """Return the cases, those that are not to be kept marked to be run by `make exhaustive` alone.

    Parameters
    ----------
    cases: names, or tuples. keep: called with one of them.
    """
    return [
        pytest.param(
            *(case if isinstance(case, tuple) else (case,)),
            marks=() if keep(case) else pytest.mark.exhaustive,
        )
        for case in cases
    ]


def tiny(framework, width=4, blocks=1):
    """Return the smallest network of digits: each step that Keras compiles takes it seconds."""
    stages = (Stage(out_channels=2 * width, blocks=blocks, stride=2),)
    architecture = Architecture("tiny", "basic", width, 3, 1, False, stages)
    return framework.ResNet(architecture, in_channels=1, num_classes=10, seed=0)


def to_torch(x):
    x = torch.from_numpy(x)
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def to_numpy(y):
    y = y.detach().numpy()
    return y.transpose(0, 2, 3, 1) if y.ndim == 4 else y


def numbers(shape, name=""):
    rng = np.random.default_rng(0)
    return rng.integers(0, 9, shape) if name == "Embedding" else rng.random(shape, np.float32)


def unique_paths(layer):
    paths = [v.path for v in layer.variables]
    assert len(paths) == len(set(paths)), sorted(p for p in paths if paths.count(p) > 1)


def lived_in(model, seed, deviation=0.2):
    """Give every trained parameter of a PyTorch model a value that is not its initial one."""
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        if p.requires_grad:
            p.data += torch.from_numpy(rng.normal(0, deviation, p.shape)).to(p.dtype)


def agree(here, there, x, training, outputs=1e-5, gradients=1e-4):
    """Compare PyTorch's float64 with Keras: output, and the gradient of x and of each parameter.

    Parameters
    ----------
    here, there: with equal weights. x: channels first.
    """
    x = x if x.dtype.kind == "i" else x.astype(np.float64)
    one, other = (
        run(framework, model, x, training=training)
        for framework, model in (("torch", here), ("tensorflow", there))
    )
    near(other.y, one.y, outputs, "output")
    for a, b in zip(other.dx, one.dx, strict=True):
        near(a, b, gradients, "gradient of x")
    assert other.gradients.keys() == one.gradients.keys()
    for name, gradient in one.gradients.items():
        near(other.gradients[name], gradient, gradients, name)


def blocks_agree(blocks):
    """Return a test of blocks of images, (name, arguments, options), in both frameworks."""

    modes = itertools.product((True, False), (7, 8))  # a stride divides odd and even sides

    @pytest.mark.parametrize(("name", "args", "options"), blocks)
    @pytest.mark.parametrize(
        ("training", "size"), exhaustive_but(modes, [(True, 7), (False, 8)].__contains__)
    )
    def test(name, args, options, training, size):
        source, target = (getattr(package, name)(*args, **options) for package in (cp, ct))
        lived_in(source, 0)
        weights.transfer(source, target)
        x = np.random.default_rng(2).normal(size=(4, args[0], size, size)).astype(np.float32)
        agree(source, target, x, training)

    return test


def blocks_are_saved_whole(blocks):
    """Return a test that Keras saves a model of such a block and loads it again."""

    @pytest.mark.parametrize(("name", "args", "options"), blocks)
    def test(name, args, options, tmp_path):
        inputs = keras.Input((None, None, args[0]))
        model = keras.Model(inputs, getattr(ct, name)(*args, **options)(inputs))
        x = np.random.default_rng(0).random((2, 8, 8, args[0]), np.float32)
        saved_whole(model, x, tmp_path)

    return test


def saved_whole(model, x, folder):
    """Keras saves the model and loads it again."""
    model.save(folder / "model.keras")
    again = keras.models.load_model(folder / "model.keras")
    np.testing.assert_array_equal(model(x, training=False), again(x, training=False))


def networks_agree(networks, keep=lambda case: True):
    """Return a test of networks, (name, arguments, options, input), in both frameworks.

    They start alike from one seed, compute and learn alike, and weights go there and back.
    """

    @of_networks(networks, keep)
    def test(name, args, options, x):
        here, there = (getattr(package, name)(*args, seed=3, **options) for package in (cp, ct))
        a, b = weights.named_arrays(here), weights.named_arrays(there)
        assert list(a) == list(b) and all((a[k] == b[k]).all() for k in a)
        lived_in(here, 0, 0.1)
        weights.transfer(here, there)
        training = "stochastic" not in str(options)  # its draws are each framework's own
        agree(here, there, np.moveaxis(x, -1, 1) if x.ndim == 4 else x, training, 2e-5, 2e-4)
        back = getattr(cp, name)(*args, seed=4, **options)
        weights.transfer(there, back)  # what Keras's own training step left in its statistics
        c, d = weights.named_arrays(there), weights.named_arrays(back)
        assert list(c) == list(d)
        assert all((c[k] == d[k]).all() for k in c)

    return test


def networks_are_saved_whole(networks, keep=lambda case: True):
    """Return a test that Keras saves such a network and loads it again."""

    @of_networks(networks, keep)
    def test(name, args, options, x, tmp_path):
        saved_whole(getattr(ct, name)(*args, seed=3, **options), x, tmp_path)

    return test


def of_networks(networks, keep):
    """Return the parametrization; networks not to be kept are left to `make exhaustive`."""
    ids = ["-".join([n, *(f"{k}={v}" for k, v in o.items())]) for n, _, o, _ in networks]
    return pytest.mark.parametrize(
        ("name", "args", "options", "x"), exhaustive_but(networks, keep), ids=ids
    )


def agree_as_streams(name, args, shape):
    """Compare a block with streams of its own with the NumPy reference, in float64."""
    here = getattr(cp, name)(torch.nn.ReLU(), *args).double()
    there = getattr(ref, name)(ref.ReLU(), *args)
    rng = np.random.default_rng(0)
    for p in here.parameters():
        p.data += torch.from_numpy(rng.normal(0, 0.5, p.shape))
    weights.transfer(here, there)
    x = torch.from_numpy(rng.normal(size=shape)).requires_grad_()
    y = here(x)
    dy = rng.normal(size=tuple(y.shape))
    y.backward(torch.from_numpy(dy))
    np.testing.assert_allclose(there.forward(x.detach().numpy()), y.detach().numpy(), atol=1e-10)
    np.testing.assert_allclose(there.backward(dy), x.grad.numpy(), atol=1e-9)
    layers = dict(there.named_layers())
    for name, p in here.named_parameters():
        layer, key = name.rsplit(".", 1)
        np.testing.assert_allclose(layers[layer].grads[key], p.grad.numpy(), atol=1e-9)


def start_as_plain_addition(package, merge):
    """A transformer with this merge starts as the function that it is with plain addition."""
    outputs = []
    for kind in ("add", merge):
        # More branches than streams where it takes no time: each has a stream of its own to read.
        model = package.transformer(9, 4 if package is cp else 2, 8, merge=kind, seed=0)
        x = torch.from_numpy(TOKENS) if package is cp else TOKENS
        y = model(x)
        outputs.append(to_numpy(y) if package is cp else y.numpy())
    # The mean over depth is the sum divided by its length: only the norms' eps tell them apart.
    near(outputs[1], outputs[0], 5e-3 if merge == "depth_attention" else 1e-5)


def trained_numbers(model):
    """Count the trained numbers."""
    return sum(a.size for k, a in weights.named_arrays(model).items() if "running" not in k)


def refused_alike(cases):
    """Return a test that both raise the same ``ValueError``, but for the order of axes."""

    @pytest.mark.parametrize(("name", "args", "options", "named"), cases)
    def test(name, args, options, named):
        messages = []
        for framework in (cp, ct):
            with pytest.raises(ValueError, match=named) as caught:
                getattr(framework, name)(*args, **options)
            messages.append(str(caught.value).replace("(channels, height, width)", "SHAPE"))
            messages[-1] = messages[-1].replace("(height, width, channels)", "SHAPE")
        assert messages[0] == messages[1]

    return test


class Times(nn.Module):
    """x times a constant: a branch with a known derivative."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def stack(*factors):
    return nn.Sequential(*[cp.Residual(Times(a)) for a in factors])
