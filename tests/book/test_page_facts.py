"""What a page says of itself: its description, and the minutes that it takes."""

from __future__ import annotations

import page_facts
import pytest
from docutils import nodes
from docutils.utils import new_document
from page_facts import LONGEST, SHORTEST, description, plain, reading_minutes, shortened


@pytest.mark.parametrize(
    "latex, words",
    [
        ("2^L", "2^L"),
        (r"1/\sqrt L", "1/√L"),
        (r"I + \partial F / \partial x", "I + ∂F / ∂x"),
        (r"\mathrm{relu}(x)", "relu(x)"),
        (r"0.0018\sqrt l", "0.0018√l"),
        (r"\frac{1}{L}", "1/L"),
        (r"a \times b", "a × b"),
    ],
)
def test_a_formula_is_read_as_words(latex, words):
    assert plain(latex) == words


def test_a_short_text_stays():
    assert shortened("One sentence. Two.") == "One sentence. Two."


def test_whole_sentences_are_kept_where_they_fit():
    text = "A" + "a" * 130 + ". Bbb bbb bbbb bbbb bbbb bbbb bbbb bbb."
    assert shortened(text) == "A" + "a" * 130 + "."


def test_otherwise_whole_words_are_kept():
    text = "word, " * 60
    found = shortened(text)
    assert found.endswith("word…") and SHORTEST <= len(found) <= LONGEST


def page(*paragraphs: nodes.Element) -> nodes.document:
    document = new_document("page")
    section = nodes.section(ids=["title"])
    summary = nodes.section(ids=["in-one-minute"])
    summary += paragraphs
    section += [nodes.title("", "Title"), nodes.paragraph("", "Before the summary."), summary]
    document += section
    return document


def paragraph(*parts: nodes.Node) -> nodes.paragraph:
    return nodes.paragraph("", "", *parts)


def test_a_description_is_the_summary_without_citations_and_code():
    cited = nodes.inline("", "", nodes.Text("["), ids=["id1"])
    cited += [nodes.reference("", "He, 2016", refuri="bibliography.html#id3"), nodes.Text("]")]
    printed = nodes.container("", nodes.paragraph("", "Printed."), classes=["cell_output"])
    first = paragraph(nodes.Text("A sum "), cited, nodes.Text(", "), nodes.math("", "2^L"))
    found = description(page(first, printed, paragraph(nodes.Text("of them."))))
    assert found == "A sum, 2^L of them."


def test_a_field_goes_before_the_summary():
    assert description(page(paragraph(nodes.Text("Text."))), "Said\n at the head.") == (
        "Said at the head."
    )


def test_minutes_follow_from_words_of_prose_alone(monkeypatch):
    monkeypatch.setattr(page_facts, "WORDS_PER_MINUTE", 100)
    code = nodes.container("", nodes.literal_block("", "x " * 900), classes=["cell_input"])
    document = page(paragraph(nodes.Text("word " * 395)), code)
    assert reading_minutes(document) == 4  # with the title and the words before the summary
    assert reading_minutes(page()) == 1
