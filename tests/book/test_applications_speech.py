"""The stored runs on speech say what their page says of them."""

from __future__ import annotations

import numpy as np
import pytest

from companion.book import results
from companion.book.experiments.speech import RATES, noisy, shifted
from tests.book.test_page_numbers import mean

CLEAN = {"framework": "torch", "training": "clean"}


def accuracy(depth, residual, epochs, **which):
    of = {"depth": depth, "residual": residual, "epochs": epochs, **{**CLEAN, **which}}
    return mean("test_accuracy", "speech", **of)


def by_noise(depth, residual, rate):
    """Accuracy at each level of noise, of six seeds."""
    of = {"depth": depth, "epochs": 20, "residual": residual, "learning_rate": rate}
    found = results.column("speech_noise", "by_noise", **of)
    assert len(found) == 6
    return found


def test_accuracy_gains_by_depth_and_robustness_is_apart():
    assert abs(accuracy(7, True, 60) - accuracy(7, False, 60)) < 0.02
    assert accuracy(49, True, 60) > accuracy(49, False, 60) + 0.2
    # Equal without noise; under noise the learning rate changes more than the shortcut does.
    for depth in (7, 13):
        arms = {
            (r, rate): by_noise(depth, r, rate).mean(axis=0)
            for r in (True, False)
            for rate in (0.003, 0.03)
        }
        clean = [curve[0] for curve in arms.values()]
        assert max(clean) - min(clean) < 0.03
        by_rate = np.mean([arms[r, 0.03][4] - arms[r, 0.003][4] for r in (True, False)])
        by_shortcut = np.mean([arms[True, x][4] - arms[False, x][4] for x in (0.003, 0.03)])
        assert by_rate > 2 * by_shortcut and by_rate > 0.15


def test_at_13_layers_the_shortcut_stands_noise_better_at_every_rate():
    for rate in RATES:
        arms = (by_noise(13, residual, rate)[:, 3] for residual in (True, False))
        gain = results.difference(*arms)
        assert gain.mean > 0.02 and gain.sure


@pytest.mark.parametrize("epochs", [20, 60])
def test_depth_costs_the_plain_network_alone(epochs):
    residual = [accuracy(d, True, epochs) for d in (7, 13, 25, 49)]
    plain = [accuracy(d, False, epochs) for d in (7, 13, 25, 49)]
    assert max(residual) - min(residual) < 0.03
    assert plain == sorted(plain, reverse=True) and plain[0] - plain[-1] > 0.2


def test_tensorflow_shows_the_same_at_25_layers():
    for residual in (True, False):
        pair = [
            accuracy(25, residual, 20, framework=framework) for framework in ("torch", "tensorflow")
        ]
        assert abs(pair[0] - pair[1]) < 0.05, (residual, pair)


def test_every_arm_by_depth_has_the_rate_that_its_search_found():
    for row in results.runs("speech", training="clean"):
        place = {key: row[key] for key in ("depth", "residual", "epochs")}
        tried = results.runs("speech", part="search", **place)
        scores = {r["learning_rate"]: r["score"] or [-1.0] for r in tried}
        assert {0.001, 0.003, 0.01, 0.03} <= set(scores)
        assert row["learning_rate"] == max(scores, key=scores.__getitem__), place


def test_features_of_the_plain_network_serve_strangers_no_better_than_random_ones():
    def told_apart(residual, rate, kind="strangers"):
        of = {"training": "six speakers", "residual": residual, "learning_rate": rate}
        return results.column("speech", kind, **of)

    evened = "strangers, real frames, one scale"
    for rate in RATES:
        gain = results.difference(told_apart(True, rate), told_apart(False, rate))
        assert gain.sure and gain.mean > 0.05
        assert told_apart(False, rate).mean() < told_apart(False, 0.0, evened).mean() + 0.1


def test_disturbances_leave_the_padding_alone():
    x, lengths = np.zeros((2, 5, 3), np.float32), np.array([5, 2])
    for disturb in (noisy, shifted):
        found = disturb(x, lengths, 1.0, 0)
        assert (found[1, 2:] == 0).all() and (found[0] != 0).all()
        assert (disturb(x, lengths, 0.0, 0) == x).all()
    frames = shifted(x, lengths, 1.0, 0)
    assert np.ptp(frames[0], axis=0).max() == 0 and (frames[0, 0] != frames[1, 0]).all()
    assert np.ptp(noisy(x, lengths, 1.0, 0)[0], axis=0).min() > 0
