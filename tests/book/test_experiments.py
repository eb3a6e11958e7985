"""Every stored run searches its rates in one way, and an interruption loses no row."""

from __future__ import annotations

import json
import math

import pytest

from companion.book import results
from companion.book.experiments import common

RATES = common.SGD_RATES


def peak(at):
    """A score that is highest at this rate."""
    return lambda rate, seed: -abs(math.log10(rate / at))


def test_a_best_rate_inside_is_taken_without_widening():
    best, scores = common.best_rate(peak(0.1), RATES)
    assert best == 0.1 and tuple(scores) == RATES


@pytest.mark.parametrize(
    ("at", "best", "further"),
    [
        (1.0, 1.0, (1.0, 3.0)),
        (0.003, 0.003, (0.001, 0.003)),
        (1e-6, 0.0003, (0.0003, 0.001, 0.003)),
        (1e6, 10.0, (1.0, 3.0, 10.0)),
    ],
)
def test_a_search_goes_on_beyond_an_edge_and_stops(at, best, further):
    found, scores = common.best_rate(peak(at), RATES)
    assert found == best and set(scores) == {*RATES, *further}


def test_scores_are_averaged_over_seeds_and_a_run_that_diverged_is_the_worst():
    def score(rate, seed):
        if rate > 0.2 and seed == 8:
            raise FloatingPointError
        return (round(rate, 1), -rate)  # equal accuracies: the smaller loss decides

    best, scores = common.best_rate(score, RATES, seeds=(7, 8))
    assert best == 0.1 and scores[0.3] == (-math.inf,)
    assert scores[0.01] == (0.0, -0.01)


@pytest.mark.parametrize(
    "rates", [(0.01, 0.1, 1.0, 10.0), (0.01, 0.03, 0.1), (0.02, 0.06, 0.2, 0.6)]
)
def test_other_rates_are_refused(rates):
    with pytest.raises(ValueError, match="rates"):
        common.best_rate(peak(0.1), rates)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    monkeypatch.setattr(results, "FOLDER", tmp_path)
    monkeypatch.setattr(common, "RESULTS", tmp_path)
    return tmp_path


def test_rows_outlive_an_interruption(folder):
    made = []

    def run(resume, stop=None):
        runs = common.Runs("some", "experiments/some.py", resume)
        for seed in range(3):
            if seed == stop:
                return None
            runs.row(lambda seed=seed: made.append(seed) or {"score": seed}, seed=seed)
        runs.store()
        return runs

    run(resume=False, stop=2)
    assert made == [0, 1] and not (folder / "some.json").exists()
    run(resume=True)
    assert made == [0, 1, 2]
    assert [r["score"] for r in results.runs("some")] == [0, 1, 2]
    assert results.facts("some")["script"] == "companion/book/experiments/some.py"
    assert len(results.facts("some")["processors"]) == 1
    assert not list(folder.glob("*.partial"))
    run(resume=True)
    assert made == [0, 1, 2]
    run(resume=False)
    assert made == [0, 1, 2, 0, 1, 2] and "processors" not in results.facts("some")


def test_a_score_of_the_search_is_not_taken_for_a_run(folder):
    at = {"learning_rate": 0.03, "seed": 7}
    runs = common.Runs("some", "some.py", resume=False)
    runs.best_rate(peak(0.03), RATES)
    runs.store()
    again = common.Runs("some", "some.py", resume=True)
    assert again.row(lambda: {"accuracy": 0.5}, **at) == {**at, "accuracy": 0.5}
    assert "accuracy" not in again.row(lambda: {"accuracy": 0.5}, part="search", **at)


def test_a_search_is_stored_with_its_scores(folder):
    runs = common.Runs("some", "some.py", resume=False)

    def score(rate, seed):
        if rate > 0.2:
            raise FloatingPointError
        return peak(0.03)(rate, seed)

    assert runs.best_rate(score, RATES, seeds=(7, 8), arm="a") == 0.03
    runs.store()
    rows = json.loads((folder / "some.json").read_text())["runs"]
    assert {(r["part"], r["arm"]) for r in rows} == {("search", "a")}
    assert [r["score"] for r in rows if r["learning_rate"] == 0.03] == [[0.0], [0.0]]
    assert [r["score"] for r in rows if r["learning_rate"] == 0.3] == [None]  # not tried again
