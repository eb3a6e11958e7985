"""Blocks that are computed back: inverses, recomputed gradients, training, the published size."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from tests.library.harness import (
    IMAGES,
    near,
    networks_agree,
    networks_are_saved_whole,
    refused_alike,
    to_torch,
    trained_numbers,
)

NETWORKS = [("revnet_cifar", (14, 8), {}, IMAGES)]
test_networks_start_alike_and_agree = networks_agree(NETWORKS)
test_keras_networks_are_saved_whole = networks_are_saved_whole(NETWORKS)


@pytest.mark.parametrize("training", [True, False])
def test_reversible_blocks_are_inverted(training):
    x = np.random.default_rng(0).normal(size=(4, 8, 6, 6)).astype(np.float32)
    here, there = cp.ReversibleBlock(8, 8), ct.ReversibleBlock(8, 8)
    here.train(training)
    near(here.inverse(here(torch.from_numpy(x))).numpy(), x, 1e-5)
    x = x.transpose(0, 2, 3, 1)
    near(there.inverse(there(x, training=training), training=training).numpy(), x, 1e-5)
    for package in (cp, ct):
        with pytest.raises(ValueError, match="cannot be inverted"):
            package.ReversibleBlock(8, 16, 2).inverse(x)
        with pytest.raises(ValueError, match="reversible"):
            package.ReversibleSequential(package.ReversibleBlock(8, 16, 2))


def test_a_stack_computes_again_unless_told_otherwise():
    for package in (cp, ct):
        blocks = [package.ReversibleBlock(4, 4) for _ in range(2)]
        assert package.ReversibleSequential(*blocks).recompute is True


def test_recomputed_gradients_and_statistics_are_the_stored_ones():
    for package in (cp, ct):
        gradients, statistics = [], []
        for recompute in (True, False):
            model = package.revnet_cifar(14, 8, recompute=recompute, seed=0)
            if package is cp:
                model(to_torch(IMAGES)).square().sum().backward()
                gradients.append([p.grad.numpy() for p in model.parameters()])
            else:
                with tf.GradientTape() as tape:
                    loss = tf.reduce_sum(model(IMAGES, training=True) ** 2)
                variables = [v.value for v in model.trainable_variables]
                gradients.append([g.numpy() for g in tape.gradient(loss, variables)])
            arrays = weights.named_arrays(model)
            statistics.append({k: a for k, a in arrays.items() if "running" in k})
        for a, b in zip(*gradients, strict=True):
            near(a, b, 1e-3)
        assert statistics[0].keys() == statistics[1].keys()
        for name, array in statistics[0].items():
            np.testing.assert_allclose(array, statistics[1][name], rtol=1e-6, atol=1e-7)


def test_a_partly_frozen_stack_trains_the_rest_in_keras():
    gradients = []
    for recompute in (True, False):
        model = ct.revnet_cifar(14, 8, recompute=recompute, seed=0)
        model.get_layer("stage0").blocks[0].trainable = False
        with tf.GradientTape() as tape:
            loss = tf.reduce_sum(model(IMAGES, training=True) ** 2)
        gradients.append(tape.gradient(loss, [v.value for v in model.trainable_variables]))
    for a, b in zip(*gradients, strict=True):
        near(a.numpy(), b.numpy(), 1e-3)


def test_keras_trains_a_reversible_network():
    model = ct.revnet_cifar(14, 8, seed=0)
    model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
    losses = [model.train_on_batch(IMAGES, np.arange(3)) for _ in range(30)]
    assert losses[-1] < 0.7 * losses[0]


@pytest.mark.parametrize("package", [cp, pytest.param(ct, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(("name", "args", "count"), [("revnet_cifar", (110,), 1_729_162)])
def test_sizes_are_the_published_ones(name, args, count, package):
    # RevNet-110: 1.73M.
    assert trained_numbers(getattr(package, name)(*args)) == count


BAD = [
    ("revnet_cifar", (20,), {}, "depth"),
    ("revnet_cifar", (14, 7), {}, "width"),
    ("revnet_cifar", (14,), {"recompute": 1}, "recompute"),
    ("ReversibleBlock", (7, 8), {}, "in_channels"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)
