"""Blocks of separable convolutions: both frameworks alike."""

from __future__ import annotations

import pytest

from tests.library.harness import agree_as_blocks, saved_as_block

BLOCKS = [
    *(("SeparableBlock", (8, 16, 2), {"shortcut": option}) for option in "ABC"),
    ("SeparableBlock", (8, 8), {"residual": False}),
]
SAVED = [("SeparableBlock", (8, 16, 2), {"shortcut": "A"})]


@pytest.mark.parametrize(("name", "args", "options"), BLOCKS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [7, 8])
def test_blocks_agree(name, args, options, training, size):
    agree_as_blocks(name, args, options, training, size)


@pytest.mark.parametrize(("name", "args", "options"), SAVED)
def test_keras_blocks_are_saved_whole(name, args, options, tmp_path):
    saved_as_block(name, args, options, tmp_path)
