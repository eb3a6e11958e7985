"""Long and short skips: both frameworks alike, and sizes that cannot be halved."""

from __future__ import annotations

import numpy as np
import pytest

import companion.tensorflow as ct
import companion.torch as cp
from tests.library.harness import (
    IMAGES,
    networks_agree,
    networks_are_saved_whole,
    refused_alike,
    to_torch,
)

NETWORKS = [
    ("residual_unet", (3, 4), {"channels": 4, "residual": r, "long_skips": s}, IMAGES)
    for r in (True, False)
    for s in (True, False)
]
test_networks_start_alike_and_agree = networks_agree(
    NETWORKS, lambda case: case[2]["residual"] != case[2]["long_skips"]
)
test_keras_networks_are_saved_whole = networks_are_saved_whole(NETWORKS, NETWORKS[0].__eq__)


BAD = [
    ("residual_unet", (1, 2, 0), {}, "levels"),
    ("residual_unet", (), {"long_skips": None}, "long_skips"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)


def test_an_image_that_cannot_be_halved_is_refused():
    for levels, sides, match in ((2, (10, 12), "multiples of 4"), (3, (12, 12), "multiples of 8")):
        x = np.zeros((1, *sides, 1), np.float32)
        with pytest.raises(ValueError, match=match):
            cp.residual_unet(1, 2, levels=levels, channels=2)(to_torch(x))
        with pytest.raises(ValueError, match=match):
            ct.residual_unet(1, 2, levels=levels, channels=2)(x)
