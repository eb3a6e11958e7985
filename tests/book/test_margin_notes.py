"""Asides: the directive, and what it becomes on a page."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from sphinx.testing.util import SphinxTestApp

BOOK = Path(__file__).resolve().parents[2] / "book"


@pytest.fixture(scope="module")
def page(tmp_path_factory):
    source = tmp_path_factory.mktemp("margin")
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(BOOK / '_ext')!r})\n"
        "extensions = ['myst_parser', 'margin_notes']\n"
    )
    (source / "index.md").write_text(
        "# Page\n\nText.\n\n```{margin}\nAn *aside*.\n```\n\n```{margin}\n```\n"
    )
    app = SphinxTestApp("html", srcdir=source, freshenv=True)
    app.build()
    yield (Path(app.outdir) / "index.html").read_text("utf-8"), app.warning.getvalue()
    app.cleanup()


def test_an_aside_is_a_note_and_no_landmark(page):
    text, warnings = page
    assert '<aside class="margin-note" role="note">' in text
    assert text.count("margin-note") == 1 and "<p>An <em>aside</em>.</p>" in text
    assert "an aside must say something" in warnings


def test_asides_are_few_and_short():
    texts = [
        "".join(cell["source"]).split("```{margin}")[1:]
        for path in BOOK.glob("*.ipynb")
        for cell in json.loads(path.read_text("utf-8"))["cells"]
        if cell["cell_type"] == "markdown"
    ]
    asides = [text.split("```")[0].strip() for each in texts for text in each]
    assert len(asides) >= 4
    assert all(20 < len(text) < 500 for text in asides)
