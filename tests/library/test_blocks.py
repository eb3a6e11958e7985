"""Blocks of three implementations hold the same function: outputs, gradients, refusals."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import tensorflow as tf
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import companion.reference as ref
import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from tests.library.harness import blocks_agree, blocks_are_saved_whole, refused_alike


def possible(o):
    """Option A can only add channels."""
    return o["shortcut"] != "A" or o["in_channels"] <= o["out_channels"]


OPTIONS = st.fixed_dictionaries(
    {
        "block": st.sampled_from(["BasicBlock", "BottleneckBlock"]),
        "shortcut": st.sampled_from("ABC"),
        "in_channels": st.integers(1, 8),
        "out_channels": st.sampled_from([4, 8, 12]),
        "stride": st.sampled_from([1, 2, 3]),
        "height": st.integers(3, 9),
        "width": st.integers(3, 9),
        "batch": st.integers(2, 4),
        "residual": st.booleans(),
        "training": st.booleans(),
        "seed": st.integers(0, 2**16),
    }
).filter(possible)


@settings(max_examples=60, deadline=None, derandomize=True)
@given(OPTIONS)
def test_three_implementations_agree(o):
    three_agree(o)


@pytest.mark.exhaustive
@settings(max_examples=400, deadline=None, derandomize=True)
@given(OPTIONS)
def test_three_implementations_agree_on_more_examples(o):
    three_agree(o)


def three_agree(o):
    """Outputs within 1e-10, all gradients within 1e-8, and the batch statistics, in float64."""
    arguments = [o[name] for name in ("in_channels", "out_channels", "stride")]
    options = {"shortcut": o["shortcut"], "residual": o["residual"]}
    torch.manual_seed(o["seed"])  # of the first weights: the examples are the same in every run
    in_torch = getattr(cp, o["block"])(*arguments, **options).double()
    in_keras = getattr(ct, o["block"])(*arguments, **options, dtype="float64")
    in_numpy = getattr(ref, o["block"])(*arguments, **options)
    rng = np.random.default_rng(o["seed"])
    for module in in_torch.modules():  # batch norms that are not the identity
        if isinstance(module, torch.nn.BatchNorm2d):
            for array, low in ((module.weight, 0.5), (module.bias, -1), (module.running_var, 0.5)):
                array.data.copy_(torch.from_numpy(rng.uniform(low, 1.5, len(array))))
    weights.transfer(in_torch, in_keras)
    weights.transfer(in_torch, in_numpy)
    before = weights.named_arrays(in_torch)
    x = rng.normal(size=(o["batch"], o["in_channels"], o["height"], o["width"]))

    in_torch.train(o["training"])
    tx = torch.from_numpy(x).requires_grad_()
    ty = in_torch(tx)
    dy = rng.normal(size=tuple(ty.shape))
    ty.backward(torch.from_numpy(dy))

    kx = tf.constant(x.transpose(0, 2, 3, 1))
    with tf.GradientTape() as tape:
        tape.watch(kx)
        ky = in_keras(kx, training=o["training"])
        loss = tf.reduce_sum(ky * dy.transpose(0, 2, 3, 1))
    variables = in_keras.trainable_variables
    dx, *dw = tape.gradient(loss, [kx, *(v.value for v in variables)])

    y = in_numpy.forward(x, o["training"])
    numpy_dx = in_numpy.backward(dy)
    numpy_gradients = {
        f"{name}.{key}": g
        for name, leaf in in_numpy.named_layers()
        for key, g in leaf.grads.items()
    }

    expected = ty.detach().numpy()
    _close(ky.numpy().transpose(0, 3, 1, 2), expected, 1e-10)
    _close(y, expected, 1e-10)
    _close(dx.numpy().transpose(0, 3, 1, 2), tx.grad.numpy(), 1e-8)
    _close(numpy_dx, tx.grad.numpy(), 1e-8)
    parameters = dict(in_torch.named_parameters())
    assert len(parameters) == len(dw) == len(numpy_gradients)
    for name, p in parameters.items():
        _close(numpy_gradients[name], p.grad.numpy(), 1e-8)
    kinds = {"kernel": 4, "gamma": 1, "beta": 1}
    keras_order = [p for p in parameters.values()]
    for p, variable, g in zip(keras_order, variables, dw, strict=True):
        assert kinds[variable.name] == p.ndim
        g = g.numpy().transpose(3, 2, 0, 1) if p.ndim == 4 else g.numpy()
        _close(g, p.grad.numpy(), 1e-8)

    statistics = [weights.named_arrays(m) for m in (in_torch, in_keras, in_numpy)]
    layers = dict(in_numpy.named_layers())
    for name, array in statistics[0].items():
        _close(statistics[2][name], array, 1e-10)
        if name.endswith("running_var") and o["training"]:
            # Keras keeps the biased variance: a tenth of the batch's, smaller by (n - 1) / n.
            seen = layers[name.removesuffix(".running_var")].normal
            n = seen.size // seen.shape[1]
            array = before[name] * 0.9 + (array - before[name] * 0.9) * (n - 1) / n
        _close(statistics[1][name], array, 1e-10)


def _close(a, b, tolerance):
    assert np.shape(a) == np.shape(b)
    assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


@pytest.mark.parametrize("block", ["BasicBlock", "BottleneckBlock"])
@pytest.mark.parametrize(
    ("option", "stride", "size"), list(itertools.product("ABC", (1, 2), (2, 5, 6)))
)
@pytest.mark.parametrize("residual", [True, False])
def test_blocks_equal_pytorch_in_double_precision(block, option, stride, size, residual):
    options = {"stride": stride, "shortcut": option, "residual": residual}
    theirs = getattr(cp, block)(4, 8, **options).double()
    ours = getattr(ref, block)(4, 8, **options)
    weights.transfer(theirs, ours)
    rng = np.random.default_rng(1)
    x = rng.normal(size=(3, 4, size, size))
    tx = torch.from_numpy(x).requires_grad_()
    for training in (True, False):  # inference reads the statistics that training left
        theirs.train(training)
        ty, y = theirs(tx), ours.forward(x, training)
        np.testing.assert_allclose(y, ty.detach(), rtol=1e-12, atol=1e-12)
        dy = rng.normal(size=y.shape)
        tx.grad = None
        theirs.zero_grad()
        ty.backward(torch.from_numpy(dy))
        np.testing.assert_allclose(ours.backward(dy), tx.grad, rtol=1e-10, atol=1e-11)
        gradients = {
            f"{name}.{key}": g
            for name, inner in ours.named_layers()
            for key, g in inner.grads.items()
        }
        for name, p in theirs.named_parameters():
            np.testing.assert_allclose(gradients[name], p.grad, rtol=1e-10, atol=1e-11)
    a, b = weights.named_arrays(theirs), weights.named_arrays(ours)
    assert a.keys() == b.keys()
    for name in a:
        np.testing.assert_allclose(a[name], b[name], rtol=1e-13, atol=1e-14)


KINDS = ["BottleneckBlockV1", "WideBottleneckBlock"]
BLOCKS = [
    *((name, (8, 16, 2), {"shortcut": option}) for name in KINDS for option in "ABC"),
    *((name, (8, 8), {"residual": False}) for name in KINDS),
    ("ResNeXtBlock", (32, 64, 2), {}),
]
SAVED = [
    ("BottleneckBlockV1", (8, 16, 2), {"shortcut": "A"}),
    ("WideBottleneckBlock", (8, 16, 2), {"shortcut": "C"}),
]
test_blocks_agree = blocks_agree(BLOCKS)
test_keras_blocks_are_saved_whole = blocks_are_saved_whole(SAVED)


BAD = [
    *(("BasicBlock", (bad, 8), {}, "in_channels") for bad in (0, -3, 1.5, "8", True, None)),
    *(("BasicBlock", (8, bad), {}, "out_channels") for bad in (0, -1, 2.0)),
    *(("BasicBlock", (8, 8, bad), {}, "stride") for bad in (0, -1, 1.0, (1, 1))),
    *(("BasicBlock", (8, 8), {"kernel_size": bad}, "kernel_size") for bad in (0, 2, 4, -3)),
    *(("BasicBlock", (8, 8), {"shortcut": bad}, "shortcut") for bad in ("D", "a", None, 1)),
    *(("BasicBlock", (8, 8), {"residual": bad}, "residual") for bad in (1, None, "no")),
    ("BasicBlock", (8, 4), {"shortcut": "A"}, "out_channels"),
    *(("BottleneckBlock", (8, bad), {}, "out_channels") for bad in (6, 2, 0)),
    ("ResNeXtBlock", (32, 40), {}, "groups"),
    ("WideBottleneckBlock", (8, 7), {}, "out_channels"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)
