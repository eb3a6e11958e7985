"""Handwritten digits: an honest split, always the same, and what is said without a network."""

from __future__ import annotations

import sys

import numpy as np
import pytest

from companion import data


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


def test_halved_averages_two_by_two():
    x = np.arange(16, dtype=np.float32).reshape(1, 4, 4, 1)
    assert data.downsampled(x)[0, :, :, 0].tolist() == [[2.5, 4.5], [10.5, 12.5]]
    with pytest.raises(ValueError, match="even"):
        data.downsampled(x[:, :3])
