"""Exercises say of what kind they are, and have a solution that runs."""

from __future__ import annotations

import json
import re
from pathlib import Path

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


@pytest.mark.parametrize("page", PAGES)
def test_exercises_say_their_kind_and_have_a_solution(page):
    found = re.findall(r"```\{exercise\}\n:label: ([\w-]+)\n(\*\w+\.\*)", TEXTS[page])
    assert len(found) == TEXTS[page].count("```{exercise}") >= 3
    for label, kind in found:
        assert kind in ("*Recall.*", "*Derive.*", "*Modify.*", "*Investigate.*")
        assert TEXTS[page].count(f"```{{solution-start}} {label}\n") == 1
    assert found[0][1] == "*Recall.*"
