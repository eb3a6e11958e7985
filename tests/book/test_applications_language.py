"""The stored runs on language say what their page says of them."""

from __future__ import annotations

import pytest

from tests.book.test_page_numbers import mean, runs

LSTM = {"model": "lstm", "framework": "torch"}


def test_shortcuts_help_depth_and_not_distance():
    gain = {
        depth: mean("exact", "language", arm="residual", depth=depth, **LSTM)
        - mean("exact", "language", arm="plain", depth=depth, **LSTM)
        for depth in (1, 4, 6)
    }
    assert gain[6] > 0.2 and gain[4] > 0.2
    far = {"model": "lstm", "distance": 80, "depth": 3}
    for arm in ("plain", "residual"):
        assert mean("characters", "recall", distance=5, model="lstm", depth=3, arm=arm) > 0.95
        assert mean("characters", "recall", arm=arm, **{**far, "distance": 80}) < 0.2
    for arm in ("none", "pre"):
        chosen = {"model": "transformer", "arm": arm, "distance": 80}
        assert mean("characters", "recall", **chosen) > 0.95


@pytest.mark.parametrize("depth", [4, 12])
def test_without_shortcuts_no_transformer_learns(depth):
    def exact(arm):
        return mean("exact", "language", model="transformer", arm=arm, depth=depth)

    assert exact("none") < 0.05


def test_tensorflow_shows_the_same_at_four_layers():
    for arm in ("plain", "residual"):
        pair = [
            mean("exact", "language", model="lstm", framework=framework, arm=arm, depth=4)
            for framework in ("torch", "tensorflow")
        ]
        assert abs(pair[0] - pair[1]) < 0.2, (arm, pair)


def test_every_arm_chose_its_rate_from_the_same_two():
    rates = {r["learning_rate"] for r in runs("language")}
    assert rates <= {0.003, 0.01}
