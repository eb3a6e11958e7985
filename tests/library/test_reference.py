"""The NumPy reference: its gradients against finite differences, its values against PyTorch."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

import companion.reference as ref
import companion.torch as cp
from companion import weights

torch.set_num_threads(1)

LAYERS = {
    "conv": (lambda: ref.Conv2d(3, 4, 3, 2), (2, 3, 5, 6)),
    "conv 5x5": (lambda: ref.Conv2d(2, 3, 5), (2, 2, 4, 5)),
    "norm": (lambda: ref.BatchNorm2d(3), (2, 3, 3, 4)),
    "relu": (ref.ReLU, (2, 3, 4, 4)),
    "max pool": (ref.MaxPool2d, (2, 3, 5, 6)),
    "average pool": (ref.GlobalAveragePool, (2, 3, 4, 5)),
    "dense": (lambda: ref.Dense(5, 3), (4, 5)),
    "zero pad": (lambda: ref.ZeroPad(2, 5, 2), (2, 2, 5, 4)),
    "residual": (lambda: ref.Residual(ref.Conv2d(3, 3)), (2, 3, 4, 4)),
    "plain": (lambda: ref.Residual(ref.Conv2d(3, 3), shortcut=None), (2, 3, 4, 4)),
    "basic": (lambda: ref.BasicBlock(2, 4, 2), (3, 2, 5, 6)),
    "basic A": (lambda: ref.BasicBlock(2, 4, 2, shortcut="A"), (3, 2, 5, 6)),
    "bottleneck": (lambda: ref.BottleneckBlock(4, 8, 2), (3, 4, 5, 6)),
    "pre-activation A": (lambda: ref.PreActivationBlock(2, 4, 2, "A"), (3, 2, 5, 6)),
    "pre-activation B": (lambda: ref.PreActivationBlock(2, 4, 2), (3, 2, 5, 6)),
    "pre-activation, plain": (
        lambda: ref.PreActivationBlock(2, 4, 2, residual=False),
        (3, 2, 5, 6),
    ),
    "pre-activation bottleneck": (
        lambda: ref.PreActivationBottleneckBlock(4, 8, 2),
        (3, 4, 5, 6),
    ),
    **{
        merge: (
            lambda name=merge, args=args: ref.Residual(
                ref.Conv2d(3, 3), merge=getattr(ref, name)(*args)
            ),
            (2, 3, 4, 4),
        )
        for merge, args in {
            "ScaledAdd": (0.3,),
            "LayerScale": (3, 0.3),
            "Highway": (3,),
            "Subtract": (),
            "Concatenate": (),
        }.items()
    },
    **{
        f"{merge} of {what}": (
            lambda name=merge, args=args, branch=branch: ref.Residual(
                branch(), merge=getattr(ref, name)(*args)
            ),
            shape,
        )
        for what, branch, shape, axis in (
            ("vectors", lambda: ref.Dense(4, 4), (5, 4), 1),
            ("tokens", ref.ReLU, (2, 3, 4), -1),
        )
        for merge, args in {
            "Highway": (4, -1.0, axis),
            "LayerScale": (4, 0.3, axis),
            "Concatenate": (axis,),
        }.items()
    },
    "hyper": (lambda: ref.HyperConnection(ref.ReLU(), 4, 3, 1), (2, 3, 3, 4)),
    "manifold": (lambda: ref.ManifoldHyperConnection(ref.ReLU(), 4, 3), (2, 3, 3, 4)),
    "depth attention": (lambda: ref.DepthAttentionBlock(ref.ReLU(), 4), (2, 3, 3, 4)),
}


def numerical(f, x, eps=1e-6):
    """Central differences of the scalar f() with respect to x, which f reads."""
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + eps
        up = f()
        x[i] = kept - eps
        down = f()
        x[i] = kept
        gradient[i] = (up - down) / (2 * eps)
    return gradient


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_equal_finite_differences(name, training):
    make, shape = LAYERS[name]
    layer, rng = make(), np.random.default_rng(0)
    for _, inner in layer.named_layers():
        for key, array in inner.params.items():
            inner.params[key] = array + 0.1 * rng.normal(size=array.shape)
    x = rng.normal(size=shape)
    dy = rng.normal(size=layer.forward(x, training).shape)

    def loss():
        return float((layer.forward(x, training) * dy).sum())

    loss()
    dx = layer.backward(dy)
    assert np.abs(dx - numerical(loss, x)).max() < 1e-6 * max(1, np.abs(dx).max())
    for _, inner in layer.named_layers():
        for key, array in inner.params.items():
            measured = numerical(loss, array)
            assert np.abs(inner.grads[key] - measured).max() < 1e-6 * max(1, np.abs(measured).max())


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


def test_cross_entropy_equals_pytorch():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 4)) * 50, rng.integers(0, 4, 6)
    loss, gradient = ref.softmax_cross_entropy(logits, labels)
    t = torch.from_numpy(logits).requires_grad_()
    expected = torch.nn.functional.cross_entropy(t, torch.from_numpy(labels))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, t.grad, atol=1e-14)


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: ref.Conv2d(0, 4), "in_channels"),
        (lambda: ref.Conv2d(3, 4, 2), "kernel_size"),
        (lambda: ref.Conv2d(3, 4, 3, 0), "stride"),
        (lambda: ref.Conv2d(3, 4)(np.zeros((2, 3, 4))), "dimensions"),
        (lambda: ref.Conv2d(3, 4)(np.zeros((2, 4, 4, 4))), "channels"),
        (lambda: ref.Conv2d(3, 4)(np.zeros((0, 3, 4, 4))), "empty"),
        (lambda: ref.BatchNorm2d(3)(np.zeros((1, 3, 1, 1))), "more than one value"),
        (lambda: ref.ZeroPad(8, 4), "out_channels"),
        (lambda: ref.shortcut("D", 4, 4), "shortcut"),
        (lambda: ref.BottleneckBlock(4, 6), "out_channels"),
        (lambda: ref.Add().forward(np.zeros((1, 1, 4, 4)), np.zeros((1, 8, 4, 4))), "same shape"),
        (lambda: ref.softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 3])), "labels"),
    ],
)
def test_bad_input_is_refused(call, named):
    with pytest.raises(ValueError, match=named):
        call()


STREAMS = {
    "HyperConnection": ((4, 3, 1), (2, 5, 3, 4)),
    "ManifoldHyperConnection": ((4, 3), (2, 5, 3, 4)),
    "DepthAttentionBlock": ((4,), (2, 5, 3, 4)),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_equal_pytorch(name):
    args, shape = STREAMS[name]
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


def test_stochastic_depth_drops_whole_branches():
    merge = ref.StochasticDepth(0.7, np.random.default_rng(0))
    zeros, ones = np.zeros((4000, 3)), np.ones((4000, 3))
    out = merge.forward(zeros, ones)
    assert set(np.unique(out)) == {0.0, 1.0} and (out == out[:, :1]).all()
    assert abs(out[:, 0].mean() - 0.7) < 0.03
    np.testing.assert_array_equal(merge.backward(ones)[1], out)
    np.testing.assert_array_equal(merge.forward(zeros, ones, training=False), 0.7 * ones)
    np.testing.assert_array_equal(ref.StochasticDepth(1).forward(ones, ones), 2 * ones)


def test_merges_that_can_be_plain_addition_are():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 8))
    for merge in (ref.ScaledAdd(1), ref.LayerScale(8, 1, axis=-1), ref.Add()):
        np.testing.assert_array_equal(merge.forward(a, b), a + b)


@pytest.mark.parametrize("name", ["PreActivationBlock", "PreActivationBottleneckBlock"])
@pytest.mark.parametrize("option", "ABC")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_pre_activation_blocks_equal_pytorch(name, option, stride, size, training, residual):
    """In float64, to 1e-9; test_merges.py compares PyTorch with Keras in float32."""
    options = {"shortcut": option, "residual": residual}
    here = getattr(cp, name)(4, 8, stride, **options).double().train(training)
    there = getattr(ref, name)(4, 8, stride, **options)
    rng = np.random.default_rng(0)
    for p in here.parameters():
        p.data += torch.from_numpy(rng.normal(0, 0.2, p.shape))
    weights.transfer(here, there)
    x = torch.from_numpy(rng.normal(size=(3, 4, size, size))).requires_grad_()
    y = here(x)
    dy = rng.normal(size=tuple(y.shape))
    y.backward(torch.from_numpy(dy))
    out = there.forward(x.detach().numpy(), training)
    np.testing.assert_allclose(out, y.detach().numpy(), atol=1e-9)
    np.testing.assert_allclose(there.backward(dy), x.grad.numpy(), atol=1e-9)
    layers = dict(there.named_layers())
    for name, p in here.named_parameters():
        layer, key = name.rsplit(".", 1)
        np.testing.assert_allclose(layers[layer].grads[key], p.grad.numpy(), atol=1e-9)
