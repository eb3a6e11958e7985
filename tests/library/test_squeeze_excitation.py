"""Blocks that gate their channels: both frameworks alike."""

from __future__ import annotations

from tests.library.harness import blocks_agree, blocks_are_saved_whole, refused_alike

BLOCKS = [
    *(("SEBottleneckBlock", (8, 16, 2), {"shortcut": option}) for option in "ABC"),
    ("SEBottleneckBlock", (8, 8), {"residual": False}),
]
SAVED = [("SEBottleneckBlock", (8, 16, 2), {"shortcut": "B"})]
test_blocks_agree = blocks_agree(BLOCKS)
test_keras_blocks_are_saved_whole = blocks_are_saved_whole(SAVED)


BAD = [("SqueezeExcitation", (8, 0), {}, "reduction")]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)
