"""Labels of figures are words in the page: whole, relative in size, aligned, in the page's face."""

from __future__ import annotations

import re

import pytest

from companion.book import figures
from companion.book.figures.lettering import ENLARGED, LEAST_PIXELS


def texts(svg: str) -> dict[str, str]:
    """Return the attributes of each label by its words, markup left out."""
    found = re.findall(r"<text\b([^>]*)>(.*?)</text>", svg, re.S)
    return {re.sub(r"<[^>]+>", "", words): attributes for attributes, words in found}


@pytest.fixture
def labelled() -> dict[str, str]:
    drawing, axes = figures.figure()
    axes.plot([1, 2], [10, 1000])
    axes.set_yscale("log")
    axes.set_title("The norm of $x_2$ by depth", color="#010203")
    axes.text(1, 100, "first line\nand another, longer", ha="center", fontsize=8)
    axes.text(1, 100, "left line\nleft, longer", ha="left")
    axes.annotate("residual", (2, 1000), color=figures.RESIDUAL)
    return texts(figures.svg(drawing, "alt"))


def test_every_label_is_one_run_of_words(labelled):
    words = {"The norm of x2 by depth", "first line", "and another, longer", "102", "residual"}
    assert words <= set(labelled)


def test_labels_name_no_face_and_their_size_is_relative(labelled):
    assert not [a for a in labelled.values() if "font-family" in a or "px" in a or "fill: c" in a]
    assert "font-size: 0.8em" in labelled["first line"]
    assert "font-size: 1.2em" in labelled["The norm of x2 by depth"]
    assert "font-size" not in labelled["residual"]
    assert "var(--companion-residual" in labelled["residual"]


def test_lines_and_formulas_keep_their_alignment_in_another_face(labelled):
    for words in ("The norm of x2 by depth", "first line", "and another, longer"):
        assert "text-anchor: middle" in labelled[words]
    assert "text-anchor: end" in labelled["102"]
    assert "text-anchor" not in labelled["left line"]


def test_the_parts_of_a_formula_follow_one_another():
    drawing, axes = figures.figure()
    axes.text(0, 0, "$a^2 + b_1$ units")
    text = figures.svg(drawing, "alt")
    formula = re.search(r"<text[^>]*>(?:(?!</text>).)*units(?:(?!</text>).)*</text>", text)[0]
    shifts = [float(s) for s in re.findall(r'dy="(-?[\d.]+)em"', formula)]
    sizes = [0.7, 1, 0.7, 1]  # of the square, what follows it, the index, what follows that
    assert len(shifts) == 4 and shifts[0] < 0 < shifts[1] and shifts[3] < 0 < shifts[2]
    level = sum(shift * size for shift, size in zip(shifts, sizes, strict=True))
    assert level == pytest.approx(0, abs=0.02)
    assert not re.search(r"<tspan[^>]* x=", formula)


def test_a_fraction_stays_where_it_is_drawn():
    drawing, axes = figures.figure()
    axes.text(0, 0, r"$\frac{1}{2}$")
    text = figures.svg(drawing, "alt")
    assert len(re.findall(r"<tspan x=", text)) >= 2 and "DejaVu" not in text


@pytest.mark.parametrize("width, size, least", [(3.6, 10, 255), (7.2, 10, 509), (3.6, 5, 509)])
def test_a_figure_says_how_narrow_it_may_become(width, size, least):
    drawing, axes = figures.figure(width)
    axes.set(xticks=[], yticks=[])
    axes.text(0, 0, "label", fontsize=size)
    said = int(re.search(r"min-width: (\d+)px", figures.svg(drawing, "alt"))[1])
    assert said == least == round(72 * width * LEAST_PIXELS / (size * ENLARGED))


def test_what_a_label_says_is_not_rounded():
    drawing, axes = figures.figure()
    axes.text(0, 0, "0.123456")
    text = figures.svg(drawing, "x=0.98765")
    assert "0.123456" in texts(text) and "x=0.98765" in text
    assert not re.search(r'\bd="[^"]*\.\d{3}', text)
