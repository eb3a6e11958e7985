"""One way to fill, run and differentiate a layer of any framework, and to write its oracle.

An oracle is a function ``f(w, training, *inputs)`` in plain ``torch.nn.functional`` and float64,
written from the paper; ``w`` finds a weight by the end of its name. Images are (N, C, H, W) here,
whatever the framework has.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import tensorflow as tf
import torch
import torch.nn.functional as F

import companion.reference as reference
import companion.tensorflow as tensorflow
import companion.torch as pytorch
from companion import weights
from companion.weights.layer_weights import layer_weights

torch.set_num_threads(1)

PACKAGES = {"reference": reference, "torch": pytorch, "tensorflow": tensorflow}
BOTH = ("torch", "tensorflow")
ALL = ("reference", *BOTH)
#: By framework, of outputs and of gradients, relative to the largest number.
TOLERANCE = {"reference": (1e-10, 1e-9), "torch": (1e-10, 1e-9), "tensorflow": (2e-5, 3e-4)}


def build(framework, kind, *args, **options):
    """Make an object of ``companion.<framework>``."""
    return getattr(PACKAGES[framework], kind)(*args, **options)


def normal(*shape, seed=1):
    """Return the same standard normal numbers each time."""
    return np.random.default_rng([seed, *shape]).normal(size=shape)


def fill(model, seed=0):
    """Give every weight and statistic a random value, none like its initial one."""
    rng = np.random.default_rng(seed)
    for layer in layer_weights(model):
        for key, array in layer.arrays.items():
            shape = array.shape
            if key == "running_var" or (layer.kind.endswith("norm") and key == "weight"):
                values = rng.uniform(0.5, 1.5, shape)
            else:
                mean, size = (0.0, np.prod(shape[1:])) if len(shape) > 1 else (0.1, 4.0)
                values = rng.normal(mean, size**-0.5, shape)
            layer.assign(key, values.astype(array.dtype))
    return model


class Weights:
    """Arrays by name, as float64 tensors that collect gradients."""

    def __init__(self, tensors):
        self.tensors = tensors

    @classmethod
    def of_model(cls, model):
        arrays = weights.named_arrays(model)
        return cls(
            {
                name: torch.tensor(a, dtype=torch.float64, requires_grad="running_" not in name)
                for name, a in arrays.items()
            }
        )

    def at(self, *parts):
        """Return those whose names have these parts, in this order."""
        found = {}
        for name, tensor in self.tensors.items():
            rest, hit = f".{name}.", True
            for part in parts:
                place = rest.find(f".{part}.")
                hit = hit and place >= 0
                rest = rest[place + len(part) + 1 :] if hit else rest
            if hit:
                found[name] = tensor
        assert found, (parts, list(self.tensors))
        return Weights(found)

    def without(self, part):
        """Return those whose names have no such part."""
        return Weights({n: t for n, t in self.tensors.items() if f".{part}." not in f".{n}."})

    def __call__(self, end, ndim=None):
        """Return the one whose name ends so."""
        found = {
            name: t
            for name, t in self.tensors.items()
            if f".{name}".endswith(f".{end}") and ndim in (None, t.ndim)
        }
        assert len(found) == 1, (end, list(found), list(self.tensors))
        return next(iter(found.values()))


@dataclass
class Result:
    y: np.ndarray
    dx: list
    gradients: dict


def cotangent(shape):
    return normal(*shape, seed=7)


def run(framework, model, *inputs, training=True, streams=False):
    """Run forward and backward; return the output and all gradients, channels first."""
    images = not streams
    if framework == "reference":
        return _run_reference(model, inputs, training)
    return (_run_torch if framework == "torch" else _run_keras)(model, inputs, training, images)


def _run_reference(model, inputs, training):
    y = model.forward(*inputs, training=training)
    dx = model.backward(cotangent(y.shape))
    layers = list(model.named_layers())
    kept = [layer.params for _, layer in layers]
    for _, layer in layers:
        layer.params = {key: layer.grads[key] for key in layer.params}
    gradients = _trained(model)
    for (_, layer), params in zip(layers, kept, strict=True):
        layer.params = params
    return Result(y, list(dx) if isinstance(dx, tuple) else [dx], gradients)


def _run_torch(model, inputs, training, images):
    model.double().train(training).zero_grad()
    inputs = [torch.from_numpy(np.asarray(x)) for x in inputs]
    floats = [x.requires_grad_() for x in inputs if x.is_floating_point()]
    y = model(*inputs)
    y.backward(torch.from_numpy(cotangent(y.shape)))
    parameters = list(model.parameters())
    kept = [p.data for p in parameters]
    for p in parameters:
        p.data = torch.zeros_like(p) if p.grad is None else p.grad
    gradients = _trained(model)
    for p, values in zip(parameters, kept, strict=True):
        p.data = values
    return Result(y.detach().numpy(), [x.grad.numpy() for x in floats], gradients)


def _run_keras(model, inputs, training, images):
    def last(x):
        return np.moveaxis(x, 1, -1) if x.ndim == 4 and images else x

    def first(x):
        return np.moveaxis(x, -1, 1) if x.ndim == 4 and images else x

    inputs = [tf.constant(last(np.asarray(x, _keras_type(x)))) for x in inputs]
    floats = [x for x in inputs if x.dtype.is_floating]
    with tf.GradientTape() as tape:
        for x in floats:
            tape.watch(x)
        y = model(*inputs, training=training)
        shape = first(y.numpy()).shape
        loss = tf.reduce_sum(y * tf.constant(last(cotangent(shape).astype("float32"))))
    variables = model.trainable_variables
    found = tape.gradient(loss, [*floats, *(v.value for v in variables)])
    kept = [v.numpy() for v in variables]
    for v, g in zip(variables, found[len(floats) :], strict=True):
        v.assign(np.zeros(v.shape) if g is None else tf.convert_to_tensor(g))
    gradients = _trained(model)
    for v, values in zip(variables, kept, strict=True):
        v.assign(values)
    dx = [first(g.numpy()) for g in found[: len(floats)]]
    return Result(first(y.numpy()), dx, gradients)


def _keras_type(x):
    return np.int32 if np.issubdtype(np.asarray(x).dtype, np.integer) else np.float32


def _trained(model):
    return {k: a for k, a in weights.named_arrays(model).items() if "running_" not in k}


def expected(oracle, w, *inputs, training=True):
    """Return what the oracle makes of the same numbers."""
    inputs = [torch.from_numpy(np.asarray(x)) for x in inputs]
    floats = [x.requires_grad_() for x in inputs if x.is_floating_point()]
    y = oracle(w, training, *inputs)
    y.backward(torch.from_numpy(cotangent(y.shape)))
    gradients = {
        name: (torch.zeros_like(t) if t.grad is None else t.grad).numpy()
        for name, t in w.tensors.items()
        if t.requires_grad
    }
    return Result(y.detach().numpy(), [x.grad.numpy() for x in floats], gradients)


def near(got, want, tolerance, what=""):
    got, want = np.asarray(got), np.asarray(want)
    assert got.shape == want.shape, (what, got.shape, want.shape)
    scale = max(1.0, np.abs(want).max(initial=0.0))
    assert np.abs(got - want).max(initial=0.0) <= tolerance * scale, what


def check(framework, model, oracle, *inputs, training=True, streams=False, filled=True, slack=1.0):
    """Compare output, input gradients and every parameter's gradient, by name, with the oracle."""
    if filled:
        fill(model)
    w = Weights.of_model(model)
    want = expected(oracle, w, *inputs, training=training)
    got = run(framework, model, *inputs, training=training, streams=streams)
    forward, backward = (slack * t for t in TOLERANCE[framework])
    near(got.y, want.y, forward, "output")
    assert len(got.dx) == len(want.dx)
    for i, (a, b) in enumerate(zip(got.dx, want.dx, strict=True)):
        near(a, b, backward, f"gradient of input {i}")
    assert got.gradients.keys() == want.gradients.keys()
    for name, g in want.gradients.items():
        near(got.gradients[name], g, backward, name)
    return got


def conv(x, weight, stride=1, groups=1, bias=None):
    """Symmetric zero padding of half the kernel."""
    return F.conv2d(x, weight, bias, stride, weight.shape[-1] // 2, groups=groups)


def batch_norm(x, w, training):
    """Ioffe and Szegedy 2015, arXiv 1502.03167, algorithm 1, eps 1e-5; channels on axis 1."""
    axes = [a for a in range(x.ndim) if a != 1]
    shape = [1, -1] + [1] * (x.ndim - 2)
    mean, var = w("running_mean"), w("running_var")
    if training:
        mean, var = x.mean(axes), x.var(axes, correction=0)
    normed = (x - mean.view(shape)) / torch.sqrt(var.view(shape) + 1e-5)
    return w("weight").view(shape) * normed + w("bias").view(shape)


def layer_norm(x, w):
    """Ba et al. 2016, arXiv 1607.06450, eq. 4, with eps 1e-5."""
    return F.layer_norm(x, x.shape[-1:], w("weight"), w("bias"), 1e-5)


def dense(x, w):
    return F.linear(x, w("weight"), w("bias"))


def carry(w, x, option, out_channels, stride, training, norm=True):
    """Shortcut options A, B and C (He et al. 2015, arXiv 1512.03385, section 3.3 and 4.1)."""
    changed = x.shape[1] != out_channels or stride != 1
    if option != "C" and not changed:
        return x
    if option == "A":
        thinned = x[:, :, ::stride, ::stride]
        zeros = thinned.new_zeros(len(x), out_channels - x.shape[1], *thinned.shape[2:])
        return torch.cat([thinned, zeros], 1)
    own = w.at("shortcut")
    y = F.conv2d(x, own("weight", ndim=4), None, stride)
    return batch_norm(y, own.at("norm"), training) if norm else y
