"""Verdicts on the page: a badge in one of three colours, which says the same without them."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import verdicts
from docutils import nodes
from docutils.frontend import get_default_settings
from docutils.utils import new_document

from companion.book import claims

STYLES = Path(__file__).resolve().parents[2] / "book" / "_static" / "structure.css"


def page(text, inside):
    document = new_document("page.md", get_default_settings())
    box = inside()
    box += nodes.paragraph("", "", nodes.strong("", text))
    document += box
    verdicts.Verdicts(document).apply()
    (strong,) = document.findall(nodes.strong)
    return strong["classes"], document.children[0]["classes"]


@pytest.mark.parametrize("word", list(claims.SIGNS))
def test_every_verdict_is_a_badge_and_its_box_has_its_colour(word):
    kind = verdicts.KINDS[claims.SIGNS[word]]
    text = claims.badge(word, capital=True).strip("*")
    badge, box = page(text, nodes.block_quote)
    assert badge == ["verdict", f"verdict-{kind}"] and box == ["claim", f"claim-{kind}"]
    assert page(text, nodes.table)[0] == badge and page(text, nodes.table)[1] == []
    assert f"var(--{kind})" in STYLES.read_text("utf-8")


@pytest.mark.parametrize("text", ["holds", "✓", "Claim C3.", "✓holds"])
def test_other_words_in_bold_stay_words(text):
    assert page(text, nodes.block_quote) == ([], [])


def test_signs_and_kinds_are_the_same_three():
    assert set(claims.SIGNS.values()) == set(verdicts.KINDS)
    assert len(set(re.findall(r"--verdict: var\(--(\w+)\)", STYLES.read_text("utf-8")))) == 3


def test_verdicts_that_a_page_picks_lead_to_their_cells(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw: shown.append(bundle))
    claims.show_verdicts("Q6", "A4")
    (bundle,) = shown
    assert bundle["text/plain"] == "Q6: holds\nA4: does not hold"
    for id, badge in (("Q6", "✓ Holds"), ("A4", "✗ Does not hold")):
        assert f"#claim-{id}" in bundle["text/markdown"] and badge in bundle["text/markdown"]
    with pytest.raises(ValueError, match="no claim 'Z9'"):
        claims.show_verdicts("Q6", "Z9")
    assert len(shown) == 1
