"""The stored runs on images say what their page says of them, and the full script runs."""

from __future__ import annotations

import numpy as np
import pytest

from companion.data import digits8
from tests.book.test_page_numbers import mean, runs

DEPTHS = (8, 20, 32)


def accuracy(of, depth, residual, framework="torch", **which):
    place = {"of": of, "depth": depth, "residual": residual, "framework": framework}
    return mean("test_accuracy", "images", part="test", **place, **which)


def test_the_gain_grows_with_depth_and_with_difficulty():
    gain = [accuracy("depth", d, True) - accuracy("depth", d, False) for d in (8, 20, 32, 56)]
    assert abs(gain[0]) < 0.02 and gain[2] > 0.02 and gain[3] > 0.3
    levels = ("centred", "moved", "clutter", "more clutter")
    by_level = [
        accuracy("difficulty", 20, True, level=level)
        - accuracy("difficulty", 20, False, level=level)
        for level in levels
    ]
    assert by_level == sorted(by_level) and abs(by_level[0]) < 0.02 < 0.2 < by_level[-1]


def test_more_epochs_shrink_the_gain_on_cluttered_digits():
    for level in ("clutter", "more clutter"):
        six, eighteen = (
            accuracy(of, 20, True, level=level) - accuracy(of, 20, False, level=level)
            for of in ("difficulty", "longer")
        )
        assert six > 3 * abs(eighteen)


def test_tensorflow_shows_the_same_at_20_layers():
    for residual in (True, False):
        pair = [accuracy("depth", 20, residual, f) for f in ("torch", "tensorflow")]
        assert abs(pair[0] - pair[1]) < 0.02, (residual, pair)


def test_no_shortcut_and_no_branch_stands_out_at_this_budget():
    rows = runs("images", part="test", of="block")
    names = {r["network"] for r in rows}
    means = [np.mean([r["test_accuracy"] for r in rows if r["network"] == n]) for n in names]
    assert len(means) == 9 and max(means) - min(means) < 0.02


def test_every_network_chose_its_rate_from_the_same_three():
    assert {r["learning_rate"] for r in runs("images") if "learning_rate" in r} == {
        0.02,
        0.05,
        0.15,
    }
    assert mean("train_accuracy", "depth", framework="torch", depth=8, residual=False) > 0.9


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


@pytest.mark.parametrize(
    "framework", ["torch", pytest.param("tensorflow", marks=pytest.mark.exhaustive)]
)
def test_the_full_script_runs(framework, experiment, monkeypatch, capsys):
    """On 256 random images in the place of CIFAR-10, which would have to be downloaded."""
    from keras import datasets

    cifar10 = experiment("cifar10")
    rng = np.random.default_rng(0)
    part = (
        rng.integers(0, 256, (256, 32, 32, 3), np.uint8),
        rng.integers(0, 10, (256, 1), np.uint8),
    )
    monkeypatch.setattr(datasets.cifar10, "load_data", lambda: (part, part))
    data = cifar10.cifar10()
    assert np.abs(data.x_train.mean((0, 1, 2))).max() < 1e-4
    arguments = ["--framework", framework, "--depths", "8", "--epochs", "1", "--seeds", "0"]
    cifar10.main(arguments)
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [
        "8 layers, residual, seed 0",
        "8 layers, plain, seed 0",
    ]
