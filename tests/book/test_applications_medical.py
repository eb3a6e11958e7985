"""The stored runs on medical images say what their page says of them."""

from __future__ import annotations

import numpy as np

from tests.book.test_page_numbers import runs


def dice(blocks, residual, long_skips, part="test", framework="torch"):
    """Mean Dice of grey and white matter, one number a seed."""
    of = {"blocks": blocks, "residual": residual, "long_skips": long_skips}
    found = runs("medical", part=part, framework=framework, **of)
    return np.array([(r["grey"] + r["white"]) / 2 for r in sorted(found, key=lambda r: r["seed"])])


def test_shortcuts_gain_where_long_skips_are_missing():
    for blocks, least in ((1, 0.01), (4, 0.1)):
        gain = dice(blocks, True, False).mean() - dice(blocks, False, False).mean()
        assert gain > least, (blocks, gain)
    for blocks in (1, 4):  # beside long skips six seeds do not settle it
        pairs = dice(blocks, True, True) - dice(blocks, False, True)
        assert len(pairs) == 6 and abs(pairs.mean()) < 2 * pairs.std(ddof=1)


def test_long_skips_gain_at_every_depth_with_every_block():
    for blocks in (1, 4):
        for residual in (True, False):
            assert dice(blocks, residual, True).mean() > dice(blocks, residual, False).mean() + 0.02


def test_the_deep_plain_network_is_slow_and_not_unable():
    longer = dice(4, False, True, part="longer").mean()
    assert longer > dice(4, False, True).mean() + 0.02
    assert abs(longer - dice(4, True, True).mean()) < 0.03


def test_tensorflow_shows_the_same_in_the_shallow_network():
    for residual in (True, False):
        pair = [dice(1, residual, True, framework=f).mean() for f in ("torch", "tensorflow")]
        assert abs(pair[0] - pair[1]) < 0.05, (residual, pair)


def test_every_network_chose_its_rate_from_the_same_three():
    assert {r["learning_rate"] for r in runs("medical")} <= {0.03, 0.1, 0.3}
