"""Layers of sequences: what both frameworks refuse."""

from __future__ import annotations

import pytest

from tests.library.harness import refused_alike

BAD = [
    ("Conv1d", (3, 4, 2), {}, "kernel_size"),
    ("Conv1d", (3, 4), {"dilation": 0}, "dilation"),
    ("SinusoidalPositions", (7,), {}, "channels"),
]


@pytest.mark.parametrize(("name", "args", "options", "named"), BAD)
def test_both_frameworks_refuse_in_the_same_words(name, args, options, named):
    refused_alike(name, args, options, named)
