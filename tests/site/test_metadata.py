"""What every built page tells machines: the rules of search engines, and what the book promises.

The rules are those that Lighthouse checks under "SEO" and, where they need no browser, under "best
practices"; addresses inside of the book are followed.
"""

from __future__ import annotations

import functools
import json
import posixpath
import re
import xml.etree.ElementTree as ET
from html.parser import HTMLParser
from urllib.parse import unquote, urlsplit

import pytest
from page_map import page_map

from tests.site.conftest import SITE

FILES = sorted(str(path.relative_to(SITE)) for path in SITE.rglob("*.html"))
PAGES = [name for name in FILES if not name.startswith("_")]
IN_BOOK = [name for name in PAGES if name.startswith("book/")]
#: Of Lighthouse 12: words of a link that say nothing of where it leads.
SAYS_NOTHING = {
    "click here",
    "click this",
    "go",
    "here",
    "information",
    "learn more",
    "more",
    "more info",
    "more information",
    "right here",
    "read more",
    "see more",
    "start",
    "this",
}
VOID = {"area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"}


class Page(HTMLParser):
    """Keeps what a page says of itself, its links with their words, and its pictures."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name, self.title, self.language, self.doctype = name, "", "", ""
        self.metas: list[dict[str, str]] = []
        self.links: list[dict[str, str]] = []
        self.images: list[dict[str, str]] = []
        self.anchors: list[tuple[dict[str, str], str]] = []
        self.ids: set[str] = set()
        self.data: list[str] = []
        self.open: list[str] = []
        self.feed((SITE / name).read_text("utf-8"))

    def handle_decl(self, decl: str) -> None:
        self.doctype = decl

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attributes}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        kinds = {"meta": self.metas, "link": self.links, "img": self.images}
        if tag in kinds:
            kinds[tag].append(given)
        if tag == "html":
            self.language = given.get("lang", "")
        if tag == "a":
            self.anchors.append((given, given.get("aria-label", "")))
        if tag == "script" and given.get("type") == "application/ld+json":
            self.data.append("")
            tag = "data"
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and tag not in VOID:
            self.open.pop()

    def handle_data(self, text: str) -> None:
        if self.open[-1:] == ["title"] and "svg" not in self.open:
            self.title += text
        if "a" in self.open:
            given, words = self.anchors[-1]
            self.anchors[-1] = given, words + text
        if self.open[-1:] == ["data"]:
            self.data[-1] += text

    def content(self, name: str) -> str | None:
        """Return what a meta element says; there may be one of a name at most."""
        found = [m["content"] for m in self.metas if name in (m.get("name"), m.get("property"))]
        assert len(found) <= 1, (self.name, name)
        return found[0] if found else None


@functools.cache
def page(name: str) -> Page:
    return Page(name)


def test_all_pages_are_read():
    assert len(IN_BOOK) >= 45
    assert {"404.html", "index.html", "search.html", "genindex.html"} <= set(PAGES)


@pytest.mark.parametrize("name", PAGES)
def test_a_page_has_a_doctype_a_language_and_a_title(name):
    read = page(name)
    assert read.doctype.lower() == "doctype html" and read.language == "en"
    assert {"utf-8"} == {m["charset"].lower() for m in read.metas if "charset" in m}
    assert any(
        "width=device-width" in m["content"] for m in read.metas if m.get("name") == "viewport"
    )
    assert 5 < len(read.title) < 110


def test_no_two_pages_have_one_title_or_description():
    found = [name for name in PAGES if name != "index.html"]  # it is the first page's door
    assert len({page(name).title for name in found}) == len(found)
    assert len({page(name).content("description") for name in found}) == len(found)


@pytest.mark.parametrize("name", PAGES)
def test_a_description_is_of_a_length_that_is_shown(name):
    text = page(name).content("description")
    assert 120 <= len(text) <= 160, text
    assert re.search(r"[.!?…]$", text), text
    assert not re.search(r"[\\{}$<>]|\s\s|^\W*$", text), text
    assert text[0].isupper(), text


@pytest.mark.parametrize("name", IN_BOOK)
def test_chats_are_told_what_search_engines_are_told(name):
    read = page(name)
    for other in ("og:description", "twitter:description"):
        assert read.content(other) == read.content("description")
    assert read.content("og:title") == read.content("twitter:title")
    assert read.content("og:title") in read.title
    assert read.content("og:type") in ("book", "article") and read.content("og:site_name")
    known = read.content("og:url") is not None
    assert known == (read.content("og:image") is not None) == (SITE / "sitemap.xml").exists()
    assert known == any(link["rel"] == "canonical" for link in read.links)


@pytest.mark.parametrize("name", IN_BOOK)
def test_chapters_are_described_as_lessons(name):
    read, document = page(name), name.removesuffix(".html")
    said = [json.loads(text) for text in read.data]
    if document == "book/welcome":
        assert [entry["@type"] for entry in said] == ["Book"]
    elif document in page_map():
        (lesson,) = said
        assert lesson["@type"] == "LearningResource" and lesson["teaches"]
        assert re.fullmatch(r"PT[1-9]\d?M", lesson["timeRequired"])
        assert lesson["description"] == read.content("description")
        assert lesson["license"] and lesson["inLanguage"] == read.language
    else:
        assert not said


@pytest.mark.parametrize("name", PAGES)
def test_links_can_be_followed_and_say_where_they_lead(name):
    for given, words in page(name).anchors:
        words = " ".join(words.split()).lower()
        assert given.get("href", "").strip(), (name, words)
        assert not given["href"].lower().startswith("javascript:")
        assert words not in SAYS_NOTHING, (name, given["href"], words)


@pytest.mark.parametrize("name", PAGES)
def test_links_inside_of_the_book_lead_somewhere(name):
    for given, _ in page(name).anchors:
        address = urlsplit(given["href"])
        if address.scheme or address.netloc or given["href"].startswith("/"):
            continue
        folder = posixpath.dirname(name)
        target = posixpath.normpath(posixpath.join(folder, unquote(address.path)))
        target = name if not address.path else target
        assert (SITE / target).is_file(), (name, given["href"])
        if address.fragment and target.endswith(".html"):
            assert unquote(address.fragment) in page(target).ids, (name, given["href"])


@pytest.mark.parametrize("name", PAGES)
def test_what_a_head_links_is_there(name):
    for link in page(name).links:
        address = urlsplit(link["href"])
        if address.path and not (address.scheme or address.netloc):
            target = posixpath.normpath(posixpath.join(posixpath.dirname(name), address.path))
            assert (SITE / target).is_file(), (name, link["href"])


@pytest.mark.parametrize("name", [name for name in PAGES if name != "search.html"])
def test_search_engines_may_list_a_page(name):
    """The page of results alone is left out, since it has no words of its own."""
    assert "noindex" not in (page(name).content("robots") or "")


def test_robots_are_told_what_the_standard_knows():
    lines = (SITE / "robots.txt").read_text("utf-8").splitlines()
    assert lines[0] == "User-agent: *" and lines[1] == "Allow: /"
    for line in lines[2:]:
        assert re.fullmatch(r"Sitemap: https?://\S+/sitemap\.xml", line)


def test_the_feed_is_of_the_changelog():
    feed = ET.parse(SITE / "feed.xml").getroot()
    titles = [e.text for e in feed.iter("{http://www.w3.org/2005/Atom}title")]
    changes = (SITE / "_sources/book/changelog.md").exists()
    assert changes and len(titles) >= 3 and titles[1].endswith("0.2.0")


@pytest.mark.parametrize("name", sorted(f"{document}.html" for document in page_map()))
def test_a_chapter_has_its_line_its_places_and_its_reference(name):
    text = (SITE / name).read_text("utf-8")
    assert text.count('class="page-line"') == 1
    between = text[text.index("</h1>") : text.index('class="page-line"')]
    assert not re.search(r"<(p|h2|section|div)\b", between)
    assert "words a minute" in text and 'class="cite-page"' in text
    place = page_map()[name.removesuffix(".html")]
    assert ('class="where-next"' in text) == bool(place.needs or place.next)


@pytest.mark.parametrize("name", [n for n in PAGES if n not in ("404.html", "index.html")])
def test_a_page_has_one_bar_and_one_search_box(name):
    text = (SITE / name).read_text("utf-8")
    assert text.count('<header class="site-bar">') == 1
    assert text.count('name="q"') == 1
    assert text.count("@pradyunsg") == 0 and "Furo</a>" in text
