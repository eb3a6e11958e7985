"""The cell that installs what a page needs: silent where nothing is missing, honest where it is."""

from __future__ import annotations

import importlib.util
import json
import subprocess
import sys
from pathlib import Path

import pytest
from published import with_address

from tools import first_cell
from tools.extras import ROOT, extras

NOTEBOOKS = sorted((ROOT / "book").glob("*.ipynb"))
EVERYTHING = ["figures", "torch", "keras", "tensorflow", "language"]
ADDRESS = "https://book.example/archive/0123.zip"


def filled(needed: list[str], address: str) -> str:
    cells = [{"cell_type": "code", "id": first_cell.ID}]
    text = with_address(first_cell.with_cell(json.dumps({"cells": cells}), needed), address)
    return "".join(json.loads(text)["cells"][0]["source"])


@pytest.fixture
def run(monkeypatch, capsys):
    """Return a function that runs a cell where modules are missing: what it installs and says."""

    def running(source: str, *missing: str) -> tuple[list[list[str]], str]:
        installs: list[list[str]] = []
        here = {*first_cell.MODULES.values(), "companion"} - set(missing)
        with monkeypatch.context() as patch:
            patch.setattr(importlib.util, "find_spec", lambda name: True if name in here else None)
            patch.setattr(subprocess, "check_call", installs.append)
            exec(source, {})
        return installs, capsys.readouterr().out

    return running


def test_every_notebook_has_the_cell_that_its_page_needs():
    """If not: python -m tools.first_cell."""
    assert list(first_cell.outdated()) == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_the_cell_is_not_shown_and_has_nothing_to_say_here(path):
    page = json.loads(path.read_text("utf-8"))
    first = next(cell for cell in page["cells"] if cell["cell_type"] == "code")
    assert first["metadata"]["tags"] == ["remove-cell"] and first["outputs"] == []


def test_where_all_is_there_it_does_nothing(run):
    assert run(filled(EVERYTHING, "")) == run(filled(EVERYTHING, ADDRESS)) == ([], "")


@pytest.mark.parametrize("missing", ["companion", "matplotlib", "torch", "babel"])
def test_it_installs_what_is_missing_and_says_so_in_one_line(run, missing):
    installs, said = run(filled(EVERYTHING, ADDRESS), missing)
    wanted = f"residual-companion[figures,torch,keras,language] @ {ADDRESS}"
    (command,) = installs
    assert command[:3] == [sys.executable, "-m", "pip"] and command[-1] == wanted
    assert said.count("\n") == 1 and said.startswith(
        wanted.replace(" @", " from").join(("installing ", ", once"))
    )


def test_a_tensorflow_that_is_there_is_not_put_again_under_its_other_name(run):
    (command,) = run(filled(EVERYTHING, ADDRESS), "companion", "torch")[0]
    assert "tensorflow" not in command[-1] and "keras" in command[-1]
    (command,) = run(filled(EVERYTHING, ADDRESS), "companion", "tensorflow")[0]
    assert "[figures,torch,keras,tensorflow,language]" in command[-1]


def test_a_copy_without_an_address_says_how_and_installs_nothing_from_an_index(run):
    said = r"in the book's checkout run: pip install '\.\[figures,torch\]'"
    with pytest.raises(ModuleNotFoundError, match=said):
        run(filled(["figures", "torch"], ""), "companion")


def test_triton_comes_before_tensorflow_and_is_left_alone_without_it(tmp_path, monkeypatch):
    (tmp_path / "triton.py").write_text("")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "triton", raising=False)  # the real one comes back afterwards
    try:
        for needed, loaded in ((["torch"], False), (["torch", "keras", "tensorflow"], True)):
            exec(filled(needed, ""), {})
            assert ("triton" in sys.modules) == loaded
    finally:
        sys.modules.pop("triton", None)  # other tests of this process must not find the empty one


def test_another_first_cell_is_not_overwritten():
    cells = [{"cell_type": "code", "id": "mine"}]
    with pytest.raises(ValueError, match="needs-package"):
        first_cell.with_cell(json.dumps({"cells": cells}), [])
    with pytest.raises(ValueError, match="needs-package"):
        first_cell.with_cell('{"cells": []}', [])


def test_check_names_what_is_outdated_and_writes_nothing(tmp_path, monkeypatch, capsys):
    page = tmp_path / "book" / "page.ipynb"
    page.parent.mkdir()
    cells = [{"cell_type": "code", "id": first_cell.ID, "source": ["import this"]}]
    page.write_text(json.dumps({"cells": cells}), "utf-8")
    monkeypatch.setattr(first_cell, "ROOT", tmp_path)
    monkeypatch.setattr(first_cell.outdated, "__defaults__", (page.parent,))
    before = page.read_text("utf-8")
    assert first_cell.main(["--check"]) == 1 and page.read_text("utf-8") == before
    assert capsys.readouterr().out == f"{Path('book', 'page.ipynb')}\n"
    assert first_cell.main([]) == 0 and page.read_text("utf-8") != before
    assert first_cell.main(["--check"]) == 0 and first_cell.main(["--chekc"]) == 2


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_every_extra_of_a_page_has_a_module_that_shows_it(path):
    assert set(extras(path)) <= set(first_cell.MODULES)
