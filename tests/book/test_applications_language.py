"""The stored runs on language say what their page says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import companion.torch as cp
from companion.book import results
from companion.book.experiments import common, warmup
from companion.book.experiments.language import Recall
from companion.data import dates
from companion.translation import Translation
from tests.book.test_page_numbers import mean

LSTM = {"model": "lstm", "framework": "torch"}
AT_20 = {"task": "recall", "model": "lstm", "distance": 20}


def gain_at_20(depth):
    """What a shortcut adds to what an LSTM recalls over 20 steps, over pairs."""
    arms = (
        results.column("recall", "characters", depth=depth, arm=arm, **AT_20)
        for arm in ("residual", "plain")
    )
    return results.difference(*arms)


def test_shortcuts_help_depth_and_not_distance():
    for depth in (4, 6):
        gain = mean("exact", "language", arm="residual", depth=depth, **LSTM)
        assert gain > mean("exact", "language", arm="plain", depth=depth, **LSTM) + 0.2
    alone = gain_at_20(1)
    assert alone.pairs >= 10 and not alone.sure
    far = {"task": "recall", "distance": 80}
    for arm in ("plain", "residual"):
        near = {"task": "recall", "model": "lstm", "distance": 5, "arm": arm}
        for depth in (1, 3):
            assert mean("characters", "recall", depth=depth, **near) > 0.95
        assert mean("characters", "recall", model="lstm", depth=1, arm=arm, **far) < 0.2
    for arm in ("none", "pre"):
        assert mean("characters", "recall", model="transformer", arm=arm, **far) > 0.95


@pytest.mark.parametrize("depth", [4, 12])
def test_without_shortcuts_no_transformer_learns(depth):
    of = {"model": "transformer", "framework": "torch", "depth": depth}
    assert mean("exact", "language", arm="none", **of) < 0.05
    assert mean("exact", "language", arm="pre", **of) > 0.4


def test_tensorflow_shows_the_same_at_four_layers():
    for arm in ("plain", "residual"):
        pair = [
            mean("exact", "language", model="lstm", framework=framework, arm=arm, depth=4)
            for framework in ("torch", "tensorflow")
        ]
        assert abs(pair[0] - pair[1]) < 0.2, (arm, pair)


def test_every_arm_of_recall_has_the_rate_that_its_search_found():
    reported = results.runs("recall", task="recall")
    for row in reported:
        place = {key: row[key] for key in ("model", "arm", "depth")}
        place["distance"] = 20 if row["model"] == "lstm" else 80
        searched: dict[float, list] = {}
        for found in results.runs("recall", part="search", **place):
            assert found["seed"] not in {r["seed"] for r in reported}
            searched.setdefault(found["learning_rate"], []).append(found["score"])
        assert set(searched) >= set(common.ADAM_RATES)
        best = max(searched, key=lambda rate: tuple(np.mean(searched[rate], axis=0)))
        assert row["learning_rate"] == best, place


def test_every_arm_of_the_dates_has_the_rate_that_its_search_found_at_its_depth():
    for row in results.runs("language"):
        if row.get("part") == "search":
            continue
        place = {key: row[key] for key in ("model", "arm", "depth")}
        tried = {
            r["learning_rate"]: r["score"] for r in results.runs("language", part="search", **place)
        }
        assert set(tried) >= set(common.ADAM_RATES)
        assert row["learning_rate"] == max(tried, key=lambda rate: tried[rate] or [-np.inf]), place


def test_recall_has_ten_lines_and_the_same_in_both_parts():
    task = Recall.over(20, 0)
    lines = {part.tobytes() for x in (task.x_train, task.x_test) for part in x}
    assert len(lines) == 10 and task.x_train.shape == (2560, 22)
    assert (task.y_train[:, -1] == task.x_train[:, 0]).all() and (task.y_train[:, :-1] == -1).all()


class Memory(torch.nn.Module):
    """Knows every test line by heart, but for one character of every third date."""

    def __init__(self, task):
        super().__init__()
        self.start, self.classes = task.start, task.num_classes
        self.known = {}
        for line, answer in zip(task.x_test, task.y_test, strict=True):
            told = torch.from_numpy(answer).clamp(min=0)
            if sum(line[: self.start]) % 3 == 0:  # of the source alone: equal lines stay equal
                told[-4] = task.num_classes - 1 - (told[-4] == task.num_classes - 1).long()
            self.known[tuple(line[: self.start])] = told

    def forward(self, lines):
        told = torch.stack([self.known[tuple(line[: self.start])] for line in lines.numpy()])
        return torch.nn.functional.one_hot(told, self.classes).float()


def test_one_pass_counts_the_dates_that_are_translated_without_a_fault():
    task = Translation.from_pairs(dates(size=600))
    model = Memory(task)
    expected = task.exact_match(lambda x: cp.predict(model, x), len(task.x_test))
    exact, characters, _ = warmup.right(model, task)
    assert 0.1 < exact < 0.9 and exact == pytest.approx(expected)
    assert exact < characters < 1
