"""The stored runs on images say what their page says of them."""

from __future__ import annotations

import numpy as np
import pytest

from companion.book import results
from companion.data import digits8
from tests.book.test_page_numbers import runs

HARDEST = "more clutter"


def right(of, residual, **which):
    """Test accuracies of one setting, seeds in order."""
    place = {"part": "test", "of": of, "residual": residual, "framework": "torch", **which}
    assert len(runs("images", **place)) >= 5
    return results.column("images", "test_accuracy", **place)


def gain(of, **which):
    return results.difference(right(of, True, **which), right(of, False, **which))


def test_the_gain_grows_with_depth_and_with_difficulty():
    by_depth = [gain("depth", depth=depth) for depth in (8, 20, 32, 56)]
    assert by_depth[0].pairs == 10 and abs(by_depth[0].mean) < 0.02
    assert by_depth[2].mean > 0.02 and by_depth[3].mean > 0.3 and by_depth[3].sure
    levels = ("centred", "clutter", HARDEST)
    by_level = [gain("difficulty", depth=20, level=level).mean for level in levels]
    assert by_level == sorted(by_level) and abs(by_level[0]) < 0.02 < 0.2 < by_level[-1]


def test_more_epochs_shrink_the_gain_on_the_hardest_digits():
    left = [gain("difficulty", depth=20, level=HARDEST)]
    left += [gain("longer", epochs=epochs) for epochs in (9, 18)]
    assert left[0].mean > 1.4 * left[1].mean > 1.4**2 * left[2].mean
    assert left[2].sure and left[2].mean > 0.05


def test_tensorflow_shows_the_same_at_20_layers():
    for residual in (True, False):
        here = right("depth", residual, depth=20)
        there = right("depth", residual, depth=20, framework="tensorflow")
        assert abs(here.mean() - there.mean()) < 0.02, (residual, here, there)


def test_every_shortcut_and_branch_is_ahead_of_the_plain_network():
    plain, zero_pad = (
        right("difficulty", residual, depth=20, level=HARDEST) for residual in (False, True)
    )
    rows = runs("images", part="test", of="block")
    names = {r["network"] for r in rows}
    others = {n: [r["test_accuracy"] for r in rows if r["network"] == n] for n in names}
    assert len(others) == 7
    assert min(np.mean(other) for other in others.values()) > plain.mean()
    assert zero_pad.mean() > plain.mean() + 0.2


def test_every_rate_comes_from_one_search_with_as_many_epochs():
    search = results.runs("images", part="search")
    assert {row["seed"] for row in search} == {7}
    for row in results.runs("images", part="test"):
        keys = [k for k in ("of", "level", "depth", "residual", "network") if k in row]
        epochs = min(row["epochs"], 9)  # the longest runs have the rates of the longer
        tried = [
            s for s in search if s["epochs"] == epochs and all(s.get(k) == row[k] for k in keys)
        ]
        best = max(tried, key=lambda s: s["score"] or [-1.0])
        assert best["learning_rate"] == row["learning_rate"], row
        rates = sorted(s["learning_rate"] for s in tried)
        assert len(rates) >= 4 and {0.01, 0.03, 0.1, 0.3} <= set(rates)
        assert row["learning_rate"] not in (rates[0], rates[-1]) or len(rates) >= 7, row


def test_harder_digits_keep_the_digit_and_add_what_the_level_says(experiment):
    made_harder, levels = experiment("images").made_harder, experiment("images").LEVELS
    digits = digits8()
    ink = {}
    for level in levels:
        data = made_harder(digits, level, seed=0)
        assert data.x_train.shape == (4 * len(digits.x_train), 12, 12, 1)
        assert np.array_equal(data.y_test, digits.y_test)
        assert np.array_equal(data.x_test, made_harder(digits, level, seed=0).x_test)
        ink[level] = float(data.x_test.mean())
    centred = made_harder(digits, "centred", seed=0).x_test
    assert np.array_equal(centred[:, 2:10, 2:10], digits.x_test)
    assert ink["centred"] == pytest.approx(ink["moved"], rel=1e-5)
    assert ink["moved"] < ink["clutter"] < ink["more clutter"]
