"""Attention over the outputs of earlier layers: three implementations, and its start."""

from __future__ import annotations

import pytest

import companion.tensorflow as ct
import companion.torch as cp
from tests.library.harness import agree_as_streams, start_as_plain_addition

STREAMS = {
    "DepthAttentionBlock": ((4,), (2, 5, 3, 4)),
}


@pytest.mark.parametrize("name", STREAMS)
def test_streams_equal_pytorch(name):
    agree_as_streams(name, *STREAMS[name])


@pytest.mark.parametrize("package", [cp, ct], ids=["torch", "tensorflow"])
@pytest.mark.parametrize("merge", ["depth_attention"])
def test_streams_start_as_plain_addition(package, merge):
    start_as_plain_addition(package, merge)
