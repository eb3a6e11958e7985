"""Which extras a page needs is read from its imports, those of our own modules with them."""

from __future__ import annotations

import json
import tomllib

import pytest

from tools import extras

PROJECT = tomllib.loads((extras.ROOT / "pyproject.toml").read_text("utf-8"))["project"]


def needs(tmp_path, *sources: str) -> list[str]:
    cells = [{"cell_type": "code", "id": "needs-package", "source": ["import keras\n"]}]
    cells += [{"cell_type": "code", "source": s.splitlines(keepends=True)} for s in sources]
    cells.append({"cell_type": "markdown", "source": ["import torch"]})
    path = tmp_path / "page.ipynb"
    path.write_text(json.dumps({"cells": cells}), "utf-8")
    return extras.extras(path)


@pytest.mark.parametrize(
    "source, needed",
    [
        ("import numpy as np\nfrom companion import data, reference", []),
        ("import torch.nn.functional as F", ["torch"]),
        ("import companion.torch as ct", ["torch"]),
        ("from companion import torch", ["torch"]),
        ("from keras import layers", ["keras", "tensorflow"]),
        ("from companion.tensorflow.probes import residual_blocks", ["keras", "tensorflow"]),
        ("from companion.book import claims", ["figures"]),
        ("def show():\n    import pybtex", ["references"]),
        # through a module of ours
        ("from companion.book.experiments.convergence import TARGET", ["figures", "torch"]),
        # looked for when the function is called
        ("from companion import data\ndata.brain()", ["medical"]),
        ("from companion.data import dates", ["language"]),
        ("speech.data.brain()", []),
    ],
)
def test_what_a_page_needs(source, needed, tmp_path):
    assert needs(tmp_path, source) == needed


def test_all_cells_count_and_the_order_is_the_same(tmp_path):
    sources = ["import keras", "import matplotlib"]
    expected = ["figures", "keras", "tensorflow"]
    assert needs(tmp_path, *sources) == needs(tmp_path, *reversed(sources)) == expected


def test_every_extra_is_one_of_the_package():
    named = {extra for found in extras.EXTRAS.values() for extra in found}
    named |= set(extras.DATA.values())
    assert named | {"all"} == set(PROJECT["optional-dependencies"])


def test_all_is_all():
    lines = PROJECT["optional-dependencies"]["all"]
    found = {e for line in lines for e in line.partition("[")[2].rstrip("]").split(",")}
    assert found | {"all", "keras"} == set(PROJECT["optional-dependencies"])  # tensorflow's own
