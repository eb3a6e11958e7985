"""Figures that cells show: each has a caption to be seen, a number and a name to refer to."""

from __future__ import annotations

import json
import re
from pathlib import Path

import figure_captions
import pytest
from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.utils import new_document

from companion.book import figures

BOOK = Path(__file__).resolve().parents[2] / "book"
SHOWN = [
    (path.stem, "".join(output["data"]["text/html"]))
    for path in sorted(BOOK.glob("*.ipynb"))
    for cell in json.loads(path.read_text("utf-8"))["cells"]
    if cell["cell_type"] == "code"
    for output in cell["outputs"]
    if "companion-figure" in "".join(output.get("data", {}).get("text/html", ""))
]
UNNUMBERED = {"sheet"}  # one printed page


def captions():
    found = [(page, figure_captions.CAPTION.findall(html)) for page, html in SHOWN]
    return [(page, texts) for page, texts in found if page not in UNNUMBERED]


def test_every_stored_figure_has_one_caption():
    assert len(captions()) > 60
    for page, texts in captions():
        assert len(texts) == 1, page
        (text,) = texts
        assert text[0].isupper() and text.endswith(".") and len(text) < 260, (page, text)


def test_no_two_figures_have_one_name():
    names = [figure_captions.name_of(texts[0]) for _, texts in captions()]
    assert sorted(names) == sorted(set(names))


def test_a_caption_is_not_the_alternative_text_again():
    for page, html in SHOWN:
        names = re.findall(r'aria-label="([^"]*)"', html)
        for text in figure_captions.CAPTION.findall(html):
            assert text not in names, page


@pytest.fixture
def shown(monkeypatch):
    bundles: list[dict] = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: bundles.append(bundle))
    return bundles


def test_show_slider_and_selector_put_the_caption_below(shown):
    frames = [(str(i), figures.figure()[0], f"frame {i}") for i in range(2)]
    figures.show((figures.figure()[0], "a curve"), caption="Loss < 1, by $L$.")
    figures.slider("depth", frames, caption="By depth.")
    figures.selector("depth", frames, caption="By depth.")
    figures.show((figures.figure()[0], "a curve"))
    ends = [bundle["text/html"].rpartition("</div>")[2] for bundle in shown]
    assert ends[0] == '<p class="companion-caption">Loss &lt; 1, by $L$.</p>'
    assert ends[1] == ends[2] == '<p class="companion-caption">By depth.</p>'
    assert ends[3] == ""
    assert all("caption" not in bundle["text/plain"] for bundle in shown)


def captioned(*html):
    """A page with one output for each text, after the transform."""
    document = new_document("page.md", get_default_settings())
    for text in html:
        output = nodes.container(classes=["cell_output"])
        bundle = nodes.container(nb_element="mime_bundle")
        bundle += nodes.container("", nodes.raw("", text, format="html"), mime_type="text/html")
        bundle += nodes.container("", nodes.Text("a curve"), mime_type="text/plain")
        output += bundle
        document += output
    figure_captions.FigureCaptions(document).apply()
    return document


def test_an_output_and_its_caption_become_one_figure():
    svg = '<div class="companion-figure"><svg aria-label="up"></svg><svg></svg></div>'
    caption = '<p class="companion-caption">The loss &lt; 1 by the depth $L$ of a stack.</p>'
    document = captioned(svg + caption, svg)
    (figure,) = document.findall(nodes.figure)
    assert figure["ids"] == figure["names"] == ["fig-loss-1-depth-stack"]
    bundle, caption = figure.children
    assert [raw.astext() for raw in bundle.findall(nodes.raw)] == [svg]
    assert caption.astext() == "The loss < 1 by the depth L of a stack."
    assert [m.astext() for m in caption.findall(nodes.math)] == ["L"]
    assert caption.rawsource == "The loss < 1 by the depth $L$ of a stack."  # for translators
    assert document.nametypes["fig-loss-1-depth-stack"]  # explicit: other pages can refer to it
    assert len(document.children) == 2  # the other output stays as it was
