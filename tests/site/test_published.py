"""A small book, built as a published one and as one of no known address."""

from __future__ import annotations

import json
import re
import xml.etree.ElementTree as ET
from pathlib import Path

import citation
import pytest
import site_files
from page_map import page_map
from published import binder_url, colab_url, source_url

from tests.site.mini import NOTEBOOK, PAGES, build

SETTING = {"BOOK_REPOSITORY": "someone/book", "BOOK_REF": "v1", "BOOK_URL": "https://x.org/a/"}
ATOM = "{http://www.w3.org/2005/Atom}"


@pytest.fixture(scope="module")
def sites(tmp_path_factory) -> dict[str, Path]:
    found = {}
    with pytest.MonkeyPatch.context() as patch:
        for name in SETTING:
            patch.delenv(name, raising=False)
        found["private"] = build(tmp_path_factory.mktemp("private"))
        for name, value in SETTING.items():
            patch.setenv(name, value)
        found["public"] = build(tmp_path_factory.mktemp("public"))
        found["again"] = build(found["public"].parent)
    return found


@pytest.fixture
def setting(monkeypatch):
    for name, value in SETTING.items():
        monkeypatch.setenv(name, value)


def read(site: Path, name: str = f"{NOTEBOOK}.html") -> str:
    return (site / name).read_text("utf-8")


def data(text: str) -> dict:
    return json.loads(re.search(r'<script type="application/ld\+json">(.*?)</script>', text)[1])


def content(text: str, name: str) -> str | None:
    found = re.search(rf'<meta (?:name|property)="{name}" content="([^"]*)">', text)
    return found and found[1]


def test_a_published_page_says_where_it_is(sites):
    text = read(sites["public"])
    address = "https://x.org/a/book/02_idea.html"
    assert f'<link rel="canonical" href="{address}">' in text
    assert content(text, "og:url") == address == data(text)["url"]
    assert data(text)["isPartOf"]["url"] == "https://x.org/a/"
    assert content(text, "twitter:card") == "summary_large_image"
    assert f"url       = {{{address}}}" in text


def test_a_published_page_offers_its_notebook_elsewhere(sites, setting):
    text, file = read(sites["public"]), f"{NOTEBOOK}.ipynb"
    for address in (colab_url(file), binder_url(file), source_url(file)):
        assert f'href="{address}"' in text
    assert 'href="https://github.com/someone/book">Source</a>' in text
    plain = read(sites["public"], "book/01_background.html")  # no notebook
    assert "colab" not in plain and "mybinder" not in plain
    assert source_url("book/01_background.md") in plain


def test_every_card_is_there_and_no_other(sites):
    site, cards = sites["public"], set()
    for page in PAGES:
        text = read(site, f"{page}.html")
        image = content(text, "og:image")
        assert image.startswith("https://x.org/a/_static/cards/") and content(text, "og:image:alt")
        size = [content(text, f"og:image:{side}") for side in ("width", "height")]
        assert size == ["1200", "630"]
        cards.add(image.removeprefix("https://x.org/a/"))
    assert cards == {str(f.relative_to(site)) for f in (site / "_static/cards").iterdir()}
    assert len(cards) == len(PAGES)


def test_an_unchanged_build_draws_no_card(sites, setting, tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(site_files, "write", lambda card, folder: drawn.append(card) or card.name)
    build(sites["again"].parent)
    assert len(drawn) == len(PAGES)  # asked for, and there already:
    assert all((sites["again"] / "_static/cards" / card.name).exists() for card in drawn)


def test_a_sitemap_lists_every_page_once(sites):
    root = ET.fromstring(read(sites["public"], "sitemap.xml"))
    places = [element.text for element in root.iter() if element.tag.endswith("loc")]
    assert sorted(places) == sorted(f"https://x.org/a/{page}.html" for page in PAGES)
    assert "Sitemap: https://x.org/a/sitemap.xml" in read(sites["public"], "robots.txt")


def test_without_a_setting_nothing_says_where_the_book_is(sites):
    site = sites["private"]
    assert not (site / "sitemap.xml").exists() and not (site / "_static/cards").exists()
    for file in ("404.html", "index.html", "robots.txt", "feed.xml", *(f"{p}.html" for p in PAGES)):
        text = read(site, file)
        for word in ("x.org", "someone", "canonical", "og:url", "og:image", "Sitemap"):
            assert word not in text, (file, word)
        assert not re.search(r'(href|src|content)="https?://[^"]*(colab|mybinder)', text)


@pytest.mark.parametrize("name", ["private", "public"])
def test_the_notebook_and_the_source_can_always_be_had(name, sites):
    text = read(sites[name])
    link = re.search(r'<a href="\.\./(_sources/[^"]+\.ipynb)" download>', text)[1]
    cells = json.loads(read(sites[name], link))["cells"]
    assert cells[1]["outputs"][0]["text"] == ["kept\n"]
    source = (sites[name] / f"_sources/{NOTEBOOK}.txt").read_bytes()
    assert source.startswith(b"\xef\xbb\xbf# Title of")
    assert source.endswith(b"```python\nprint('kept')\n```\n")
    if name == "private":
        assert f'href="../_sources/{NOTEBOOK}.txt"' in text


@pytest.mark.parametrize("name", ["private", "public"])
def test_chapters_are_lessons_and_the_first_page_is_the_book(name, sites):
    book = data(read(sites[name], "book/welcome.html"))
    assert book["@type"] == "Book" and book["name"] == citation.book().title
    for page in page_map():
        lesson = data(read(sites[name], f"{page}.html"))
        assert lesson["@type"] == "LearningResource" and lesson["isPartOf"]["@type"] == "Book"
        assert lesson["timeRequired"] == "PT1M" and lesson["inLanguage"] == "en"
        assert lesson["license"].startswith("https://creativecommons.org/")
        assert ("url" in lesson) == (name == "public")
    assert "ld+json" not in read(sites[name], "book/cite.html")


@pytest.mark.parametrize(
    "name, start", [("private", "book/welcome.html"), ("public", "/a/book/welcome.html")]
)
def test_a_page_for_lost_readers_finds_home_from_any_depth(name, start, sites):
    text = read(sites[name], "404.html")
    assert f'<a href="{start}">' in text
    assert "stylesheet" not in text and "<script" not in text  # it stands alone


def test_the_entry_page_leads_on_and_has_a_picture_to_share(sites):
    text = read(sites["public"], "index.html")
    assert 'http-equiv="refresh" content="0; url=book/welcome.html"' in text
    assert content(text, "og:image") == content(
        read(sites["public"], "book/welcome.html"), "og:image"
    )
    assert content(text, "description").startswith("Of the small book.")


@pytest.mark.parametrize("base", ["", "https://x.org/a/"])
def test_the_feed_has_an_entry_for_each_version(base):
    changes = (
        "# Changelog\n\nWords.\n\n## 1.1.0 (2026-02-03)\n\n- **Two** & three\n\n"
        "| a | b |\n|---|---|\n| 1 | 2 |\n\n## 1.0.0 (2026-01-02)\n\nFirst.\n"
    )
    feed = ET.fromstring(site_files.feed(changes, citation.book(), base).encode())
    entries = feed.findall(f"{ATOM}entry")
    assert [e.find(f"{ATOM}updated").text[:10] for e in entries] == ["2026-02-03", "2026-01-02"]
    shown = entries[0].find(f"{ATOM}content").text
    assert "<strong>Two</strong> &amp; three" in shown and "<table>" in shown
    assert "First." not in shown
    ids = [e.find(f"{ATOM}id").text for e in (feed, *entries)]
    assert len(set(ids)) == 3 and all(id.startswith("urn:uuid:") for id in ids)
    links = [link.get("href") for link in feed.iter(f"{ATOM}link")]
    assert all(link.startswith(base or ("book/", "index")) for link in links)
    assert any(link.get("rel") == "self" for link in feed.iter(f"{ATOM}link")) == bool(base)


def test_a_changelog_without_dates_is_refused():
    with pytest.raises(ValueError, match="heading"):
        site_files.feed("# Changelog\n\n## 1.0.0\n", citation.book())
