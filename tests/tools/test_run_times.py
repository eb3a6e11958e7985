"""How long pages run: measured, kept with the machine, and what the pages say of it."""

from __future__ import annotations

import json
import re

import nbformat
import pytest

from tools import run_times
from tools.run_times import BOOK, STORED, measure, store

NOTEBOOKS = sorted(BOOK.glob("*.ipynb"))
KEPT = json.loads(STORED.read_text("utf-8"))["seconds"]


def written(folder, source: str):
    notebook = nbformat.v4.new_notebook(cells=[nbformat.v4.new_code_cell(source)])
    path = folder / "x.ipynb"
    nbformat.write(notebook, path)
    return path


def test_a_notebook_is_measured_and_not_touched(tmp_path):
    busy = "import time\nwhile time.process_time() < 2: pass"
    path = written(tmp_path, busy)
    before = path.read_bytes()
    assert 2 <= measure(path) < 60
    assert path.read_bytes() == before


def test_a_cell_that_fails_is_no_measurement(tmp_path):
    with pytest.raises(Exception, match="ZeroDivisionError"):
        measure(written(tmp_path, "1 / 0"))


def test_times_are_of_one_kind_of_processor(tmp_path, monkeypatch):
    target = tmp_path / "times.json"
    monkeypatch.setattr(run_times, "processor", lambda: "one")
    store({"book/b": 2.0}, target)
    store({"book/a": 1.0}, target)
    assert json.loads(target.read_text("utf-8"))["seconds"] == {"book/a": 1.0, "book/b": 2.0}
    monkeypatch.setattr(run_times, "processor", lambda: "another")
    store({"book/a": 3.0}, target)
    told = json.loads(target.read_text("utf-8"))
    assert told == {"processor": "another", "seconds": {"book/a": 3.0}}


def test_what_was_measured_are_notebooks_of_the_book():
    assert KEPT and set(KEPT) <= {f"book/{path.stem}" for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_no_page_types_its_own_time(path):
    """It stands below the title, from a measurement."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    assert not re.search(r"page(?:'s| runs in)[^.]*\b(?:seconds|minutes?)\b", text)


def test_applications_run_as_fast_as_their_overview_says():
    overview = (BOOK / "06_applications.md").read_text("utf-8")
    assert "each page runs on one core in about a minute" in overview
    times = [seconds for page, seconds in KEPT.items() if page.startswith("book/06_")]
    assert times and max(times) < 90
