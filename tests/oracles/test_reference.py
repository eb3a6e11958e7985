"""The layers that all three share, against loops in plain NumPy and numbers by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from companion import weights

from .harness import (
    ALL,
    BOTH,
    Weights,
    batch_norm,
    build,
    check,
    conv,
    dense,
    fill,
    near,
    normal,
    run,
)


def convolved(x, weight, stride, groups=1):
    """The sum of a convolution's docstring, one output pixel after the other."""
    n, _, height, width = x.shape
    out, per_group, k, _ = weight.shape
    padded = np.pad(x, ((0, 0), (0, 0), (k // 2, k // 2), (k // 2, k // 2)))
    y = np.zeros((n, out, -(-height // stride), -(-width // stride)))
    for o in range(out):
        first = o // (out // groups) * per_group
        for r in range(y.shape[2]):
            for c in range(y.shape[3]):
                rows, columns = slice(r * stride, r * stride + k), slice(c * stride, c * stride + k)
                patch = padded[:, first : first + per_group, rows, columns]
                y[:, o, r, c] = (patch * weight[o]).sum((1, 2, 3))
    return y


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(
    ("came", "goes", "kernel", "stride", "groups"),
    [
        (2, 3, 3, 1, 1),
        (2, 3, 3, 2, 1),
        (2, 3, 5, 2, 1),
        (2, 3, 1, 2, 1),
        (4, 6, 3, 2, 2),
        (3, 3, 3, 1, 3),
    ],
)
def test_convolution(framework, came, goes, kernel, stride, groups):
    if groups > 1 and framework == "reference":
        pytest.skip("the reference has no groups")
    options = {"groups": groups} if groups > 1 else {}
    for sides in ((5, 6), (6, 4)):
        layer = build(framework, "Conv2d", came, goes, kernel, stride, **options)
        got = check(
            framework,
            layer,
            lambda w, training, x: conv(x, w("weight"), stride, groups),
            normal(2, came, *sides),
        )
        (weight,) = weights.named_arrays(layer).values()
        near(got.y, convolved(normal(2, came, *sides), weight, stride, groups), 2e-5)


@pytest.mark.parametrize("framework", BOTH)
def test_convolution_with_a_bias(framework):
    layer = build(framework, "Conv2d", 2, 3, 3, 2, bias=True)
    check(
        framework,
        layer,
        lambda w, t, x: conv(x, w("weight"), 2, bias=w("bias")),
        normal(2, 2, 5, 4),
    )


@pytest.mark.parametrize("framework", ALL)
def test_batch_norm(framework):
    layer = build(framework, "BatchNorm2d", 3)
    for training in (True, False):
        check(
            framework,
            layer,
            lambda w, t, x: batch_norm(x, w, t),
            normal(4, 3, 2, 3),
            training=training,
        )


@pytest.mark.parametrize("framework", ALL)
def test_batch_norm_by_hand(framework):
    # Ioffe and Szegedy 2015, algorithm 1: values 1, 1, 3, 3 have mean 2 and variance 1.
    layer = build(framework, "BatchNorm2d", 1)
    x = np.array([1.0, 1.0, 3.0, 3.0]).reshape(2, 1, 1, 2)
    y = run(framework, layer, x).y
    np.testing.assert_allclose(y.ravel(), np.array([-1, -1, 1, 1]) / np.sqrt(1 + 1e-5), rtol=1e-6)
    # a tenth of the new batch; the variance n / (n - 1) = 4/3 in PyTorch, 1 in Keras
    arrays = weights.named_arrays(layer)
    mean, var = (next(a for k, a in arrays.items() if k.endswith(e)) for e in ("_mean", "_var"))
    variance = 1.0 if framework == "tensorflow" else 0.9 + 0.1 * 4 / 3
    np.testing.assert_allclose([mean.item(), var.item()], [0.2, variance], rtol=1e-6)
    # eps is 1e-5: of +-a with a^2 = 1e-5 the norm is 1 / sqrt(2)
    a = np.sqrt(1e-5)
    layer = build(framework, "BatchNorm2d", 1)
    y = run(framework, layer, np.array([a, -a]).reshape(2, 1, 1, 1)).y
    np.testing.assert_allclose(y.ravel(), [0.5**0.5, -(0.5**0.5)], rtol=1e-5)


@pytest.mark.parametrize("framework", ["reference", "tensorflow"])
def test_max_pooling_pads_by_minus_infinity(framework):
    x = -np.arange(1.0, 16).reshape(1, 1, 3, 5)
    layer = PACKAGE_POOL[framework]()
    got = run(framework, layer, x)
    assert got.y[0, 0].tolist() == [[-1, -2, -4], [-6, -7, -9]]
    want = torch.nn.functional.max_pool2d(torch.from_numpy(x), 3, 2, 1)
    near(got.y, want, 0)
    # each maximum gets its gradient: here six pixels, one each
    assert np.count_nonzero(got.dx[0]) == 6


def _keras_pool():
    from companion.tensorflow.layers import MaxPool2d

    return MaxPool2d()


PACKAGE_POOL = {"reference": lambda: build("reference", "MaxPool2d"), "tensorflow": _keras_pool}


@pytest.mark.parametrize("framework", ALL)
def test_pooling_dense_and_relu(framework):
    pool = build(framework, "GlobalAveragePool")
    check(framework, pool, lambda w, t, x: x.mean((2, 3)), normal(2, 3, 2, 5), filled=False)
    check(framework, build(framework, "Dense", 3, 4), lambda w, t, x: dense(x, w), normal(5, 3))


def test_relu_has_no_derivative_at_zero():
    layer = build("reference", "ReLU")
    got = run("reference", layer, np.array([[-1.0, 0.0, 2.0]]))
    assert got.y.tolist() == [[0, 0, 2]]
    assert (got.dx[0] != 0).tolist() == [[False, False, True]]


@pytest.mark.parametrize("framework", ALL)
def test_residual(framework):
    # He et al. 2015, eq. 1 and 2, with every part in its place: f(x) = relu(W_s x - F(x))
    def convolution():
        return build(framework, "Conv2d", 2, 2, 1)

    relu = torch.nn.ReLU() if framework == "torch" else None
    if framework == "reference":
        relu = build(framework, "ReLU")
    if framework == "tensorflow":
        import keras

        relu = keras.layers.ReLU()
    merge = build(framework, "Subtract")
    block = build(framework, "Residual", convolution(), convolution(), merge, relu)

    def oracle(w, training, x):
        return torch.relu(conv(x, w.at("shortcut")("weight")) - conv(x, w.at("branch")("weight")))

    check(framework, block, oracle, normal(2, 2, 3, 3))
    plain = build(framework, "Residual", convolution(), None)
    check(framework, plain, lambda w, t, x: conv(x, w("weight")), normal(2, 2, 3, 3))
    simple = build(framework, "Residual", convolution())
    check(framework, simple, lambda w, t, x: x + conv(x, w("weight")), normal(2, 2, 3, 3))


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(("option", "stride"), [("A", 2), ("B", 2), ("C", 1)])
def test_shortcuts(framework, option, stride):
    layer = build(framework, "shortcut", option, 2, 4 if option != "C" else 2, stride)

    def oracle(w, training, x):
        if option == "A":
            x = x[:, :, ::2, ::2]
            return torch.cat([x, torch.zeros_like(x)], 1)
        y = torch.einsum(
            "oi,nihw->nohw", w("weight", ndim=4)[:, :, 0, 0], x[:, :, ::stride, ::stride]
        )
        return batch_norm(y, w.at("norm"), training)

    check(framework, layer, oracle, normal(3, 2, 5, 4))


def test_the_harness_finds_a_weight_by_the_end_of_its_name():
    w = Weights.of_model(fill(build("torch", "BasicBlock", 2, 4)))
    assert w.at("branch")("conv1.weight").shape == (4, 2, 3, 3)
    with pytest.raises(AssertionError):
        w("weight")
