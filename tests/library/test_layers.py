"""Shortcuts, data, figures, weights and the frame: what the other files do not reach."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

import companion.reference as ref
import companion.tensorflow as ct
import companion.torch as cp
from companion import data, recipe, weights

torch.set_num_threads(1)
ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize("option", "ABC")
def test_zeroed_branches_leave_the_composed_shortcuts(option):
    network = cp.cifar_resnet(8, width=4, shortcut=option, seed=0).eval()
    for name, p in network.named_parameters():
        if ".branch.norm2." in name:
            torch.nn.init.zeros_(p)
    x = torch.randn(2, 4, 9, 8)
    expected = torch.relu(x)
    for stage in network.stages:
        for block in stage:
            expected = torch.relu(block.shortcut(expected))
    assert torch.equal(network.stages(torch.relu(x)), expected)


@pytest.mark.parametrize("option", "ABC")
def test_projections_stand_where_the_paper_has_them(option):
    names = [n for n in weights.named_arrays(cp.resnet50(shortcut=option)) if ".shortcut.conv" in n]
    per_block = {"A": 0, "B": 4, "C": 16}  # B: the first block of each stage, the first one too
    assert len(names) == per_block[option]


def test_the_digits_are_split_evenly_and_always_alike():
    first, second = data.mnist(), data.mnist()
    assert first.x_train.shape == (4000, 28, 28, 1) and first.x_test.shape == (1000, 28, 28, 1)
    assert first.x_train.dtype == np.float32 and 0 == first.x_train.min() < first.x_train.max() == 1
    assert np.bincount(first.y_train).tolist() == [400] * 10
    assert (first.x_test == second.x_test).all()
    rows = {image.tobytes() for image in first.x_train}
    assert not any(image.tobytes() in rows for image in first.x_test)


def test_a_validation_part_leaves_the_test_part_unseen():
    digits = data.mnist()
    part = digits.validation(500)
    assert len(part.x_train) == 3500 and (part.x_test == digits.x_train[3500:]).all()
    for size in (0, 4000):
        with pytest.raises(ValueError, match="size"):
            digits.validation(size)


def test_full_digits_without_a_network_say_what_to_do(monkeypatch):
    module = sys.modules["companion.data.mnist"]

    def offline():
        raise OSError("no route to host")

    monkeypatch.setattr(module, "_download", offline)
    with pytest.raises(ConnectionError, match="source='embedded'"):
        data.mnist("full")
    with pytest.raises(ValueError, match="source"):
        data.mnist("small")


def test_a_broken_cache_is_made_again(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    cache = tmp_path / "residual-companion" / "mnist_5k.npz"
    cache.parent.mkdir()
    cache.write_bytes(b"half")
    assert len(data.mnist().x_train) == 4000
    assert [p.name for p in cache.parent.iterdir()] == ["mnist_5k.npz"]
    assert cache.stat().st_size > 100_000


def test_halved_averages_two_by_two():
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    assert data.downsampled(x)[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    with pytest.raises(ValueError, match="even"):
        data.downsampled(x[:, :3])


def test_shifting_moves_an_image_and_brings_in_zeros():
    x = np.zeros((200, 5, 5, 1), np.float32)
    x[:, 2, 2] = 1
    moved = recipe.shifted(x, 2, np.random.default_rng(0))
    assert moved.shape == x.shape and (moved.sum((1, 2, 3)) == 1).all()
    assert {tuple(np.argwhere(image)[0][:2]) for image in moved} == {
        (i, j) for i in range(5) for j in range(5)
    }


def test_the_learning_rate_makes_one_cycle():
    rates = [recipe.Recipe(learning_rate=0.2).rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.02) and max(rates) == rates[25] == pytest.approx(0.2)
    assert rates[-1] < 0.001 and rates[26:] == sorted(rates[26:], reverse=True)


@pytest.mark.parametrize(
    ("source", "target", "named"),
    [
        (lambda: cp.BasicBlock(4, 4), lambda: ref.BottleneckBlock(4, 4), "branch"),
        (lambda: cp.BasicBlock(4, 4), lambda: ct.BasicBlock(4, 8), "branch.conv1"),
        (lambda: cp.BasicBlock(4, 8), lambda: ref.BasicBlock(4, 8, residual=False), "shortcut"),
        (lambda: cp.BasicBlock(4, 4).double(), lambda: ct.BasicBlock(4, 4), "float64"),
        (lambda: cp.BasicBlock(4, 4), lambda: "a string", "str"),
        (lambda: torch.nn.LSTM(3, 3), lambda: cp.BasicBlock(4, 4), "LSTM"),
    ],
)
def test_transfer_refuses_and_changes_nothing(source, target, named):
    source, target = source(), target()
    before = None if isinstance(target, str) else weights.named_arrays(target)
    with pytest.raises(ValueError, match=named):
        weights.transfer(source, target)
    if before:
        after = weights.named_arrays(target)
        assert all((before[name] == after[name]).all() for name in before)


def test_bare_make_explains_itself():
    out = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"make {t}" in out for t in ("book", "test", "lab", "refresh", "serve", "clean"))


def test_an_old_python_is_told_so_in_one_line():
    code = (
        "import sys, runpy; sys.version_info = (3, 9, 0, 'final', 0); "
        "runpy.run_path('tools/bootstrap.py', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("error: Python 3.11") and done.stderr.count("\n") == 1


def test_no_weights_move_while_keras_is_unbuilt_or_layers_are_unknown():
    import keras

    with pytest.raises(ValueError, match="unbuilt"):
        weights.named_arrays(keras.Sequential([keras.layers.Dense(3)]))


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


@pytest.mark.parametrize("shape", [(4, 5, 6, 3), (3, 1, 1, 3)])
def test_the_fused_batch_norm_is_keras_own(shape):
    import keras
    import tensorflow as tf

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
    import tensorflow as tf

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
