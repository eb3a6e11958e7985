"""Blocks of separable convolutions: both frameworks alike."""

from __future__ import annotations

from tests.library.harness import blocks_agree, blocks_are_saved_whole

BLOCKS = [
    *(("SeparableBlock", (8, 16, 2), {"shortcut": option}) for option in "ABC"),
    ("SeparableBlock", (8, 8), {"residual": False}),
]
SAVED = [("SeparableBlock", (8, 16, 2), {"shortcut": "A"})]
test_blocks_agree = blocks_agree(BLOCKS)
test_keras_blocks_are_saved_whole = blocks_are_saved_whole(SAVED)
