"""Long and short skips: both frameworks alike, and sizes that cannot be halved."""

from __future__ import annotations

import numpy as np
import pytest

import companion.tensorflow as ct
import companion.torch as cp
from tests.library.harness import (
    IMAGES,
    agree_as_networks,
    exhaustive_but,
    ids,
    refused_alike,
    saved_as_network,
    to_torch,
)

NETWORKS = [
    ("residual_unet", (3, 4), {"channels": 4, "residual": r, "long_skips": s}, IMAGES)
    for r in (True, False)
    for s in (True, False)
]


@pytest.mark.parametrize(
    ("name", "args", "options", "x"),
    exhaustive_but(NETWORKS, lambda case: case[2]["residual"] != case[2]["long_skips"]),
    ids=ids(NETWORKS),
)
def test_networks_start_alike_and_agree(name, args, options, x):
    agree_as_networks(name, args, options, x)


@pytest.mark.parametrize(
    ("name", "args", "options", "x"),
    exhaustive_but(NETWORKS, NETWORKS[0].__eq__),
    ids=ids(NETWORKS),
)
def test_keras_networks_are_saved_whole(name, args, options, x, tmp_path):
    saved_as_network(name, args, options, x, tmp_path)


BAD = [
    ("residual_unet", (1, 2, 0), {}, "levels"),
    ("residual_unet", (), {"long_skips": None}, "long_skips"),
]


@pytest.mark.parametrize(("name", "args", "options", "named"), BAD)
def test_both_frameworks_refuse_in_the_same_words(name, args, options, named):
    refused_alike(name, args, options, named)


def test_an_image_that_cannot_be_halved_is_refused():
    x = np.zeros((1, 10, 12, 1), np.float32)
    with pytest.raises(ValueError, match="multiples of 4"):
        cp.residual_unet(1, 2, levels=2)(to_torch(x))
    with pytest.raises(ValueError, match="multiples of 4"):
        ct.residual_unet(1, 2, levels=2)(x)
