"""Residual blocks of dense layers: both frameworks alike, with each norm and merge."""

from __future__ import annotations

import pytest

from tests.library.harness import VECTORS, agree_as_networks, ids, refused_alike, saved_as_network

NETWORKS = [
    ("residual_mlp", (16, 4, 2), {"residual": False}, VECTORS),
    ("residual_mlp", (16, 4, 2), {"norm": "batch", "merge": "rezero"}, VECTORS),
    ("residual_mlp", (16, 4, 2), {"norm": "layer", "merge": "highway"}, VECTORS),
    ("residual_mlp", (16, 4, 2), {"merge": "layer_scale"}, VECTORS),
]


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=ids(NETWORKS))
def test_networks_start_alike_and_agree(name, args, options, x):
    agree_as_networks(name, args, options, x)


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=ids(NETWORKS))
def test_keras_networks_are_saved_whole(name, args, options, x, tmp_path):
    saved_as_network(name, args, options, x, tmp_path)


BAD = [
    ("residual_mlp", (16, 4, 2), {"norm": "group"}, "norm"),
    ("residual_mlp", (16, 4, 2), {"merge": "max"}, "merge"),
    ("residual_mlp", (16, 4, 0), {}, "blocks"),
]


@pytest.mark.parametrize(("name", "args", "options", "named"), BAD)
def test_both_frameworks_refuse_in_the_same_words(name, args, options, named):
    refused_alike(name, args, options, named)
