"""Notebooks are run as a reader has them: the wheel, the page's extras, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from tools import notebooks
from tools.extras import ROOT


@pytest.fixture(scope="module")
def reader(tmp_path_factory):
    """Return a function that runs code in the folder of a page, and the folder of all pages."""
    folder = tmp_path_factory.mktemp("reader").resolve()
    sources = {"plain": "import companion.book.results", "pytorch": "import companion.torch"}
    pages = []
    for name, source in sources.items():
        pages.append(tmp_path_factory.mktemp("written") / f"{name}.ipynb")
        cells = [{"cell_type": "code", "source": [source]}]
        pages[-1].write_text(json.dumps({"cells": cells}), "utf-8")
    environment, copies = notebooks.prepare(folder, pages)

    def run(name: str, code: str) -> subprocess.CompletedProcess[str]:
        (copy,) = [copy for copy in copies if copy.stem == name]
        assert os.listdir(copy.parent) == [copy.name]
        command = [sys.executable, "-c", code]
        return subprocess.run(
            command, cwd=copy.parent, env=environment, capture_output=True, text=True
        )

    return run, folder


def test_the_package_is_the_wheels_and_the_checkout_is_out_of_reach(reader):
    run, folder = reader
    code = "import companion, sys; print(companion.__file__); print(sys.path)"
    file, path = run("plain", code).stdout.splitlines()
    assert file == str(folder / "site" / "companion" / "__init__.py")
    assert not [place for place in eval(path) if place and os.path.realpath(place) == str(ROOT)]
    assert run("plain", "import tools").returncode and run("plain", "import tests").returncode


def test_what_pages_read_comes_with_the_wheel(reader):
    code = "from companion.book import pages, results, claims; print(pages.FOLDER)\n"
    code += "assert results.runs('depth') and claims.ledger()\n"
    code += "assert (pages.FOLDER / 'references.bib').is_file()"
    ran = reader[0]("plain", code)
    assert ran.stdout.startswith(str(reader[1] / "site")), ran.stderr


@pytest.mark.parametrize(
    "page, code, found",
    [
        ("plain", "import matplotlib, scipy, IPython, ipykernel", True),
        ("plain", "import torch", False),
        ("pytorch", "import torch, tqdm, safetensors", True),
        ("pytorch", "import tensorflow", False),
        ("pytorch", "import sklearn", False),
        ("pytorch", "from importlib.metadata import version; version('torch')", True),
        ("pytorch", "from importlib.metadata import version; version('keras')", False),
        ("pytorch", "from importlib.util import find_spec; assert not find_spec('keras')", True),
    ],
)
def test_a_page_has_what_its_extras_bring_and_no_more(page, code, found, reader):
    ran = reader[0](page, code)
    assert (ran.returncode == 0) == found, ran.stderr
    assert found or "NotFoundError" in ran.stderr


def test_a_package_from_elsewhere_ends_the_process(reader, tmp_path):
    run, folder = reader
    site = folder / "site" / "companion"
    site.rename(tmp_path / "companion")
    try:
        ran = run("plain", "print('went on')")
    finally:
        (tmp_path / "companion").rename(site)
    assert ran.returncode and "not from its wheel" in ran.stderr and "went on" not in ran.stdout


def test_extras_bring_what_their_packages_need():
    assert {"numpy", "ipykernel", "tornado"} <= notebooks.brought([])
    assert "torch" not in notebooks.brought(["figures"])
    assert {"torch", "sympy", "tqdm"} <= notebooks.brought(["torch"])
    assert {"keras", "h5py", "safetensors"} <= notebooks.brought(["tensorflow"])


def test_without_a_notebook_it_says_how(capsys):
    assert notebooks.main(["-q"]) == 2
    assert "NOTEBOOK" in capsys.readouterr().err
