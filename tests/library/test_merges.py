"""Every merge in three implementations: values, gradients, its axis, what it refuses."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import companion.reference as ref
import companion.tensorflow as ct
import companion.torch as cp
from companion import architectures, weights
from companion.weights.layer_weights import layer_weights
from tests.library.harness import agree, lived_in, near, numbers, refused_alike, saved_whole

MERGES = [
    ("Add", (), {}),
    ("ScaledAdd", (), {"initial": 0.3}),
    ("LayerScale", (8,), {"initial": 0.3}),
    ("Highway", (8,), {"bias": -1.0}),
    ("Concatenate", (), {}),
    ("Subtract", (), {}),
    ("StochasticDepth", (0.7,), {}),
]


@pytest.mark.parametrize(("name", "args", "options"), MERGES)
def test_merges_agree(name, args, options):
    source = cp.Residual(torch.nn.Tanh(), merge=getattr(cp, name)(*args, **options))
    branch = keras.layers.Activation("tanh")
    target = ct.Residual(branch, merge=getattr(ct, name)(*args, **options))
    lived_in(source, 0)
    weights.transfer(source, target)
    x = np.random.default_rng(2).normal(size=(4, 8, 3, 3)).astype(np.float32)
    agree(source, target, x, training=name != "StochasticDepth")


#: Images with as many rows as channels, tokens and vectors: nothing tells the axes apart.
SHAPES = {"images": (2, 4, 4, 4), "tokens": (2, 4, 4), "vectors": (4, 4)}


@pytest.mark.parametrize("package", [cp, ct, ref], ids=["torch", "tensorflow", "reference"])
@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
@pytest.mark.parametrize("axis", [1, -1, 2])
def test_merges_act_along_the_axis_they_are_told(package, shape, axis):
    if axis >= len(shape):
        return
    a, b = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    along = [1] * len(shape)
    along[axis] = 4
    each, matrix = np.arange(4.0, dtype=np.float32), np.eye(4, k=1, dtype=np.float32)

    def call(merge, **values):
        for layer in layer_weights(merge):
            for key, value in values.items():
                layer.assign(key, value)
        if package is ref:
            return merge.forward(a, b)
        if package is ct:
            return np.asarray(merge(tf.constant(a), tf.constant(b)))
        return merge(torch.from_numpy(a), torch.from_numpy(b)).detach().numpy()

    y = call(package.LayerScale(4, axis=axis), scale=each)
    near(y, a + each.reshape(along) * b, 1e-6)
    y = call(package.Highway(4, axis=axis), weight=matrix, bias=each)
    gate = 1 / (1 + np.exp(-(np.moveaxis(a, axis, -1) @ matrix + each)))
    gate = np.moveaxis(gate, -1, axis)
    near(y, (1 - gate) * a + gate * b, 1e-6)
    near(call(package.Concatenate(axis)), np.concatenate([a, b], axis), 0)


@pytest.mark.parametrize("package", [cp, ct, ref], ids=["torch", "tensorflow", "reference"])
@pytest.mark.parametrize("name", ["LayerScale", "Highway"])
def test_channels_that_do_not_fit_the_axis_are_refused(package, name):
    x = np.zeros((2, 3, 4), np.float32)
    call = {cp: lambda m, a: m(*[torch.from_numpy(a)] * 2), ct: lambda m, a: m(a, a)}
    call[ref] = lambda m, a: m.forward(a, a)
    for axis, wrong in ((1, r"4 channels on axis 1, got shape \(2, 3, 4\)"), (5, "on axis 5")):
        with pytest.raises(ValueError, match=wrong):
            call[package](getattr(package, name)(4, axis=axis), x)
    call[package](getattr(package, name)(4, axis=-1), x)
    for axis in (0, 1.0, True, None):
        with pytest.raises(ValueError, match="axis must be an integer other than 0"):
            getattr(package, name)(4, axis=axis)
    for axis in (0, "1"):
        with pytest.raises(ValueError, match="axis must be an integer other than 0"):
            package.Concatenate(axis)


PLAIN_ADDITION = [
    ("ScaledAdd", (), {"initial": 1}),
    ("LayerScale", (8,), {"initial": 1}),
    ("StochasticDepth", (1,), {}),
]


@pytest.mark.parametrize(("name", "args", "options"), PLAIN_ADDITION)
@pytest.mark.parametrize("training", [True, False])
def test_merges_that_can_be_plain_addition_are(name, args, options, training):
    a, b = np.random.default_rng(0).normal(size=(2, 4, 8)).astype(np.float32)
    here = getattr(cp, name)(*args, **options).train(training)
    there = getattr(ct, name)(*args, **options)
    options = {"training": training} if name == "StochasticDepth" else {}
    np.testing.assert_array_equal(here(*map(torch.from_numpy, (a, b))).detach(), a + b)
    np.testing.assert_array_equal(there(a, b, **options), a + b)


def test_a_closed_gate_and_a_zero_scale_carry_the_input():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 8)).astype(np.float32)
    for package, wrap in ((cp, torch.from_numpy), (ct, tf.constant)):
        out = package.Highway(8, bias=-60)(wrap(a), wrap(b))
        np.testing.assert_allclose(np.asarray(out if package is ct else out.detach()), a, atol=1e-6)
        out = package.ScaledAdd()(wrap(a), wrap(b))
        np.testing.assert_array_equal(np.asarray(out if package is ct else out.detach()), a)


def test_stochastic_depth_drops_whole_branches_at_its_rate():
    n = 4000
    zeros, ones = np.zeros((n, 3), np.float32), np.ones((n, 3), np.float32)
    torch.manual_seed(0)
    here = cp.StochasticDepth(0.7).train()(torch.from_numpy(zeros), torch.from_numpy(ones)).numpy()
    keras.utils.set_random_seed(0)
    there = np.asarray(ct.StochasticDepth(0.7)(zeros, ones, training=True))
    for out in (here, there):
        assert set(np.unique(out)) == {0.0, 1.0} and (out == out[:, :1]).all()
        assert abs(out[:, 0].mean() - 0.7) < 0.03  # four standard deviations
    assert architectures.linear_decay(4) == [0.875, 0.75, 0.625, 0.5]


def test_stochastic_depth_of_the_reference_drops_whole_branches():
    merge = ref.StochasticDepth(0.7, np.random.default_rng(0))
    zeros, ones = np.zeros((4000, 3)), np.ones((4000, 3))
    out = merge.forward(zeros, ones)
    assert set(np.unique(out)) == {0.0, 1.0} and (out == out[:, :1]).all()
    assert abs(out[:, 0].mean() - 0.7) < 0.03
    np.testing.assert_array_equal(merge.backward(ones)[1], out)
    np.testing.assert_array_equal(merge.forward(zeros, ones, training=False), 0.7 * ones)
    np.testing.assert_array_equal(ref.StochasticDepth(1).forward(ones, ones), 2 * ones)


def test_merges_of_the_reference_that_can_be_plain_addition_are():
    a, b = np.random.default_rng(0).normal(size=(2, 4, 8))
    for merge in (ref.ScaledAdd(1), ref.LayerScale(8, 1, axis=-1), ref.Add()):
        np.testing.assert_array_equal(merge.forward(a, b), a + b)


@pytest.mark.parametrize(("name", "args", "options"), MERGES)
def test_keras_merges_are_saved_whole(name, args, options, tmp_path):
    x = np.random.default_rng(0).random((2, 3, 3, 8), np.float32)
    inputs = keras.Input((None, None, 8))
    merge = getattr(ct, name)(*args, **options)
    residual = ct.Residual(keras.layers.Activation("tanh"), merge=merge)
    model = keras.Model(inputs, residual(inputs))
    saved_whole(model, x, tmp_path)


def test_keras_merges_are_told_their_axis():
    x = numbers((2, 4, 4, 4))
    for axis in (1, 2, -1):
        merge = ct.LayerScale(4, 1.0, axis=axis)
        merge(x, x)
        merge.scale.assign([0.0, 1.0, 2.0, 3.0])
        shape = [1] * 4
        shape[axis] = 4
        expected = x + np.arange(4).reshape(shape) * x
        np.testing.assert_allclose(merge(x, x), expected, rtol=1e-6)
    streams = numbers((2, 5, 4, 8))
    assert ct.Concatenate(axis=2)(streams, streams).shape == (2, 5, 8, 8)
    for merge in (ct.LayerScale(5), ct.Highway(5)):
        with pytest.raises(ValueError, match="5 channels on axis -1"):
            merge(streams, streams)
    for bad in (0, 1.5, True):
        with pytest.raises(ValueError, match="axis"):
            ct.Concatenate(axis=bad)


BAD = [
    *(("LayerScale", (bad,), {}, "channels") for bad in (0, 1.5)),
    *(("ScaledAdd", (bad,), {}, "initial") for bad in (float("nan"), "1")),
    *(("StochasticDepth", (bad,), {}, "survival") for bad in (0, -0.1, 1.1)),
    ("Highway", (8,), {"bias": float("inf")}, "bias"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)


@pytest.mark.parametrize("name", [name for name, *_ in MERGES])
def test_merges_refuse_one_channel_over_many(name):
    if name == "Concatenate":
        one, many = (2, 1, 4, 4), (2, 8, 4, 5)
    else:
        one, many = (2, 1, 4, 4), (2, 8, 4, 4)
    args = dict((n, a) for n, a, _ in MERGES)[name]
    with pytest.raises(ValueError, match="must"):
        getattr(cp, name)(*args)(torch.zeros(one), torch.zeros(many))
    one, many = ((s[0], s[2], s[3], s[1]) for s in (one, many))
    with pytest.raises(ValueError, match="must"):
        getattr(ct, name)(*args)(tf.zeros(one), tf.zeros(many))


def test_one_channel_does_not_broadcast():
    with pytest.raises(ValueError, match="same shape"):
        cp.Add()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, 4))
    with pytest.raises(ValueError, match="same shape"):
        ct.Add()(tf.zeros((1, 4, 4, 1)), tf.zeros((1, 4, 4, 4)))
