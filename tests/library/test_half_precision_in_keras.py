"""Keras networks in 16 bits and under mixed policies compute what they compute in 32."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import tensorflow as tf

from companion import weights
from companion.architectures import MERGES
from tests.library.harness import FRAMES, IMAGES, TOKENS, VECTORS, exhaustive_but
from tests.library.test_keras_expectations import LARGE, NETWORKS, build

MERGED = {f"transformer {m}": {"merge": m} for m in MERGES if m != "add"}
POSITIONS = ("post", "sandwich", "deepnorm")
MERGED |= {f"transformer {norm}": {"merge": "add", "norm": norm} for norm in POSITIONS}
CASES = [*NETWORKS, *MERGED]
#: Relative distance of outputs: rounding of 2^-9 and 2^-12, in some ten layers.
TOLERANCE = {"bfloat16": 0.04, "mixed_bfloat16": 0.04, "float16": 0.005, "mixed_float16": 0.005}
QUICK = [
    ("cifar_resnet", "mixed_bfloat16"),
    ("fixup_resnet", "float16"),
    ("residual_lstm", "mixed_float16"),
    ("transformer sandwich", "bfloat16"),
]
INPUTS = {
    "mnist_resnet": IMAGES[..., :1],
    "residual_lstm": TOKENS,
    "residual_mlp": VECTORS,
    "speech_resnet": FRAMES,
    "transformer": TOKENS,
}


def alive(name):
    """Return the network, none of whose outputs is zero, and its input."""
    kind = name.split()[0]
    network = build(kind, seed=0, **MERGED.get(name, {}))
    if kind == "fixup_resnet":  # which starts at zero
        rng = np.random.default_rng(0)
        for variable in network.trainable_variables:
            variable.assign_add(0.1 * rng.normal(size=variable.shape))
    return network, INPUTS.get(kind, IMAGES)


def computed(name, policy):
    """Return output and gradients, by name, of the network under the policy."""
    keras.config.set_dtype_policy(policy)  # tests/conftest.py puts it back
    network, x = alive(name)
    with tf.GradientTape() as tape:
        y = network(x)
        loss = tf.reduce_mean(tf.square(tf.cast(y, "float32")))
    gradients = tape.gradient(loss, network.trainable_variables)
    flat = [np.ravel(tf.cast(tf.convert_to_tensor(g), "float32")) for g in gradients]
    dtypes = {str(v.dtype) for v in network.trainable_variables}
    return np.asarray(tf.cast(y, "float32")), np.concatenate(flat), y.dtype.name, dtypes


@pytest.mark.parametrize(
    ("name", "policy"),
    exhaustive_but([(n, p) for n in CASES for p in TOLERANCE], QUICK.__contains__),
)
def test_networks_in_16_bits(name, policy):
    (y, dy, *_), (z, dz, dtype, dtypes) = computed(name, "float32"), computed(name, policy)
    assert dtype == policy.removeprefix("mixed_")
    assert dtypes == {"float32" if policy.startswith("mixed") else policy}
    assert np.isfinite(dz).all()
    assert 0 < np.linalg.norm(z - y) < TOLERANCE[policy] * np.linalg.norm(y)
    assert np.linalg.norm(dz - dy) < 16 * TOLERANCE[policy] * np.linalg.norm(dy)


def test_the_cases_are_complete():
    assert set(LARGE) < set(NETWORKS) and {c for c, _ in QUICK} <= set(CASES)


def test_the_same_seed_draws_the_same_rounded_weights():
    whole = weights.named_arrays(build("cifar_resnet", seed=0))
    keras.config.set_dtype_policy("bfloat16")
    for name, array in weights.named_arrays(build("cifar_resnet", seed=0)).items():
        np.testing.assert_allclose(array, whole[name], rtol=2**-8)
