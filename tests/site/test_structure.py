"""What a reader sees of the structure: numbers, captions, verdicts, and formulas on a phone."""

from __future__ import annotations

import re

import pytest

from tests.site.conftest import SITE

BOOK = SITE / "book"
CHAPTERS = sorted(p.stem for p in BOOK.glob("[0-9]*.html"))


def text_of(name: str) -> str:
    return (BOOK / f"{name}.html").read_text("utf-8")


def test_the_contents_say_the_numbers_of_the_pages():
    inside = re.search(r'<div class="sidebar-tree">(.*?)</aside>', text_of("welcome"), re.S)[1]
    entries = re.findall(r'class="reference internal" href="[^"]*">([^<]+)<', inside)
    labels = [entry.split()[0] for entry in entries]
    for label in ("1", "2A", "2B", "4A", "4D", "6", "6A", "8G", "9C", "10B", "11"):
        assert label in labels
    assert "Glossary" in labels


@pytest.mark.parametrize("name", CHAPTERS)
def test_a_page_counts_its_sections_and_figures(name):
    text = text_of(name)
    label = re.search(r'<h1><span class="section-number">(\w+)\s*</span>', text)[1]
    sections = re.findall(r'<h2><span class="section-number">(\w+)\.(\d+)\s*</span>', text)
    assert [(label, str(i)) for i in range(1, len(sections) + 1)] == sections
    figures = re.findall(r'<span class="caption-number">Figure (\d+)\.(\d+) </span>', text)
    counts = [int(count) for _, count in figures]
    assert {chapter for chapter, _ in figures} <= {re.match(r"\d+", label)[0]}
    assert counts == list(range(counts[0], counts[0] + len(counts))) if counts else True


def test_every_number_of_a_figure_and_of_an_exercise_is_given_once():
    for kind in ("Figure", "Exercise"):
        found = [
            number
            for name in (*CHAPTERS, "costs", "costs_numbers", "choosing")
            for number in re.findall(
                rf'<span class="caption-number">{kind} ([\d.]+) </span>', text_of(name)
            )
        ]
        assert len(found) == len(set(found)) > 60, kind


def test_a_figure_is_read_once():
    """Its message is the name of the drawing, its caption says what is shown."""
    text = text_of("04_scale")
    names = re.findall(r'<svg role="img" aria-label="([^"]+)"', text)
    captions = re.findall(r'<span class="caption-text">(.*?)</span><a', text)
    assert names and captions and not set(names) & set(captions)


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_verdicts_have_three_colours_and_say_the_same_without(theme, browser, server):
    page = browser.new_page(color_scheme=theme)
    page.goto(server + "book/ledger.html")
    badges = page.locator("article .verdict")
    found = badges.evaluate_all("all => all.map(e => [getComputedStyle(e).color, e.innerText])")
    said = {(colour, text.split(" ", 1)[0]) for colour, text in found}
    assert len(said) == 3 and {sign for _, sign in said} == set("✓◐✗")
    assert all(len(text.split()) >= 2 for _, text in found)
    assert not re.search(r"\d\^", page.locator("article").inner_text())  # powers are typeset
    page.close()


def test_the_number_of_a_formula_stands_clear_of_it_on_a_phone(browser, server):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(server + "book/04_gradients.html")
    number = page.locator("div.math .eqno").first.bounding_box()
    formula = page.locator("div.math .katex-display").first.bounding_box()
    assert number["y"] + number["height"] <= formula["y"] + 1
    scrolls = page.locator("div.math").first.evaluate("e => e.scrollWidth > e.clientWidth")
    assert scrolls  # the box that has a shadow where it goes on
    page.close()


def test_an_aside_stands_beside_the_text_where_there_is_room(browser, server):
    for width, beside in ((1440, True), (390, False)):
        page = browser.new_page(viewport={"width": width, "height": 900})
        page.goto(server + "book/06_budget.html")
        note = page.locator("aside.margin-note").first
        following = note.evaluate_handle("e => e.nextElementSibling").as_element()
        top, below = note.bounding_box(), following.bounding_box()
        assert (below["y"] < top["y"] + top["height"]) == beside
        page.close()
