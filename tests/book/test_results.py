"""Rows of stored runs are found, and only those that were asked for."""

from __future__ import annotations

import json

import numpy as np
import pytest

from companion.book import results


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    rows = [
        {"seed": seed, "arm": arm, "score": seed + 10 * (arm == "b")}
        for arm in "ba"
        for seed in (2, 0, 1)
    ]
    written = {"facts": {"script": "companion/book/experiments/some.py"}, "runs": rows}
    (tmp_path / "some.json").write_text(json.dumps(written))
    (tmp_path / "torn.json").write_text('{"facts": ')
    return tmp_path


def test_rows_come_by_what_they_say_and_seeds_in_order(folder):
    assert [r["seed"] for r in results.runs("some", arm="a")] == [0, 1, 2]
    assert results.column("some", "score", arm="b").tolist() == [10, 11, 12]
    assert len(results.runs("some")) == 6
    assert results.facts("some") == {"script": "companion/book/experiments/some.py"}


def test_what_is_not_there_is_refused(folder):
    for call, match in (
        (lambda: results.runs("other"), "name must be one of.*some"),
        (lambda: results.runs("torn"), "damaged"),
        (lambda: results.runs("some", arm="c"), "which must choose"),
        (lambda: results.column("some", "loss"), "key must be one of.*score"),
        (lambda: results.mean_std([1.0]), "number of values"),
    ):
        with pytest.raises(ValueError, match=match):
            call()
    (folder / "torn.json").write_text("{}")
    with pytest.raises(ValueError, match="damaged"):
        results.facts("torn")


def test_a_spread_is_mean_and_deviation_of_the_sample():
    assert results.mean_std([1, 2, 3]) == "2.00 ± 1.00"
    assert results.mean_std(np.array([1.0, 1.5]), digits=1) == "1.2 ± 0.4"


def test_the_error_of_a_mean_is_the_deviation_over_the_root_of_the_number():
    assert results.mean_error([1, 2, 3, 4]) == "2.50 ± 0.65"  # 1.29 / 2
    with pytest.raises(ValueError, match="number of values"):
        results.mean_error([1.0])


def test_a_difference_is_taken_pair_by_pair():
    found = results.difference([3.0, 5.0, 4.0], [1.0, 4.0, 4.0])
    assert (found.mean, found.ahead, found.pairs) == (1.0, 2, 3)
    assert found.error == pytest.approx(1 / 3**0.5)
    # Student's t of two degrees of freedom in tables: 4.303.
    assert found.margin == pytest.approx(4.303 / 3**0.5, rel=1e-4)
    assert not found.sure
    assert str(found) == "+1.000 ± 0.577"
    assert results.difference([2, 3], [1, 2]).sure  # every pair differs alike
    assert results.difference([1, 2], [2, 3]).sure
    assert not results.difference([1, 2], [1, 2]).sure
    for treated, control in (([1, 2], [1, 2, 3]), ([1], [2]), ([[1, 2]], [[1, 2]])):
        with pytest.raises(ValueError, match=r"treated and control|number of pairs"):
            results.difference(treated, control)
