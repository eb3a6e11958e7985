"""Files of the site that are no pages of the book.

The sources as plain text, a feed of the changelog, a page for addresses that lead nowhere, an entry
page, and what search engines look for. Addresses in them follow from where the book is published; a
sitemap, which is nothing but addresses, is written only where that is known.
"""

from __future__ import annotations

import json
import re
import uuid
from html import escape
from pathlib import Path
from urllib.parse import urlsplit

import citation
from markdown_it import MarkdownIt
from page_head import ROOT, card_of, head
from published import published
from social_cards import FOLDER, tidy, write
from sphinx.application import Sphinx

CHANGELOG = Path(__file__).resolve().parents[2] / "CHANGELOG.md"
VERSION = re.compile(r"(?m)^## (?P<version>[\d.]+) \((?P<date>\d{4}-\d\d-\d\d)\)\n")
#: Browsers take plain text without a charset for another one; this mark tells them.
MARK = "\ufeff"


def as_text(source: str, suffix: str) -> str:
    """Return a page's source for reading: of a notebook its cells, without what they showed."""
    if suffix != ".ipynb":
        return source
    parts = []
    for cell in json.loads(source)["cells"]:
        text = "".join(cell["source"]).strip("\n")
        parts.append(text if cell["cell_type"] == "markdown" else f"```python\n{text}\n```")
    return "\n\n".join(parts) + "\n"


def sources(app: Sphinx) -> None:
    """Put the source of every page beside its copy, as text that a browser shows."""
    for page in app.env.found_docs:
        file = Path(app.env.doc2path(page))
        target = Path(app.outdir, "_sources", f"{page}.txt")
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(MARK + as_text(file.read_text("utf-8"), file.suffix), "utf-8")


def feed(changelog: str, cited: citation.Book, base: str = "") -> str:
    """Return the changelog as an Atom feed, an entry for each version.

    Raises
    ------
    ValueError: no version has a heading such as ``## 0.2.0 (2026-11-26)``.
    """
    found = list(VERSION.finditer(changelog))
    if not found:
        raise ValueError("the changelog has no heading such as '## 0.2.0 (2026-11-26)'")
    ends = [*(match.start() for match in found[1:]), len(changelog)]
    markdown = MarkdownIt("commonmark").enable("table")
    entries = []
    for match, end in zip(found, ends, strict=True):
        name = f"{cited.title} {match['version']}"
        shown = markdown.render(changelog[match.end() : end])
        entries.append(
            f"<entry><title>{escape(name)}</title><id>{identifier(name)}</id>"
            f"<updated>{match['date']}T00:00:00Z</updated>"
            f'<link rel="alternate" href="{escape(base)}book/changelog.html"/>'
            f'<content type="html">{escape(shown)}</content></entry>'
        )
    own = f'<link rel="self" href="{escape(base)}feed.xml"/>' if base else ""
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n<feed xmlns="http://www.w3.org/2005/Atom">'
        f"<title>{escape(cited.title)}</title><id>{identifier(cited.title)}</id>"
        f"<updated>{found[0]['date']}T00:00:00Z</updated>"
        f"<author><name>{escape(cited.author)}</name></author>{own}"
        f'<link rel="alternate" href="{escape(base)}index.html"/>\n'
        + "\n".join(entries)
        + "\n</feed>\n"
    )


def identifier(name: str) -> str:
    """Return what a feed knows an entry by, wherever the book is published."""
    return f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}"


def sitemap(addresses: list[str]) -> str:
    """Return the list of pages that search engines read."""
    lines = "\n".join(f"<url><loc>{escape(address)}</loc></url>" for address in addresses)
    return (
        '<?xml version="1.0" encoding="utf-8"?>\n'
        f'<urlset xmlns="http://www.sitemaps.org/schemas/sitemap/0.9">\n{lines}\n</urlset>\n'
    )


def cards(app: Sphinx) -> None:
    """Draw the cards of all pages; a site that is not published has no links to share."""
    folder = Path(app.outdir, FOLDER)
    wanted = set()
    if published():
        for page in sorted(app.env.found_docs):
            wanted.add(write(card_of(app.env, page, app.env.titles[page].astext()), folder))
    tidy(folder, wanted)


def write_files(app: Sphinx, error: Exception | None) -> None:
    """Write all of them beside the pages."""
    if error or app.builder.format != "html":
        return
    out, place, cited = Path(app.outdir), published(), citation.book()
    base = place.url if place else ""
    sources(app)
    cards(app)
    robots = "User-agent: *\nAllow: /\n" + (f"Sitemap: {base}sitemap.xml\n" if base else "")
    (out / "robots.txt").write_text(robots, "utf-8")
    (out / "feed.xml").write_text(feed(CHANGELOG.read_text("utf-8"), cited, base), "utf-8")
    (out / "sitemap.xml").unlink(missing_ok=True)
    if base:
        pages = [base + app.builder.get_target_uri(page) for page in sorted(app.env.found_docs)]
        (out / "sitemap.xml").write_text(sitemap(pages), "utf-8")
    entry = head(app, ROOT, cited.title, None)
    context = {
        "book": cited,
        "head": entry,
        "language": app.config.language or "en",
        # A page that is not found may be missed at any depth: only the site's own path will do.
        "root": urlsplit(base).path if base else "",
        "start": app.builder.get_target_uri(ROOT),
    }
    for name in ("404", "index"):
        page = app.builder.templates.render(f"{name}.html", context)
        (out / f"{name}.html").write_text(page, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    # Before Jupyter Book's own entry page, which is written where there is none.
    app.connect("build-finished", write_files, priority=300)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
