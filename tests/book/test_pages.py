"""The notebooks keep the book's own rules: short, executed, and free of what would change."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from companion.book import claims

BOOK = Path(__file__).resolve().parents[2] / "book"
NOTEBOOKS = sorted(BOOK.rglob("*.ipynb"))
SETTLING = {entry.claim.notebook for entry in claims.ledger().values()}


def cells(path: Path, kind: str) -> list[dict]:
    return [c for c in json.loads(path.read_text("utf-8"))["cells"] if c["cell_type"] == kind]


def test_there_are_notebooks():
    chapters = [
        "01_background",
        "02_idea",
        "02_stream",
        "03_algorithm",
        "04_gradients",
        "04_scale",
        "04_conditioning",
        "04_time",
        "05_code",
    ]
    assert {"welcome", *chapters} <= {path.stem for path in NOTEBOOKS}


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_code_cells_are_few_and_short(path):
    code = [c for c in cells(path, "code") if "remove-cell" not in c["metadata"].get("tags", ())]
    assert len(code) <= 25
    assert max(len("".join(cell["source"]).splitlines()) for cell in code) <= 25


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_every_cell_was_run_in_order_and_none_failed(path):
    code = cells(path, "code")
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    for output in (output for cell in code for output in cell["outputs"]):
        assert output["output_type"] != "error" and output.get("name") != "stderr"
        text = json.dumps(output)
        assert not re.search(r"0x[0-9a-f]{6,}|/home/|/root/|site-packages", text)


#: What belongs to making the book and not to what it teaches.
MACHINERY = ("claims.", "results.", "figures.", "Markdown(", "use_threads(", "TF_CPP_MIN_LOG_LEVEL")


@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda p: p.name)
def test_machinery_is_out_of_sight(path):
    for cell in cells(path, "code"):
        if not {"hide-input", "remove-cell"} & set(cell["metadata"].get("tags", ())):
            source = "".join(cell["source"])
            assert not [word for word in MACHINERY if word in source], source


def test_what_a_chapter_has():
    for path in NOTEBOOKS:
        if path.stem in ("welcome", "ledger", "sheet"):
            continue
        text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
        parts = (
            "In one minute",
            "What you will need",
            "Claims checked",
            "Exercises",
            "Going further",
        )
        for heading in parts:
            settles_none = heading == "Claims checked" and path.stem not in SETTLING
            assert settles_none != (f"## {heading}" in text), (path.name, heading)
        exercises = re.findall(r"\{exercise\}\n:label: (\S+)", text)
        assert len(exercises) >= 4, path.name
        assert exercises == re.findall(r"\{solution-start\} (\S+)", text)


def test_every_citation_has_an_entry_and_every_entry_a_citation():
    bibliography = (BOOK / "references.bib").read_text("utf-8")
    entries = re.findall(r"^@\w+\{([^,]+),", bibliography, re.M)
    texts = ["".join(cell["source"]) for path in NOTEBOOKS for cell in cells(path, "markdown")]
    texts += [
        "".join(output["data"].get("text/markdown", ""))
        for path in NOTEBOOKS
        for cell in cells(path, "code")
        for output in cell["outputs"]
        if "data" in output
    ]
    cited = {
        key.strip()
        for text in texts
        for keys in re.findall(r"\{cite\}`([^`]+)`", text)
        for key in keys.split(",")
    }
    assert sorted(entries) == sorted(set(entries)) and set(entries) == cited


def defined(path: Path) -> set[str]:
    """Return the names of a file's functions and classes, as Class.method where they are inside."""
    found = set()
    for node in ast.parse(path.read_text("utf-8")).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
            inside = (n for n in getattr(node, "body", ()) if isinstance(n, ast.FunctionDef))
            found |= {f"{node.name}.{inner.name}" for inner in inside}
    return found


def test_code_that_a_page_shows_is_there():
    seen = 0
    for path in NOTEBOOKS:
        text = "\n".join("".join(cell["source"]) for cell in cells(path, "markdown"))
        for file, options in re.findall(r"\{literalinclude\} (\S+)\n((?::.*\n)*)", text):
            source = path.parent / file
            assert source.is_file(), (path.name, file)
            for name in re.findall(r":pyobject: (\S+)", options):
                assert name in defined(source), (path.name, file, name)
                seen += 1
    assert seen > 20


def test_there_are_five_figures_to_turn():
    turned = [
        call
        for path in NOTEBOOKS
        for cell in cells(path, "code")
        for call in re.findall(r"figures\.(slider|selector)\(", "".join(cell["source"]))
    ]
    assert len(turned) >= 5 and set(turned) == {"slider", "selector"}


@pytest.mark.parametrize("command", ["", "train", "ledger"])
def test_the_page_on_the_command_line_shows_its_help(command):
    """Write the file again with: COLUMNS=80 python -m companion COMMAND --help > FILE."""
    arguments = [sys.executable, "-m", "companion", *command.split(), "--help"]
    shown = subprocess.run(
        arguments, env={**os.environ, "COLUMNS": "80"}, capture_output=True, text=True, check=True
    )
    stored = BOOK / "api" / f"help{'-' * bool(command)}{command}.txt"
    assert stored.read_text("utf-8") == shown.stdout


def test_pages_read_in_lab_as_they_do_on_the_site():
    command = [sys.executable, "-m", "jupyterlab.labextensions", "list"]
    listed = subprocess.run(command, capture_output=True, text=True, check=True)
    (line,) = [line for line in (listed.stdout + listed.stderr).splitlines() if "myst v" in line]
    assert "OK" in line
