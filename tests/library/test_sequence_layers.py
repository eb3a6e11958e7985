"""Layers of sequences: what both frameworks refuse, what Keras lets a caller choose."""

from __future__ import annotations

import numpy as np

import companion.tensorflow as ct
from tests.library.harness import refused_alike

BAD = [
    ("Conv1d", (3, 4, 2), {}, "kernel_size"),
    ("Conv1d", (3, 4), {"dilation": 0}, "dilation"),
    ("SinusoidalPositions", (7,), {}, "channels"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)


def test_a_keras_embedding_starts_as_the_caller_says():
    embedding = ct.Embedding(5, 3, embeddings_initializer="ones")
    again = ct.Embedding.from_config(embedding.get_config())
    for layer in (embedding, again):
        np.testing.assert_array_equal(layer(np.zeros((1, 2), int)), np.ones((1, 2, 3)))
