"""Layers of images: kernels that were at fault, Keras's batch norm, the loss."""

from __future__ import annotations

import os
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch.utils._python_dispatch import TorchDispatchMode

import companion.reference as ref
import companion.tensorflow as ct
from companion.registry import MODELS, create_model, list_models

torch.set_num_threads(1)


def test_a_strided_projection_of_few_channels_does_not_corrupt_memory():
    # In a process of its own, with the kernels that are at fault: it was killed by the allocator.
    code = (
        "import torch, companion.torch as c; torch.set_num_threads(1)\n"
        "x = torch.randn(3, 16, 24, 4).permute(0, 3, 1, 2)\n"
        "block = c.BasicBlock(4, 8, 2)\n"
        "for _ in range(20):\n"
        "    y = block(x)\n"
        "    y.backward(torch.randn(3, 8, 12, 8).permute(0, 3, 1, 2))\n"
    )
    environment = {**os.environ, "ONEDNN_MAX_CPU_ISA": "AVX2", "MALLOC_CHECK_": "3"}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)


def test_a_strided_projection_of_few_channels_has_its_gradient_in_keras():
    # In a process of its own, with the kernels for which TensorFlow's own gradient is wrong.
    code = (
        "import numpy as np, tensorflow as tf, companion.tensorflow as c\n"
        "rng = np.random.default_rng(0)\n"
        "x, g = (rng.standard_normal(s, np.float32) for s in ((4, 8, 8, 3), (4, 4, 4, 8)))\n"
        "layer = c.Conv2d(3, 8, 1, 2)\n"
        "expected = np.einsum('nhwi,nhwo->io', x[:, ::2, ::2], g)\n"
        "for _ in range(3):\n"
        "    with tf.GradientTape() as tape:\n"
        "        loss = tf.reduce_sum(layer(x) * g)\n"
        "    (gradient,) = tape.gradient(loss, layer.trainable_weights)\n"
        "    assert np.allclose(gradient[0, 0], expected, atol=1e-4), gradient[0, 0] - expected\n"
    )
    fast = {"TF_ENABLE_ONEDNN_OPTS": "1", "ONEDNN_MAX_CPU_ISA": "AVX2"}
    environment = {**os.environ, **fast, "MALLOC_CHECK_": "3"}
    subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, env=environment)


def in_a_process(code, **environment):
    """Run code in a process of its own: what it tries has killed the one that it was tried in."""
    environment = {**os.environ, "TF_ENABLE_ONEDNN_OPTS": "1", **environment}
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, env=environment)
    assert done.returncode == 0, (done.returncode, done.stderr.decode()[-2000:])


#: Few channels and a large image: where the processor's best kernels write past their memory.
THIN = """
import torch, companion.torch as c
torch.set_num_threads(1)
def image(channels):
    return torch.randn(2, channels, 128, 128).contiguous(memory_format=torch.channels_last)
def learns(network, channels=4):
    x = image(channels).requires_grad_()
    y = network(x)
    y.backward(torch.randn(y.shape).contiguous(memory_format=torch.channels_last))
own = c.Residual(c.Conv2d(4, 8, 1, 2), c.Conv2d(4, 8, 1, 2))
first = c.BottleneckBlockV1(4, 16, 2)
for part in (own, first, c.BasicBlock(4, 8, 2), c.PreActivationBlock(4, 8, 2),
             c.SEBottleneckBlock(4, 64, 2), c.SeparableBlock(4, 8, 2)):
    learns(part)
learns(torch.fx.symbolic_trace(own))
learns(torch.export.export(own, (image(4),)).module())
fast = c.optimize_for_inference(c.cifar_resnet(8, 4, seed=0))
fast(image(3))
x = image(3).requires_grad_()
fast(x + 0).sum().backward()
"""


def test_thin_networks_with_large_images_learn_in_every_form():
    in_a_process(THIN)


def test_thin_networks_with_large_images_learn_in_keras():
    in_a_process(
        "import numpy as np, tensorflow as tf, companion.tensorflow as c\n"
        "x = tf.constant(np.random.default_rng(0).standard_normal((2, 128, 128, 4), 'f4'))\n"
        "parts = [c.Residual(c.Conv2d(4, 8, 1, 2), c.Conv2d(4, 8, 1, 2)),\n"
        "         c.BottleneckBlockV1(4, 16, 2), c.SeparableBlock(4, 8, 2)]\n"
        "for part in parts:\n"
        "    with tf.GradientTape() as tape:\n"
        "        loss = tf.reduce_sum(part(x, training=True) ** 2)\n"
        "    tape.gradient(loss, part.trainable_variables)\n"
    )


def strided_1x1(function, *inputs):
    """Return the convolutions of a run in PyTorch that have a 1x1 kernel and a stride."""

    class Watch(TorchDispatchMode):
        def __torch_dispatch__(self, operator, types, args=(), kwargs=None):
            if operator is torch.ops.aten.convolution.default:
                kernel, stride = args[1].shape[2:], args[3]
                convolutions.append((set(kernel) == {1}, max(stride) > 1))
            return operator(*args, **(kwargs or {}))

    convolutions = []
    with Watch():
        function(*inputs)
    assert convolutions
    return [found for found in convolutions if all(found)]


IMAGES = [name for name in list_models() if MODELS[name].image]
NETWORKS = [
    *((name, {}) for name in IMAGES),
    *((name, {"shortcut": "C"}) for name in IMAGES if MODELS[name].block),
    ("resnet50", {"version": "v1"}),
]


@pytest.mark.parametrize(("name", "options"), NETWORKS, ids=str)
def test_no_network_computes_a_strided_1x1_convolution(name, options):
    with torch.device("meta"):
        model = create_model(name, **options).eval()
        image = torch.zeros(1, MODELS[name].image[2], 32, 32)
    assert not strided_1x1(model, image)


def test_a_strided_1x1_convolution_would_be_seen():
    assert strided_1x1(torch.nn.Conv2d(2, 2, 1, 2), torch.zeros(1, 2, 4, 4)) == [(True, True)]


@pytest.mark.parametrize("block", sorted(ct.resnet.BLOCKS))
def test_no_block_in_keras_has_a_strided_1x1_convolution(block):
    made = ct.resnet.BLOCKS[block](64, 128, stride=2, shortcut="C")
    made.build((None, 8, 8, 64))
    layers = [x for x in made._flatten_layers() if isinstance(x, keras.layers.Conv2D)]
    assert any(layer.kernel_size == (1, 1) for layer in layers)
    for layer in layers:
        assert layer.kernel_size != (1, 1) or layer.strides == (1, 1), layer.name


@pytest.mark.parametrize("shape", [(4, 5, 6, 3), (3, 1, 1, 3)])
def test_the_fused_batch_norm_is_keras_own(shape):
    rng = np.random.default_rng(0)
    x, g = (tf.constant(rng.standard_normal(shape) * 3 + 1, "float32") for _ in range(2))
    ours, theirs = ct.BatchNorm2d(3), keras.layers.BatchNormalization(epsilon=1e-5, momentum=0.9)
    for norm in (ours, theirs):
        norm.build(shape)
    start = [rng.random(3).astype("float32") + 0.5 for _ in range(4)]
    found = []
    for norm in (ours, theirs):
        norm.set_weights(start)
        with tf.GradientTape() as tape:
            tape.watch(x)
            y = norm(x, training=True)
        gradients = tape.gradient(y, [x, *norm.trainable_weights], g)
        found.append([y, *gradients, *norm.get_weights(), norm(x, training=False)])
    for one, other in zip(*found, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-5)


def test_a_batch_norm_learns_in_one_operation():
    def operations(training, **options):
        norm = ct.BatchNorm2d(3, **options)
        call = tf.function(lambda x: norm(x, training=training))
        graph = call.get_concrete_function(tf.TensorSpec((4, 5, 5, 3))).graph
        return {op.type for op in graph.get_operations()}

    assert "FusedBatchNormV3" in operations(True)
    # Where it does not learn, Keras's form can be multiplied into a convolution's weights.
    assert "FusedBatchNormV3" not in operations(False)
    assert "FusedBatchNormV3" not in operations(True, dtype="float64")
    assert "FusedBatchNormV3" not in operations(True, trainable=False)
    assert "FusedBatchNormV3" not in operations(True, scale=False)
    assert "FusedBatchNormV3" not in operations(True, center=False)


def test_cross_entropy_equals_pytorch():
    rng = np.random.default_rng(0)
    logits, labels = rng.normal(size=(6, 4)) * 50, rng.integers(0, 4, 6)
    loss, gradient = ref.softmax_cross_entropy(logits, labels)
    t = torch.from_numpy(logits).requires_grad_()
    expected = torch.nn.functional.cross_entropy(t, torch.from_numpy(labels))
    expected.backward()
    assert loss == pytest.approx(expected.item(), rel=1e-12)
    np.testing.assert_allclose(gradient, t.grad, atol=1e-14)
