"""What every stored run shares: rows that outlive an interruption, and one search of rates.

A script makes its :class:`Runs`, asks for one row after another, and stores them at the end::

    runs = common.Runs("depth", __file__)
    rate = runs.best_rate(score, common.SGD_RATES, depth=56, residual=True)
    runs.row(lambda: trained(rate, seed=0), depth=56, residual=True, seed=0, learning_rate=rate)
    runs.store()

Started again with ``--resume``, it takes the rows that are there and measures the others.
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from companion import _checks, _files
from companion.book import results
from companion.measures import cpu_seconds

__all__ = [
    "ADAM_RATES",
    "RESULTS",
    "SGD_RATES",
    "Runs",
    "best_rate",
    "cpu_seconds",
    "noted",
    "store",
]

RESULTS = results.FOLDER
#: Where a search begins, two to a decade; it goes on where the best lies at an edge.
SGD_RATES = (0.01, 0.03, 0.1, 0.3)
ADAM_RATES = (0.001, 0.003, 0.01, 0.03)
#: Of the search, so that no run that is reported was part of the choice.
SEARCH_SEEDS = (7,)
#: How far a search may go beyond either edge of the rates that it began with.
WIDER = 3

Score = float | tuple[float, ...]


def best_rate(
    score: Callable[[float, int], Score],
    rates: tuple[float, ...],
    seeds: tuple[int, ...] = SEARCH_SEEDS,
) -> tuple[float, dict[float, tuple[float, ...]]]:
    """Return the learning rate with the highest mean score, and the mean scores of all tried.

    While the best is the smallest or the largest rate tried, the next one on that side is tried
    too, at most three to a side. Every arm of an experiment is searched by the same call.

    Parameters
    ----------
    score: of a rate and a seed, on a validation part; higher is better. A tuple is compared entry
        by entry, as (accuracy, -loss). A ``FloatingPointError`` counts as the worst of all.
    rates: where the search begins: four or more neighbours of 0.001, 0.003, 0.01, 0.03, ...
    seeds: over which the scores are averaged, default one that no reported run has.

    Raises
    ------
    ValueError: fewer than four rates, or rates that are no neighbours.
    """
    _checks.positive_int("number of rates", len(rates), minimum=4)
    if any(not math.isclose(_above(a), b) for a, b in zip(rates, rates[1:], strict=False)):
        raise ValueError(f"rates must be neighbours in 0.001, 0.003, 0.01, ..., got {rates}")
    found = {rate: _mean(score, rate, seeds) for rate in rates}
    left = {_below: WIDER, _above: WIDER}
    while True:
        best = max(found, key=found.__getitem__)
        side = {min(found): _below, max(found): _above}.get(best)
        if side is None or not left[side]:
            break
        left[side] -= 1
        found[side(best)] = _mean(score, side(best), seeds)
    return best, dict(sorted(found.items()))


def _mean(
    score: Callable[[float, int], Score], rate: float, seeds: tuple[int, ...]
) -> tuple[float, ...]:
    scores = []
    for seed in seeds:
        try:
            value = score(rate, seed)
        except FloatingPointError:  # the loss is no number any more
            return (-math.inf,)
        scores.append(value if isinstance(value, tuple) else (value,))
    return tuple(sum(entry) / len(scores) for entry in zip(*scores, strict=True))


def _above(rate: float) -> float:
    """Return the next of 1, 3, 10, 30, ... times a power of ten."""
    power = math.floor(math.log10(rate) + 1e-9)
    return float(f"{3 * 10.0**power if rate < 2 * 10.0**power else 10.0 ** (power + 1):.0e}")


def _below(rate: float) -> float:
    power = math.floor(math.log10(rate) + 1e-9)
    return float(f"{10.0**power if rate > 2 * 10.0**power else 3 * 10.0 ** (power - 1):.0e}")


class Runs:
    """Rows of one stored run, kept on disk as they come, so that an interruption loses none.

    Parameters
    ----------
    name: of the file in companion/book/runs, without ".json".
    script: the path of the module that makes the rows.
    resume: take the rows that are there; by default whether the command line has ``--resume``.
    folder: of the files, by default companion/book/runs.
    """

    def __init__(
        self, name: str, script: str, resume: bool | None = None, folder: Path | None = None
    ):
        self.name, self.rows = name, list[dict[str, Any]]()
        self.folder = RESULTS if folder is None else folder
        self.script = f"companion/book/experiments/{Path(script).name}"
        self.processors: list[str] = []
        self._partial = self.folder / f"{name}.partial"
        self._there: list[dict[str, Any]] = []
        if resume if resume is not None else "--resume" in sys.argv:
            self._take_up()
        else:
            self._partial.unlink(missing_ok=True)

    def _take_up(self) -> None:
        path = self.folder / f"{self.name}.json"
        if path.is_file():
            found = _files.read_json(path)
            facts = found["facts"]
            known = facts.get("processors", [facts.get("processor")])  # old runs have none
            self.processors = [name for name in known if name]
            self._there = found["runs"]
        if self._partial.is_file():
            self._there += map(json.loads, self._partial.read_text("utf-8").splitlines())

    def row(self, make: Callable[[], dict[str, Any]], **place: Any) -> dict[str, Any]:
        """Return the row at this place: one that is there already, or what ``make`` measures.

        A place without a ``part`` is none of a row that has one: a score of the search is no run.
        """
        wanted = {"part": None, **place}
        known = (r for r in self._there if all(r.get(k) == v for k, v in wanted.items()))
        row = next(known, None)
        if row is None:
            row = {**place, **make()}
            print(row, flush=True)
            with self._partial.open("a", encoding="utf-8") as partial:
                partial.write(json.dumps(row) + "\n")
        self.rows.append(row)
        return row

    def best_rate(
        self,
        score: Callable[[float, int], Score],
        rates: tuple[float, ...],
        seeds: tuple[int, ...] = SEARCH_SEEDS,
        **place: Any,
    ) -> float:
        """Search a learning rate as :func:`best_rate` does, and keep each score as a row.

        The rows have ``part="search"``, the place, ``learning_rate``, ``seed`` and ``score``
        (``None`` where the run diverged).
        """

        def kept(rate: float, seed: int) -> Score:
            def make() -> dict[str, Any]:
                try:
                    value = score(rate, seed)
                except FloatingPointError:
                    return {"score": None}
                value = value if isinstance(value, tuple) else (value,)
                return {"score": [round(float(entry), 5) for entry in value]}

            at = {"part": "search", **place, "learning_rate": rate, "seed": seed}
            found = self.row(make, **at)["score"]
            if found is None:
                raise FloatingPointError
            return tuple(found)

        return best_rate(kept, rates, seeds)[0]

    def store(self, keep: bool = False, **more: Any) -> None:
        """Write all rows, atomically; ``more`` are further facts.

        Where rows of an earlier call were taken up, the facts name every processor that made any.

        Parameters
        ----------
        keep: whether to write also those that were taken up and not asked for, default False.
        """
        if keep:
            self.rows += [row for row in self._there if row not in self.rows]
        if self._there:
            now = results.machine()["processor"]
            more["processors"] = sorted({*self.processors, now})
        results.store(self.folder / f"{self.name}.json", self.script, self.rows, **more)
        self._partial.unlink(missing_ok=True)


def noted(runs: list[dict[str, Any]], **row: Any) -> None:
    """Add the row of a run to those that will be stored, and print it, for the log."""
    print(row, flush=True)
    runs.append(row)


def store(name: str, script: str, runs: list[dict[str, Any]], **more: Any) -> None:
    """Write the runs to companion/book/runs/name.json, atomically; ``more`` are further facts."""
    results.store(RESULTS / f"{name}.json", script, runs, **more)
