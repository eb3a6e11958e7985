"""The denoiser that predicts the noise: both frameworks alike."""

from __future__ import annotations

import pytest

from tests.library.harness import IMAGES, agree_as_networks, ids, refused_alike, saved_as_network

NETWORKS = [
    ("dncnn", (4, 8, 3), {}, IMAGES),
    ("dncnn", (4, 8, 3), {"residual": False, "norm": False}, IMAGES),
]


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=ids(NETWORKS))
def test_networks_start_alike_and_agree(name, args, options, x):
    agree_as_networks(name, args, options, x)


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=ids(NETWORKS))
def test_keras_networks_are_saved_whole(name, args, options, x, tmp_path):
    saved_as_network(name, args, options, x, tmp_path)


BAD = [
    ("dncnn", (1,), {}, "depth"),
    ("dncnn", (), {"norm": "batch"}, "norm"),
]


@pytest.mark.parametrize(("name", "args", "options", "named"), BAD)
def test_both_frameworks_refuse_in_the_same_words(name, args, options, named):
    refused_alike(name, args, options, named)
