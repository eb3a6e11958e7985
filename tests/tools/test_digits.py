"""The digits of the package are those of the packages that they were taken from."""

from __future__ import annotations

import numpy as np
import pytest

from tools import digits


@pytest.mark.parametrize("name", ["mnist_5k", "digits8"])
def test_the_stored_digits_are_their_sources(name):
    source = getattr(digits, name)()
    with np.load(digits.FOLDER / f"{name}.npz") as stored:
        assert set(stored.files) == set(source)
        for key, array in source.items():
            assert stored[key].dtype == np.uint8
            np.testing.assert_array_equal(stored[key], array)
    assert np.bincount(source["labels"]).sum() == {"mnist_5k": 5000, "digits8": 1797}[name]
