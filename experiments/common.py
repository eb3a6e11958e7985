"""What every stored run shares: CPU time, and results with the machine's facts."""

from __future__ import annotations

import platform
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import Any

from companion import _files

RESULTS = Path(__file__).resolve().parent.parent / "book" / "results"


@contextmanager
def cpu_seconds() -> Iterator[list[float]]:
    """Yield a list that holds the process's CPU seconds once the block ends."""
    spent: list[float] = []
    start = time.process_time()
    yield spent
    spent.append(time.process_time() - start)


def noted(runs: list[dict[str, Any]], **row: Any) -> None:
    """Add the row of a run to those that will be stored, and print it, for the log."""
    print(row, flush=True)
    runs.append(row)


def store(name: str, script: str, runs: list[dict[str, Any]], **more: Any) -> None:
    """Write the runs to book/results/name.json, whole or not at all; ``more`` are further facts."""
    packages = ("numpy", "torch", "keras", "mlxtend")
    facts = {
        "script": script,
        "python": platform.python_version(),
        "system": platform.system(),
        "machine": platform.machine(),
        "threads": 1,
        "versions": {package: version(package) for package in packages},
        **more,
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    _files.write_json(RESULTS / f"{name}.json", {"facts": facts, "runs": runs})
