"""What fails in a harness is shown as a test's failure is; fixtures for proofs in float64."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.library.harness", "tests.oracles.harness")


@pytest.fixture
def keras_in_double() -> None:
    """Keras computes in float64."""
    import keras

    keras.config.set_floatx("float64")  # tests/conftest.py puts both back
    keras.config.set_dtype_policy("float64")


@pytest.fixture
def nothing_compiled() -> Iterator[None]:
    """Keras computes operation by operation, which is quicker for a few steps."""
    import tensorflow as tf

    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Even though the")  # tf.data compiles all the same
        yield
    tf.config.run_functions_eagerly(False)
