"""Recurrent layers with shortcuts: both frameworks alike."""

from __future__ import annotations

import pytest

from tests.library.harness import TOKENS, agree_as_networks, ids, refused_alike, saved_as_network

NETWORKS = [*(("residual_lstm", (9, 2, 8), {"residual": r}, TOKENS) for r in (True, False))]


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=ids(NETWORKS))
def test_networks_start_alike_and_agree(name, args, options, x):
    agree_as_networks(name, args, options, x)


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=ids(NETWORKS))
def test_keras_networks_are_saved_whole(name, args, options, x, tmp_path):
    saved_as_network(name, args, options, x, tmp_path)


BAD = [
    ("residual_lstm", (9, 0), {}, "depth"),
    ("residual_lstm", (0, 2), {}, "vocabulary"),
]


@pytest.mark.parametrize(("name", "args", "options", "named"), BAD)
def test_both_frameworks_refuse_in_the_same_words(name, args, options, named):
    refused_alike(name, args, options, named)
