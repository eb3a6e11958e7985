"""Exercises are numbered by chapter, say of what kind they are, and have a solution that runs."""

from __future__ import annotations

import copy
import json
import re
from pathlib import Path
from types import SimpleNamespace

import exercise_numbers
import pytest

BOOK = Path(__file__).resolve().parents[2] / "book"
TEXTS = {
    path.stem: "\n".join(
        "".join(c["source"])
        for c in json.loads(path.read_text("utf-8"))["cells"]
        if c["cell_type"] == "markdown"
    )
    for path in sorted(BOOK.glob("*.ipynb"))
}
PAGES = [stem for stem, text in TEXTS.items() if "```{exercise}" in text]


def environment():
    """What Sphinx has counted through the whole book, in the order of its pages."""
    pages = {"book/04_gradients": 2, "book/04_scale": 1, "book/06_images": 1, "book/costs": 2}
    numbers, last = {"book/welcome": {}}, 0
    for docname, count in pages.items():
        found = {f"{docname}-{i}": (last + i,) for i in range(1, count + 1)}
        numbers[docname] = {"exercise": found, "figure": {"a": (7,)}}
        last += count
    return SimpleNamespace(toc_fignumbers=numbers)


def test_numbers_begin_again_with_every_chapter_and_go_on_over_its_pages():
    env = environment()
    changed = exercise_numbers.number_by_chapter(None, env)
    assert changed == ["book/04_gradients", "book/04_scale", "book/06_images", "book/costs"]
    found = {
        id: n
        for kinds in env.toc_fignumbers.values()
        for id, n in kinds.get("exercise", {}).items()
    }
    assert list(found.values()) == [("4", 1), ("4", 2), ("4", 3), ("6", 1), ("C", 1), ("C", 2)]
    assert env.toc_fignumbers["book/costs"]["figure"] == {"a": (7,)}


def test_a_book_that_has_not_changed_is_not_written_again():
    env = environment()
    before = copy.deepcopy(env.toc_fignumbers)
    exercise_numbers.number_by_chapter(None, env)
    exercise_numbers.running_numbers(None, env)
    assert env.toc_fignumbers == before  # what Sphinx compares with
    assert exercise_numbers.number_by_chapter(None, env) == []


@pytest.mark.parametrize("page", PAGES)
def test_exercises_say_their_kind_and_have_a_solution(page):
    found = re.findall(r"```\{exercise\}\n:label: ([\w-]+)\n(\*\w+\.\*)", TEXTS[page])
    assert len(found) == TEXTS[page].count("```{exercise}") >= 3
    for label, kind in found:
        assert kind in ("*Recall.*", "*Derive.*", "*Modify.*", "*Investigate.*")
        assert TEXTS[page].count(f"```{{solution-start}} {label}\n") == 1
    assert found[0][1] == "*Recall.*"
