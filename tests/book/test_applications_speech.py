"""The stored runs on speech say what their page says of them."""

from __future__ import annotations

import numpy as np
import pytest

from tests.book.test_page_numbers import mean, runs

CLEAN = {"framework": "torch", "training": "clean"}


def accuracy(depth, residual, epochs, **which):
    of = {"depth": depth, "residual": residual, "epochs": epochs, **{**CLEAN, **which}}
    return mean("test_accuracy", "speech", **of)


def by_noise(depth, residual, rate):
    """Mean accuracy at each level of noise, over six seeds."""
    found = [
        r["by_noise"]
        for r in runs("speech_noise", depth=depth, residual=residual, learning_rate=rate)
    ]
    assert len(found) == 6
    return np.mean(found, axis=0)


def test_accuracy_gains_by_depth_and_robustness_is_apart():
    assert abs(accuracy(7, True, 60) - accuracy(7, False, 60)) < 0.02
    assert accuracy(49, True, 60) > accuracy(49, False, 60) + 0.2
    # Equal without noise; under noise the learning rate changes more than the shortcut does.
    for depth in (7, 13):
        arms = {
            (r, rate): by_noise(depth, r, rate) for r in (True, False) for rate in (0.003, 0.03)
        }
        clean = [curve[0] for curve in arms.values()]
        assert max(clean) - min(clean) < 0.03
        by_rate = np.mean([arms[r, 0.03][4] - arms[r, 0.003][4] for r in (True, False)])
        by_shortcut = np.mean([arms[True, x][4] - arms[False, x][4] for x in (0.003, 0.03)])
        assert by_rate > 2 * by_shortcut and by_rate > 0.15


@pytest.mark.parametrize("epochs", [20, 60])
def test_depth_costs_the_plain_network_alone(epochs):
    residual = [accuracy(d, True, epochs) for d in (7, 13, 25, 49)]
    plain = [accuracy(d, False, epochs) for d in (7, 13, 25, 49)]
    assert max(residual) - min(residual) < 0.03
    assert plain == sorted(plain, reverse=True) and plain[0] - plain[-1] > 0.2


def test_tensorflow_shows_the_same_at_13_and_25_layers():
    for depth in (13, 25):
        for residual in (True, False):
            pair = [
                accuracy(depth, residual, 20, framework=framework)
                for framework in ("torch", "tensorflow")
            ]
            assert abs(pair[0] - pair[1]) < 0.05, (depth, residual, pair)


def test_every_arm_chose_its_rate_from_the_same_three():
    assert {r["learning_rate"] for r in runs("speech")} <= {0.003, 0.01, 0.03}
