"""What every stored run shares: CPU time, and results with the machine's facts."""

from __future__ import annotations

from typing import Any

from companion.book import results
from companion.measures import cpu_seconds

__all__ = ["RESULTS", "cpu_seconds", "noted", "store"]

RESULTS = results.FOLDER


def noted(runs: list[dict[str, Any]], **row: Any) -> None:
    """Add the row of a run to those that will be stored, and print it, for the log."""
    print(row, flush=True)
    runs.append(row)


def store(name: str, script: str, runs: list[dict[str, Any]], **more: Any) -> None:
    """Write the runs to companion/book/runs/name.json, atomically; ``more`` are further facts."""
    results.store(RESULTS / f"{name}.json", script, runs, **more)
