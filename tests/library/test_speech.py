"""Dilated convolutions over time: both frameworks alike."""

from __future__ import annotations

import pytest

from tests.library.harness import FRAMES, agree_as_networks, ids, refused_alike, saved_as_network

NETWORKS = [*(("speech_resnet", (7,), {"residual": r}, FRAMES) for r in (True, False))]


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=ids(NETWORKS))
def test_networks_start_alike_and_agree(name, args, options, x):
    agree_as_networks(name, args, options, x)


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=ids(NETWORKS))
def test_keras_networks_are_saved_whole(name, args, options, x, tmp_path):
    saved_as_network(name, args, options, x, tmp_path)


BAD = [("speech_resnet", (8,), {}, "depth")]


@pytest.mark.parametrize(("name", "args", "options", "named"), BAD)
def test_both_frameworks_refuse_in_the_same_words(name, args, options, named):
    refused_alike(name, args, options, named)
