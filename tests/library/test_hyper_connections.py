"""Streams that are read, mixed and written: three implementations, their start, their files."""

from __future__ import annotations

import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch

import companion.tensorflow as ct
import companion.torch as cp
from tests.library.harness import TOKENS, agree_as_streams, near, numbers, start_as_plain_addition

STREAMS = {
    "HyperConnection": ((4, 3, 1), (2, 5, 3, 4)),
    "ManifoldHyperConnection": ((4, 3), (2, 5, 3, 4)),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_equal_pytorch(name):
    agree_as_streams(name, *STREAMS[name])


@pytest.mark.parametrize("package", [cp, ct], ids=["torch", "tensorflow"])
@pytest.mark.parametrize("merge", ["hyper", "manifold"])
def test_streams_start_as_plain_addition(package, merge):
    start_as_plain_addition(package, merge)


def test_sinkhorn_is_doubly_stochastic_and_products_stay_so():
    logits = np.random.default_rng(0).normal(0, 1, (50, 4, 4)).astype(np.float32)
    here = cp.sinkhorn(torch.from_numpy(logits)).numpy()
    near(np.asarray(ct.sinkhorn(tf.constant(logits))), here, 1e-6)
    product = np.linalg.multi_dot(here)
    for matrix in (*here, product):
        assert (matrix > 0).all()
        np.testing.assert_allclose(matrix.sum(1), 1, atol=1e-4)
        np.testing.assert_allclose(matrix.sum(0), 1, atol=2e-2)


@pytest.mark.exhaustive  # as test_networks does with a network of images
def test_a_stack_of_streams_reloads_in_a_fresh_process(tmp_path):
    model = ct.transformer(9, 2, 8, merge="hyper", seed=1)
    model.save(tmp_path / "model.keras")
    np.save(tmp_path / "x.npy", TOKENS)
    code = (
        "import keras, numpy as np, companion.tensorflow; "
        "m = keras.models.load_model('model.keras'); "
        "np.save('y.npy', m.predict_on_batch(np.load('x.npy')))"
    )
    subprocess.run([sys.executable, "-c", code], cwd=tmp_path, check=True, capture_output=True)
    y = np.load(tmp_path / "y.npy")
    np.testing.assert_allclose(y, model.predict_on_batch(TOKENS), rtol=1e-6, atol=1e-6)


def test_streams_are_normed_once_and_start_as_one_residual_connection(monkeypatch):
    x = np.repeat(numbers((2, 5, 4))[:, :, None], 4, axis=2)
    for make in (ct.HyperConnection, ct.ManifoldHyperConnection):
        block = make(keras.layers.Dense(4, name="mine"), 4)
        y = np.asarray(block(x))
        expected = x + np.asarray(block.branch(x[:, :, 0]))[:, :, None]
        np.testing.assert_allclose(y, expected, atol=1e-4)
        seen = []
        for part in (block.shortcut.read, block.shortcut.mix, block.shortcut.write):

            def look(z, call=part.call, seen=seen):
                seen.append(z)
                return call(z)

            monkeypatch.setattr(part, "call", look)
        block(x)
        assert len(seen) == 3 and all(z is seen[0] for z in seen)
