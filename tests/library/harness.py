"""What tests of several modules share: inputs, a known network, and how twins are compared."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn

import companion.reference as ref
import companion.tensorflow as ct
import companion.torch as cp
from companion import weights

torch.set_num_threads(1)

RNG = np.random.default_rng(0)
IMAGES = RNG.normal(size=(3, 16, 24, 3)).astype(np.float32)
TOKENS = RNG.integers(0, 9, (3, 7))
FRAMES = RNG.normal(size=(3, 20, 12)).astype(np.float32)
VECTORS = RNG.normal(size=(8, 16)).astype(np.float32)


def ids(networks):
    """Name each case by its network and its options."""
    return ["-".join([n, *(f"{k}={v}" for k, v in o.items())]) for n, _, o, _ in networks]


def exhaustive_but(cases, keep):
    """Return the cases, those that are not to be kept marked to be run by `make exhaustive` alone.

    Parameters
    ----------
    cases: names, or tuples. keep: called with one of them.
    """
    mark = pytest.mark.exhaustive
    values = [(c, c if isinstance(c, tuple) else (c,)) for c in cases]
    return [pytest.param(*v) if keep(c) else pytest.param(*v, marks=mark) for c, v in values]


def to_torch(x):
    x = torch.from_numpy(x)
    return x.permute(0, 3, 1, 2) if x.ndim == 4 else x


def to_numpy(y):
    y = y.detach().numpy()
    return y.transpose(0, 2, 3, 1) if y.ndim == 4 else y


def near(a, b, tolerance):
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


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


def agree(source, target, x, training):
    """Compare outputs and all gradients; x is channels first, equal weights are the callee's."""
    source.train(training)
    tx = torch.from_numpy(x).requires_grad_()
    ty = source(tx)
    dy = np.random.default_rng(1).normal(size=tuple(ty.shape)).astype(np.float32)
    ty.backward(torch.from_numpy(dy))
    kx = tf.constant(x.transpose(0, 2, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(kx)
        ky = target(kx, training=training)
        loss = tf.reduce_sum(ky * dy.transpose(0, 2, 3, 1))
    dx, *dw = tape.gradient(loss, [kx, *(v.value for v in target.trainable_variables)])
    near(ky.numpy().transpose(0, 3, 1, 2), ty.detach().numpy(), 1e-5)
    near(dx.numpy().transpose(0, 3, 1, 2), tx.grad.numpy(), 1e-4)
    theirs = [0.0, *sorted(float(p.grad.norm()) for p in source.parameters())]
    ours = [0.0, *sorted(float(tf.norm(g)) for g in dw)]
    near(np.array(ours), np.array(theirs), 1e-4)


def agree_as_blocks(name, args, options, training, size):
    """Compare a block of images in both frameworks."""
    source, target = (getattr(package, name)(*args, **options) for package in (cp, ct))
    lived_in(source, 0)
    weights.transfer(source, target)
    x = np.random.default_rng(2).normal(size=(4, args[0], size, size)).astype(np.float32)
    agree(source, target, x, training)


def saved_as_block(name, args, options, folder):
    """Keras saves a model of the block and loads it again."""
    x = np.random.default_rng(0).random((2, 8, 8, args[0]), np.float32)
    inputs = keras.Input((None, None, args[0]))
    model = keras.Model(inputs, getattr(ct, name)(*args, **options)(inputs))
    model.save(folder / "block.keras")
    again = keras.models.load_model(folder / "block.keras")
    np.testing.assert_array_equal(model(x, training=False), again(x, training=False))


def agree_as_networks(name, args, options, x):
    """Both start alike from one seed, compute and learn alike, and weights go there and back."""
    here, there = (getattr(package, name)(*args, seed=3, **options) for package in (cp, ct))
    a, b = weights.named_arrays(here), weights.named_arrays(there)
    assert list(a) == list(b) and all((a[k] == b[k]).all() for k in a)
    lived_in(here, 0, 0.1)
    weights.transfer(here, there)
    training = "stochastic" not in str(options)  # its draws are each framework's own
    here.train(training)
    y = here(to_torch(x))
    dy = np.random.default_rng(1).normal(size=to_numpy(y).shape).astype(np.float32)
    y.backward(to_torch(dy))
    with tf.GradientTape() as tape:
        z = there(x, training=training)
        loss = tf.reduce_sum(z * dy)
    gradients = tape.gradient(loss, [v.value for v in there.trainable_variables])
    near(z.numpy(), to_numpy(y), 2e-5)
    theirs = np.sort([float(p.grad.norm()) for p in here.parameters() if p.requires_grad])
    near(np.sort([float(tf.norm(g)) for g in gradients]), theirs, 2e-4)
    back = getattr(cp, name)(*args, seed=4, **options)
    weights.transfer(there, back)  # what Keras's own training step left in its statistics
    c, d = weights.named_arrays(there), weights.named_arrays(back)
    assert list(c) == list(d)
    assert all((c[k] == d[k]).all() for k in c)


def saved_as_network(name, args, options, x, folder):
    """Keras saves the network and loads it again."""
    model = getattr(ct, name)(*args, seed=3, **options)
    model.save(folder / "model.keras")
    again = keras.models.load_model(folder / "model.keras")
    np.testing.assert_array_equal(model(x, training=False), again(x, training=False))


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
        model = package.transformer(9, 2, 8, merge=kind, seed=0)
        x = torch.from_numpy(TOKENS) if package is cp else TOKENS
        y = model(x)
        outputs.append(to_numpy(y) if package is cp else y.numpy())
    # The mean over depth is the sum divided by its length: only the norms' eps tell them apart.
    near(outputs[1], outputs[0], 5e-3 if merge == "depth_attention" else 1e-5)


def trained_numbers(model):
    """Count the trained numbers."""
    return sum(a.size for k, a in weights.named_arrays(model).items() if "running" not in k)


def refused_alike(name, args, options, named):
    """Both raise the same ``ValueError``, but for the order of axes."""
    messages = []
    for framework in (cp, ct):
        with pytest.raises(ValueError, match=named) as caught:
            getattr(framework, name)(*args, **options)
        messages.append(str(caught.value).replace("(channels, height, width)", "SHAPE"))
        messages[-1] = messages[-1].replace("(height, width, channels)", "SHAPE")
    assert messages[0] == messages[1]


class Times(nn.Module):
    """x times a constant: a branch with a known derivative."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def stack(*factors):
    return nn.Sequential(*[cp.Residual(Times(a)) for a in factors])
