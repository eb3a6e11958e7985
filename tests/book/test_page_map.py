"""The map of chapters: complete, without circles, and what the pages themselves say they need."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml
from page_map import page_map

ROOT = Path(__file__).resolve().parents[2]
PLACES = page_map()
#: Pages that need no other, and pages after which there is nothing to go on with.
STARTS = {"book/01_background", "book/09_faq", "book/ledger"}
ENDS = {"book/sheet", "book/ledger"}


def listed(entries: list[dict]) -> set[str]:
    """Return the pages of a part of the contents, with those below them."""
    own = {entry["file"] for entry in entries}
    return own.union(*(listed(entry.get("sections", [])) for entry in entries))


def test_every_chapter_has_a_place_and_no_other_page():
    parts = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"]
    chapters = [part["chapters"] for part in parts if part["caption"] != "Reference"]
    assert len(chapters) == len(parts) - 1
    assert set(PLACES) == set().union(*map(listed, chapters))


def order(edges: dict[str, set[str]]) -> list[str]:
    """Return the pages so that each comes after all that it depends on, or raise."""
    done: list[str] = []
    left = dict(edges)
    while left:
        free = sorted(page for page, needed in left.items() if needed <= set(done))
        if not free:
            raise ValueError(f"a circle among {sorted(left)}")
        done += free
        left = {page: needed for page, needed in left.items() if page not in free}
    return done


def test_nothing_goes_in_circles():
    """To go on leads to no page that is needed before, whichever way one takes."""
    edges = {page: set(place.needs) for page, place in PLACES.items()}
    for page, place in PLACES.items():
        for following in place.next:
            edges[following].add(page)
    assert len(order(edges)) == len(PLACES)


def test_a_circle_would_be_found():
    with pytest.raises(ValueError, match="circle"):
        order({"a": {"b"}, "b": {"a"}, "c": set()})


def test_only_starts_need_nothing_and_only_ends_lead_nowhere():
    assert {page for page, place in PLACES.items() if not place.needs} == STARTS
    assert {page for page, place in PLACES.items() if not place.next} == ENDS


def test_every_page_is_led_to():
    led_to = {following for place in PLACES.values() for following in place.next}
    assert set(PLACES) - led_to <= STARTS


def needed_by_itself(page: str) -> set[str]:
    """Return the pages that a chapter's own section on what is needed links."""
    file = ROOT / f"{page}.ipynb"
    if not file.exists():
        return set()
    cells = json.loads(file.read_text("utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    section = re.search(r"^## What you will need\n(.*?)(?=^## |\Z)", text, re.M | re.S)
    return {f"book/{n}" for n in re.findall(r"\]\((\w+)\.ipynb", section[1])} if section else set()


SAID = {page: needed_by_itself(page) for page in PLACES}


def test_most_pages_say_what_they_need():
    assert sum(map(bool, SAID.values())) >= 25


@pytest.mark.parametrize("page", [page for page, said in SAID.items() if said])
def test_what_a_page_needs_is_what_it_says(page):
    assert set(PLACES[page].needs) <= SAID[page]


@pytest.mark.parametrize(
    "text, said",
    [
        ("[a]\nneeds = []\n", "must have needs and next"),
        ("[a]\nneeds = []\nnext = []\nwhy = 1\n", "must have needs and next"),
        ('[a]\nneeds = ["b"]\nnext = []\n', "no entry"),
        ('[a]\nneeds = ["b"]\nnext = ["b"]\n[b]\nneeds = []\nnext = []\n', "twice"),
    ],
)
def test_a_bad_map_is_refused(text, said):
    with pytest.raises(ValueError, match=said):
        page_map(text)
