"""Measure how long each notebook runs: python -m tools.run_times [NOTEBOOK ...]

Each is run once, from the start of its kernel to its last cell, and nothing is written into it.
What counts is processor time, of the kernel and of all that it starts: it says how long a page
takes on one core, also where other programs were at work. The pages show what is stored here.
"""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from tests.limits import HANG_SECONDS
from tools.processor import processor

BOOK = Path(__file__).resolve().parents[1] / "book"
STORED = BOOK / "run_times.json"


def children_seconds() -> float:
    """Return the processor time of all processes that were started here and have ended."""
    used = os.times()
    return used.children_user + used.children_system


def measure(notebook: Path) -> float:
    """Run a notebook from its start; return the seconds of processor time.

    Raises
    ------
    nbclient.exceptions.CellExecutionError: a cell failed, and its time would be of half a page.
    """
    cells = nbformat.read(notebook, as_version=4)
    before = children_seconds()
    client = NotebookClient(
        cells,
        timeout=HANG_SECONDS,
        startup_timeout=HANG_SECONDS,
        kernel_name="python3",
        resources={"metadata": {"path": str(notebook.parent)}},
    )
    client.execute()
    return round(children_seconds() - before, 1)


def store(seconds: dict[str, float], target: Path = STORED) -> None:
    """Put measured seconds, by a page's name such as ``book/02_idea``, beside those that are kept.

    Seconds of another kind of processor are not kept: a table has to be of one machine.
    """
    kept = json.loads(target.read_text("utf-8")) if target.exists() else {}
    same = kept.get("processor") == processor()
    merged = {**(kept["seconds"] if same else {}), **seconds}
    told = {"processor": processor(), "seconds": dict(sorted(merged.items()))}
    target.write_text(json.dumps(told, indent=1) + "\n", "utf-8")


def main(names: list[str]) -> None:
    """Measure these notebooks, or all of the book."""
    for notebook in map(Path, names or sorted(BOOK.glob("*.ipynb"))):
        page = f"book/{notebook.stem}"
        seconds = measure(notebook.resolve())
        store({page: seconds})
        print(f"{page}: {seconds:.1f} s", flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])
