"""PyTorch and TensorFlow hold the same function: outputs, gradients, refusals."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion import weights

torch.set_num_threads(1)

SHAPES = [(8, 8, 1), (8, 8, 2), (4, 8, 1), (4, 8, 2)]
CASES = list(
    itertools.product(("BasicBlock", "BottleneckBlock"), "ABC", SHAPES, (7, 8), (True, False))
)


@pytest.mark.parametrize(("block", "option", "shape", "size", "residual"), CASES)
@pytest.mark.parametrize("training", [True, False])
def test_outputs_and_gradients_agree(block, option, shape, size, residual, training):
    source = getattr(cp, block)(*shape, shortcut=option, residual=residual)
    target = getattr(ct, block)(*shape, shortcut=option, residual=residual)
    target(np.zeros((2, size, size, shape[0]), np.float32))
    weights.transfer(source, target)
    rng = np.random.default_rng(size)
    x = rng.normal(size=(3, size, size, shape[0])).astype(np.float32)

    source.train(training)
    tx = torch.from_numpy(x).permute(0, 3, 1, 2).contiguous().requires_grad_()
    ty = source(tx)
    dy = rng.normal(size=tuple(ty.shape)).astype(np.float32)
    (ty * torch.from_numpy(dy)).sum().backward()

    kx = tf.Variable(x)
    with tf.GradientTape() as tape:
        ky = target(kx, training=training)
        loss = tf.reduce_sum(ky * dy.transpose(0, 2, 3, 1))
    kernels = [v for v in target.trainable_variables if v.name == "kernel"]
    dx, *dw = tape.gradient(loss, [kx, *(v.value for v in kernels)])

    np.testing.assert_allclose(ky, ty.detach().permute(0, 2, 3, 1), atol=1e-5, rtol=1e-5)
    _close(dx.numpy(), tx.grad.permute(0, 2, 3, 1).numpy())
    convolutions = [p for p in source.parameters() if p.ndim == 4]
    assert len(convolutions) == len(dw) > 0
    for ours, theirs in zip(dw, convolutions, strict=True):
        _close(ours.numpy(), theirs.grad.permute(2, 3, 1, 0).numpy())


def _close(a, b):
    assert np.abs(a - b).max() <= 1e-4 * max(1.0, np.abs(b).max())


@pytest.mark.parametrize("residual", [True, False])
def test_one_seed_starts_both_frameworks_alike(residual):
    options = {"residual": residual, "in_channels": 1, "seed": 3}
    a = weights.named_arrays(cp.cifar_resnet(8, **options))
    b = weights.named_arrays(ct.cifar_resnet(8, **options))
    assert list(a) == list(b)
    assert all((a[name] == b[name]).all() for name in a)


def test_plain_control_starts_with_the_same_branches():
    residual = weights.named_arrays(cp.mnist_resnet(seed=1))
    plain = weights.named_arrays(cp.mnist_resnet(seed=1, residual=False))
    assert plain.keys() < residual.keys()
    assert all((plain[name] == residual[name]).all() for name in plain)


def test_transfer_there_and_back_is_exact():
    source, middle = cp.cifar_resnet(8, seed=0), ct.cifar_resnet(8, seed=1)
    back = cp.cifar_resnet(8, seed=2)
    weights.transfer(source, middle)
    weights.transfer(middle, back)
    a, b = weights.named_arrays(source), weights.named_arrays(back)
    assert all((a[name] == b[name]).all() for name in a)


def test_transfer_refuses_another_shape_and_changes_nothing():
    source, target = cp.cifar_resnet(8, seed=0), cp.cifar_resnet(8, width=8, seed=1)
    before = weights.named_arrays(target)
    with pytest.raises(ValueError, match=r"stem\.conv"):
        weights.transfer(source, target)
    after = weights.named_arrays(target)
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize(
    ("build", "count"),
    [
        (cp.resnet18, 11_689_512),
        (cp.resnet34, 21_797_672),
        (cp.resnet50, 25_557_032),
        (lambda: cp.cifar_resnet(20), 269_722),
        (lambda: cp.cifar_resnet(110), 1_727_962),
    ],
)
def test_parameter_counts_are_the_published_ones(build, count):
    assert sum(p.numel() for p in build().parameters()) == count


BAD = [
    ("BasicBlock", (0, 8), {}, "in_channels"),
    ("BasicBlock", (8, -1), {}, "out_channels"),
    ("BasicBlock", (8, 8, 0), {}, "stride"),
    ("BasicBlock", (8, 8), {"kernel_size": 2}, "kernel_size"),
    ("BasicBlock", (8, 8), {"shortcut": "D"}, "shortcut"),
    ("BasicBlock", (8, 8), {"residual": 1}, "residual"),
    ("BasicBlock", (8, 4), {"shortcut": "A"}, "out_channels"),
    ("BottleneckBlock", (8, 6), {}, "out_channels"),
    ("cifar_resnet", (21,), {}, "depth"),
    ("cifar_resnet", (2,), {}, "depth"),
    ("cifar_resnet", (8,), {"width": 0}, "width"),
    ("mnist_resnet", (), {"num_classes": 0}, "num_classes"),
    ("mnist_resnet", (), {"seed": -1}, "seed"),
    ("residual_network", ((28, 28), 10), {}, "input_shape"),
]


@pytest.mark.parametrize(("name", "args", "options", "named"), BAD)
def test_both_frameworks_refuse_in_the_same_words(name, args, options, named):
    messages = []
    for framework in (cp, ct):
        with pytest.raises(ValueError, match=named) as caught:
            getattr(framework, name)(*args, **options)
        messages.append(str(caught.value).replace("(channels, height, width)", "SHAPE"))
        messages[-1] = messages[-1].replace("(height, width, channels)", "SHAPE")
    assert messages[0] == messages[1]


def test_one_channel_does_not_broadcast():
    with pytest.raises(ValueError, match="same shape"):
        cp.Add()(torch.zeros(1, 1, 4, 4), torch.zeros(1, 4, 4, 4))
    with pytest.raises(ValueError, match="same shape"):
        ct.Add()(tf.zeros((1, 4, 4, 1)), tf.zeros((1, 4, 4, 4)))


def test_branch_in_place_is_refused():
    with pytest.raises(ValueError, match="in place"):
        cp.Residual(torch.nn.ReLU(inplace=True))

    class Sly(torch.nn.Module):
        def forward(self, x):
            return x.relu_()

    with pytest.raises(ValueError, match="in place"):
        cp.Residual(Sly())(torch.ones(2))


def test_keras_model_reloads_equal(tmp_path):
    model = ct.mnist_resnet(seed=0)
    model.save(tmp_path / "model.keras")
    x = np.random.default_rng(0).random((2, 28, 28, 1), np.float32)
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(ct.predict(model, x), ct.predict(again, x))
