"""What fails in the harness is shown as a test's failure is; a fixture for proofs in float64."""

from __future__ import annotations

import warnings
from collections.abc import Iterator

import pytest

pytest.register_assert_rewrite("tests.library.harness")


@pytest.fixture
def keras_in_double() -> Iterator[None]:
    """Keras computes in float64, and step by step: a proof over few steps compiles nothing."""
    import keras
    import tensorflow as tf

    keras.config.set_floatx("float64")  # tests/conftest.py puts both back
    keras.config.set_dtype_policy("float64")
    tf.config.run_functions_eagerly(True)
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Even though the")  # tf.data compiles all the same
        yield
    tf.config.run_functions_eagerly(False)
