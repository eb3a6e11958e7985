"""Cards beside links: what they say is read off the pages that the links lead to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import cards
import pytest
from docutils import nodes
from sphinx.testing.util import SphinxTestApp

BOOK = Path(__file__).resolve().parents[2] / "book"
GLOSSARY = """# Glossary

```{glossary}
stream
residual stream
    The signal that runs *through* blocks, $x_l$, and see [there](02_idea.md). ([first](02_idea.md))
```
"""
IDEA = """# The idea

## In one minute

A block does two things with its [input](glossary.md).

(parts)=
## Three parts

First paragraph, with {term}`stream`.

```{figure} x.png
:name: fig-a
What is shown.
```

{ref}`parts`, [parts](#parts), {numref}`fig-a`, [out](https://example.org), [no](#nowhere).

$$ x + F $$ (eq-sum)

By {eq}`eq-sum`.
"""


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    source = tmp_path_factory.mktemp("cards")
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(BOOK / '_ext')!r})\n"
        "extensions = ['myst_parser', 'chapter_numbers', 'cards']\nnumfig = True\n"
        "numfig_format = {'figure': 'Figure %s'}\nhtml_theme = 'furo'\n"
        f"html_static_path = [{str(BOOK / '_static')!r}]\n"
        "myst_enable_extensions = ['dollarmath']\nsuppress_warnings = ['*']\n"
    )
    (source / "index.md").write_text("# Book\n\n```{toctree}\n02_idea\nglossary\n```\n")
    (source / "02_idea.md").write_text(IDEA)
    (source / "glossary.md").write_text(GLOSSARY)
    app = SphinxTestApp("html", srcdir=source, freshenv=True)
    app.build()
    text = (Path(app.outdir) / "_static" / cards.DATA).read_text("utf-8")
    yield json.loads(text.removeprefix("window.companionCards = ").rstrip(";\n"))
    app.cleanup()


def test_a_term_shows_its_definition_without_the_page_that_ends_it(made):
    text = made["glossary.html#term-stream"]
    assert text.startswith("<b>stream, residual stream</b><p>The signal that runs <em>through</em>")
    assert "first" not in text and text.endswith("see there.</p>")
    assert "math" in text


def test_a_section_a_page_a_figure_and_an_equation_have_cards(made):
    assert made["02_idea.html#parts"] == (
        "<b>2.1 Three parts</b><p>First paragraph, with stream.</p>"
    )
    assert made["glossary.html"].startswith("<b>Glossary</b>")
    assert made["02_idea.html"] == (
        "<b>2 The idea</b><p>A block does two things with its input.</p>"
    )
    assert made["02_idea.html#fig-a"] == "<b>Figure 2.1</b><p>What is shown.</p>"
    assert "x + F" in made["02_idea.html#equation-eq-sum"]


def test_nothing_leads_on_and_nothing_has_a_name(made):
    for text in made.values():
        assert not re.search(r"<a |\bid=", text)
    assert not any("example.org" in address or "nowhere" in address for address in made)


def test_a_long_paragraph_ends_with_a_word():
    paragraph = nodes.paragraph("", "", nodes.Text("word " * 50), nodes.emphasis("", "never"))
    short = cards.shortened(paragraph, 23)
    assert short.astext() == "word word word word …"
