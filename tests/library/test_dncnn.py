"""The denoiser that predicts the noise: both frameworks alike."""

from __future__ import annotations

from tests.library.harness import IMAGES, networks_agree, networks_are_saved_whole, refused_alike

NETWORKS = [
    ("dncnn", (4, 8, 3), {}, IMAGES),
    ("dncnn", (4, 8, 3), {"residual": False, "norm": False}, IMAGES),
]
test_networks_start_alike_and_agree = networks_agree(NETWORKS)
test_keras_networks_are_saved_whole = networks_are_saved_whole(NETWORKS)


BAD = [
    ("dncnn", (1,), {}, "depth"),
    ("dncnn", (), {"norm": "batch"}, "norm"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)
