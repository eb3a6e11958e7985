"""The mark, the cover and the cards: drawn from what they show, and the same each time."""

from __future__ import annotations

import xml.etree.ElementTree as ET
from dataclasses import replace
from pathlib import Path

import book_art
import pytest
import social_cards
from PIL import Image
from social_cards import SIZE, Card

STATIC = Path(__file__).resolve().parents[2] / "book" / "_static"
CARD = Card("The idea: branch, shortcut, merge", "Residual Connections", "2A", 2, 9)


@pytest.mark.parametrize(
    "name, drawn", [("favicon.svg", book_art.mark_svg()), ("cover.svg", book_art.cover_svg())]
)
def test_a_stored_picture_is_the_one_that_is_drawn(name, drawn):
    assert (STATIC / name).read_text("utf-8") == drawn
    assert ET.fromstring(drawn).tag.endswith("svg")


def test_all_paths_are_there_and_end_in_one_sum():
    blocks, width, height = 5, 700.0, 300.0
    lines = book_art.stack_lines(blocks, width, height, 8)
    at_the_end = [line for line in lines if line.curve[3] == (width, height / 2)]
    assert len({line.curve[0] for line in at_the_end}) == len(at_the_end) == 2**blocks
    assert len(lines) == 1 + sum(2**i for i in range(1, blocks + 1)) + 2**blocks
    for column in {line.curve[0][0] for line in lines}:
        widths = [line.width for line in lines if line.curve[0][0] == column]
        assert sum(w * w for w in widths) == pytest.approx(64)


@pytest.mark.parametrize("blocks", [0, 11])
def test_a_stack_of_too_many_blocks_is_refused(blocks):
    with pytest.raises(ValueError, match="blocks must be"):
        book_art.stack_lines(blocks, 100, 100, 1)


def test_a_card_is_drawn_once_and_the_same_each_time(tmp_path, monkeypatch):
    name = social_cards.write(CARD, tmp_path / "a")
    assert social_cards.write(CARD, tmp_path / "b") == name
    first, second = tmp_path / "a" / name, tmp_path / "b" / name
    assert first.read_bytes() == second.read_bytes()
    with Image.open(first) as image:
        assert image.size == SIZE and image.format == "PNG"
    assert first.stat().st_size < 100_000
    monkeypatch.setattr(social_cards, "draw", None)  # a card that is there is not drawn again
    assert social_cards.write(CARD, tmp_path / "a") == name


@pytest.mark.parametrize(
    "change", [{"title": "Other"}, {"label": "3"}, {"chapter": 3}, {"book": "Other"}]
)
def test_what_a_card_shows_is_in_its_name(change):
    assert replace(CARD, **change).name != CARD.name


def test_what_a_card_shows_is_seen():
    shown = social_cards.draw(CARD).convert("RGB")
    for change in ({"title": "The idea"}, {"label": "2B"}, {"chapter": 3}, {"book": "Other"}):
        assert social_cards.draw(replace(CARD, **change)).convert("RGB") != shown, change


def test_long_titles_stay_on_the_card():
    title = "A title that no one would give to a page, since it goes on and on " * 2
    font, lines = social_cards.fitted(title, 1040)
    assert len(lines) <= 3 and font.size >= social_cards.SMALLEST
    assert all(font.getlength(line) <= 1040 for line in lines)


def test_cards_that_no_page_has_are_taken_away(tmp_path):
    (tmp_path / "old.png").write_bytes(b"x")
    name = social_cards.write(CARD, tmp_path)
    social_cards.tidy(tmp_path, {name})
    assert [file.name for file in tmp_path.iterdir()] == [name]
