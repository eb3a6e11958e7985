"""Where rounding decides a number on a page, it is compared on the processor it was made on."""

from __future__ import annotations

import importlib.util
import json
from collections import defaultdict
from pathlib import Path
from types import SimpleNamespace

import pytest

from tools.processor import KEY, processor

ROOT = Path(__file__).resolve().parents[2]
TAG = "by-processor"


def conftest():
    spec = importlib.util.spec_from_file_location("root_conftest", ROOT / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize(
    ("tags", "made_on", "compared"),
    [
        ([TAG], processor(), True),
        ([TAG], "GenuineIntel AVX2", False),
        ([TAG], None, False),
        (["hide-input"], "GenuineIntel AVX2", True),
    ],
)
def test_cells_are_compared_where_they_can_be(tags, made_on, compared):
    notebook = SimpleNamespace(metadata={KEY: made_on} if made_on else {})
    cell = SimpleNamespace(metadata={"tags": tags})
    options = defaultdict(bool, check=True)
    item = SimpleNamespace(cell=cell, options=options, parent=SimpleNamespace(nb=notebook))
    conftest().pytest_collection_modifyitems([item, SimpleNamespace()])
    assert item.options["check"] is compared


def test_what_is_compared_nowhere_is_not_compared_here():
    notebook = SimpleNamespace(metadata={KEY: processor()})
    cell = SimpleNamespace(metadata={"tags": [TAG, "nbval-ignore-output"]})
    item = SimpleNamespace(cell=cell, options={"check": False}, parent=SimpleNamespace(nb=notebook))
    conftest().pytest_collection_modifyitems([item])
    assert item.options["check"] is False


def test_a_page_with_such_cells_says_where_it_was_made():
    for path in sorted((ROOT / "book").glob("*.ipynb")):
        notebook = json.loads(path.read_text("utf-8"))
        tags = {t for c in notebook["cells"] for t in c["metadata"].get("tags", ())}
        assert TAG not in tags or notebook["metadata"].get(KEY), path.name


def test_a_processor_is_a_maker_and_its_instructions():
    maker, instructions = processor().split()
    assert maker and instructions == instructions.upper()
