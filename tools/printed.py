"""The built pages as one page to be printed: their articles in order, with links between them.

Every id gets the name of its page in front, so that links lead where they led; links to files that
paper has not are left as words. Nothing is run: figures stand as they are without scripts.
"""

from __future__ import annotations

import html
import posixpath
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

#: An opening tag; values of attributes may hold a ">".
TAG = re.compile(
    r"<[a-zA-Z][\w:-]*(?:\s+[^\s=>\"'/]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s>]+))?)*\s*/?>"
)
ATTRIBUTE = re.compile(
    r"(?P<name>(?:xlink:)?href|src|id|for|aria-labelledby|aria-describedby|aria-controls)"
    r"=\"(?P<value>[^\"]*)\""
)
ARTICLE = re.compile(r"<article[^>]*>(?P<body>.*?)</article>", re.S)
#: The sheets are read as one, so that rules of the same page follow one another as on the page.
SHEET = re.compile(r'<link rel="stylesheet"[^>]*href="(?P<path>[^"?]+)[^>]*>')


@dataclass(frozen=True)
class Entry:
    """A line of the contents: a page with its title, or a part, which has no page of its own."""

    title: str
    page: str = ""
    depth: int = 0


def order(toc: dict[str, Any]) -> Iterator[tuple[str, int]]:
    """Yield the pages of ``_toc.yml`` with their depth, and the captions of its parts ("", 0)."""
    yield toc["root"], 0
    for part in toc["parts"]:
        yield f"caption: {part['caption']}", 0
        yield from _pages(part["chapters"], 0)


def _pages(chapters: list[dict[str, Any]], depth: int) -> Iterator[tuple[str, int]]:
    for chapter in chapters:
        yield chapter["file"], depth
        yield from _pages(chapter.get("sections", []), depth + 1)


def name_of(page: str, anchor: str = "") -> str:
    """Return the id in the whole for an id of a page, or for the page itself."""
    page = re.sub(r"\W", "-", page.removeprefix("book/"))
    return f"{page}--{anchor}" if anchor else page


def retarget(page: str, address: str, pages: set[str]) -> str:
    """Return where an address of a page leads in the whole; "" where paper has no such place."""
    if re.match(r"[a-z][a-z+.-]*:", address):
        return address if address.startswith(("http", "mailto:", "data:")) else ""
    path, _, anchor = address.partition("#")
    if not path:
        return f"#{name_of(page, anchor)}"
    full = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
    if full.removesuffix(".html") in pages:
        return f"#{name_of(full.removesuffix('.html'), anchor)}"
    return ""


def rename(page: str, body: str, pages: set[str]) -> str:
    """Return the article of a page with its ids and links as they are in the whole."""
    folder = posixpath.dirname(page)

    def attribute(match: re.Match[str]) -> str:
        name, value = match["name"], html.unescape(match["value"])
        if name == "src" or (name.endswith("href") and "_images/" in value):
            if not re.match(r"[a-z]+:", value):
                value = posixpath.normpath(posixpath.join(folder, value))
        elif name.endswith("href"):
            value = retarget(page, value, pages)
            if not value:
                return ""
        else:
            value = " ".join(name_of(page, part) for part in value.split())
        return f'{name}="{html.escape(value)}"'

    def tag(match: re.Match[str]) -> str:
        text = re.sub(r"url\(#([^)]+)\)", lambda m: f"url(#{name_of(page, m[1])})", match[0])
        text = ATTRIBUTE.sub(attribute, text)
        return re.sub(r' loading="lazy"| hidden(?=[ >])(?=[^>]*data-print)', "", text)

    return TAG.sub(tag, body)


def read(site: Path, page: str) -> tuple[str, str]:
    """Return the title of a built page, as its first heading has it, and its article."""
    text = (site / f"{page}.html").read_text("utf-8")
    found = ARTICLE.search(text)
    if found is None:
        raise ValueError(f"{page}.html has no article; is this the book's theme?")
    body = re.sub(r"<script\b.*?</script>", "", found["body"], flags=re.S)
    heading = re.search(r"<h1[^>]*>(.*?)(?:<a class=\"headerlink\".*?)?</h1>", body, re.S)
    title = re.sub(r"<annotation.*?</annotation>|<[^>]+>", "", heading[1]) if heading else page
    return html.unescape(title).strip(), body


def sheets(site: Path, pages: list[str]) -> list[str]:
    """Return the addresses of all style sheets of these pages, from the root of the site."""
    found: dict[str, None] = {}
    for page in pages:
        text = (site / f"{page}.html").read_text("utf-8")
        for match in SHEET.finditer(text):
            found[posixpath.normpath(posixpath.join(posixpath.dirname(page), match["path"]))] = None
    return list(found)


def variables(site: Path, page: str) -> str:
    """Return the style that stands in the pages themselves: the theme's colours and faces."""
    head = (site / f"{page}.html").read_text("utf-8").partition("</head>")[0]
    return "\n".join(re.findall(r"<style>.*?</style>", head, re.S))


def whole(site: Path, root: Path) -> tuple[list[Entry], str, str]:
    """Return the lines of the contents, what the head links to, and all articles as one text."""
    listed = list(order(yaml.safe_load((root / "_toc.yml").read_text("utf-8"))))
    pages = [page for page, _ in listed if not page.startswith("caption: ")]
    entries, articles = [], []
    for page, depth in listed:
        if page.startswith("caption: "):
            entries.append(Entry(page.removeprefix("caption: ")))
            continue
        title, body = read(site, page)
        entries.append(Entry(title, page, depth))
        body = rename(page, body, set(pages))
        articles.append(f'<article class="printed" id="{name_of(page)}">{body}</article>')
    links = [f'<link rel="stylesheet" href="{sheet}">' for sheet in sheets(site, pages)]
    return entries, "\n".join([*links, variables(site, pages[0])]), "\n".join(articles)
