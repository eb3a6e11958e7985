"""Every design in both frameworks: equal values and gradients, published sizes, saved whole."""

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

torch.set_num_threads(1)

SHAPED = [
    "BottleneckBlockV1",
    "WideBottleneckBlock",
    "PreActivationBlock",
    "PreActivationBottleneckBlock",
    "SEBottleneckBlock",
    "SeparableBlock",
]
BLOCKS = [
    *((name, (8, 16, 2), {"shortcut": option}) for name in SHAPED for option in "ABC"),
    *((name, (8, 8), {"residual": False}) for name in SHAPED),
    ("ResNeXtBlock", (32, 64, 2), {}),
    ("DenseLayer", (6, 4), {}),
]
MERGES = [
    ("Add", (), {}),
    ("ScaledAdd", (), {"initial": 0.3}),
    ("LayerScale", (8,), {"initial": 0.3}),
    ("Highway", (8,), {"bias": -1.0}),
    ("Concatenate", (), {}),
    ("Subtract", (), {}),
    ("StochasticDepth", (0.7,), {}),
]


def lived_in(model, seed):
    """Give every parameter of a PyTorch model a value that is not its initial one."""
    rng = np.random.default_rng(seed)
    for p in model.parameters():
        p.data += torch.from_numpy(rng.normal(0, 0.2, p.shape)).to(p.dtype)


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


def near(a, b, tolerance):
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


@pytest.mark.parametrize(("name", "args", "options"), BLOCKS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [7, 8])
def test_blocks_agree(name, args, options, training, size):
    source, target = (getattr(package, name)(*args, **options) for package in (cp, ct))
    lived_in(source, 0)
    weights.transfer(source, target)
    x = np.random.default_rng(2).normal(size=(4, args[0], size, size)).astype(np.float32)
    agree(source, target, x, training)


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


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (lambda p: p.wide_resnet50_2(), 68_883_240),
        (lambda p: p.resnext50_32x4d(), 25_028_904),
        (lambda p: p.se_resnet50(), 28_088_024),
        (lambda p: p.wide_resnet(28, 10), 36_479_194),
        (lambda p: p.resnet50(version="v1"), 25_557_032),
    ],
)
def test_parameter_counts_are_the_published_ones(build, count):
    assert sum(p.numel() for p in build(cp).parameters()) == count


SMALL = [
    ("cifar_resnet", (8,), {"width": 4}),
    ("cifar_preact_resnet", (14,), {"width": 4}),
    ("cifar_preact_resnet", (8,), {"width": 4, "residual": False}),
    ("wide_resnet", (10, 1), {}),
    ("se_resnet50", (), {"num_classes": 3}),
]


@pytest.mark.parametrize(("name", "args", "options"), SMALL)
def test_networks_agree_from_one_seed_and_transfer_both_ways(name, args, options):
    here, there = (getattr(package, name)(*args, seed=5, **options) for package in (cp, ct))
    a, b = weights.named_arrays(here), weights.named_arrays(there)
    assert list(a) == list(b) and all((a[k] == b[k]).all() for k in a)
    x = np.random.default_rng(0).random((2, 32, 31, 3), np.float32)
    near(ct.predict(there, x), cp.predict(here, x), 1e-4)
    back = getattr(cp, name)(*args, seed=6, **options)
    weights.transfer(there, back)
    c = weights.named_arrays(back)
    assert all((a[k] == c[k]).all() for k in a)


@pytest.mark.parametrize(("name", "args", "options"), [*BLOCKS[::5], BLOCKS[-1]])
def test_keras_blocks_are_saved_whole(name, args, options, tmp_path):
    x = np.random.default_rng(0).random((2, 8, 8, args[0]), np.float32)
    inputs = keras.Input((None, None, args[0]))
    model = keras.Model(inputs, getattr(ct, name)(*args, **options)(inputs))
    model.save(tmp_path / "block.keras")
    again = keras.models.load_model(tmp_path / "block.keras")
    np.testing.assert_array_equal(model.predict_on_batch(x), again.predict_on_batch(x))


@pytest.mark.parametrize(("name", "args", "options"), MERGES)
def test_keras_merges_are_saved_whole(name, args, options, tmp_path):
    x = np.random.default_rng(0).random((2, 3, 3, 8), np.float32)
    inputs = keras.Input((None, None, 8))
    merge = getattr(ct, name)(*args, **options)
    residual = ct.Residual(keras.layers.Activation("tanh"), merge=merge)
    model = keras.Model(inputs, residual(inputs))
    model.save(tmp_path / "merge.keras")
    again = keras.models.load_model(tmp_path / "merge.keras")
    np.testing.assert_array_equal(model.predict_on_batch(x), again.predict_on_batch(x))


BAD = [
    *(("LayerScale", (bad,), {}, "channels") for bad in (0, 1.5)),
    *(("ScaledAdd", (bad,), {}, "initial") for bad in (float("nan"), "1")),
    *(("StochasticDepth", (bad,), {}, "survival") for bad in (0, -0.1, 1.1)),
    ("Highway", (8,), {"bias": float("inf")}, "bias"),
    ("ResNeXtBlock", (32, 40), {}, "groups"),
    ("WideBottleneckBlock", (8, 7), {}, "out_channels"),
    ("DenseLayer", (8, 0), {}, "growth"),
    ("SqueezeExcitation", (8, 0), {}, "reduction"),
    *(("wide_resnet", (bad, 2), {}, "depth") for bad in (11, 4)),
    ("wide_resnet", (10, 0), {}, "k must"),
    ("resnet50", (), {"version": "v2"}, "version"),
]


@pytest.mark.parametrize(("name", "args", "options", "named"), BAD)
def test_both_frameworks_refuse_in_the_same_words(name, args, options, named):
    messages = []
    for framework in (cp, ct):
        with pytest.raises(ValueError, match=named) as caught:
            getattr(framework, name)(*args, **options)
        messages.append(str(caught.value))
    assert messages[0] == messages[1]


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
