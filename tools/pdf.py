"""Print the built book as one PDF: python -m tools.pdf; `make pdf` builds the pages before.

Chromium prints; it makes the outline from the headings and keeps links inside of the book. It does
so twice: the first print tells on which page each chapter begins.
"""

from __future__ import annotations

import html
import shutil
import sys
import time
from pathlib import Path

import yaml
from playwright.sync_api import sync_playwright
from pypdf import PdfReader

from tools.printed import Entry, name_of, whole

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
NAME = "residual-connections.pdf"
# Faces that a screen does without when they are late.
FACES = "Promise.all([...document.fonts].map(face => face.load())).then(all => all.length)"
MINUTES = 15  # a machine may be busy


def cover(citation: dict) -> str:
    """Return the first page: the title in two lines, all paths through six blocks, the facts."""
    title, _, subtitle = citation["title"].partition(": ")
    authors = ", ".join(author["name"] for author in citation["authors"])
    facts = f"Version {citation['version']}, {citation['date-released']}"
    return (
        f'<div class="cover"><p class="title">{title}<span>{subtitle}</span></p>'
        '<img src="_static/cover.svg" alt="All paths through six residual blocks">'
        f"<p>{html.escape(authors)}<br>{facts}<br>"
        "Text and figures CC BY 4.0, code BSD 3-Clause</p></div>"
    )


def contents(entries: list[Entry], numbers: dict[str, int]) -> str:
    """Return the table of contents; pages whose number is not known yet show 000."""
    lines = ['<nav class="printed-contents"><p class="heading">Contents</p>']
    for entry in entries:
        if not entry.page:
            lines.append(f'<p class="part">{html.escape(entry.title)}</p>')
            continue
        name = name_of(entry.page)
        inner = ' class="inner"' if entry.depth else ""
        number = numbers.get(name, "000")
        title = html.escape(entry.title)
        lines.append(f'<a{inner} href="#{name}">{title}<span>{number}</span></a>')
    return "\n".join([*lines, "</nav>"])


def page(site: Path, root: Path, numbers: dict[str, int]) -> tuple[str, list[Entry]]:
    """Return the whole book as one page of HTML, and the lines of its contents."""
    citation = yaml.safe_load((root / "CITATION.cff").read_text("utf-8"))
    entries, links, articles = whole(site, root)
    own = (root / "tools" / "pdf.css").read_text("utf-8")
    text = (
        f'<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f"<title>{html.escape(citation['title'])}</title>{links}<style>{own}</style></head>"
        f'<body data-theme="light">{cover(citation)}{contents(entries, numbers)}{articles}'
        "</body></html>"
    )
    return text, entries


def write(site: Path, text: str, target: Path) -> None:
    """Print a page of HTML, whose addresses are relative to the site, into a file."""
    source = site / "printed.html"
    source.write_text(text, "utf-8")
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        raise SystemExit("error: Chromium is needed to print the book; install chromium")
    try:
        with sync_playwright() as playwright:
            chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
            sheet = chromium.new_page(color_scheme="light")
            sheet.set_default_timeout(60_000 * MINUTES)
            sheet.goto(source.as_uri())
            sheet.evaluate(FACES)
            sheet.pdf(
                path=target,
                prefer_css_page_size=True,
                print_background=True,
                outline=True,
                tagged=True,
            )
            chromium.close()
    finally:
        source.unlink()


def first_pages(pdf: Path, entries: list[Entry]) -> dict[str, int]:
    """Return the number of the page on which each page of the site begins."""
    reader = PdfReader(pdf)
    places = reader.named_destinations
    found = {}
    for name in (name_of(entry.page) for entry in entries if entry.page):
        place = places.get(name) or places.get(f"/{name}")
        if place is None:
            raise ValueError(f"{pdf.name} has no place {name!r}")
        found[name] = reader.get_destination_page_number(place) + 1
    return found


def make(site: Path = SITE, root: Path = ROOT) -> Path:
    """Write the PDF into the site; return its path."""
    target = site / NAME
    part = target.with_suffix(".part")
    text, entries = page(site, root, {})
    write(site, text, part)
    numbers = first_pages(part, entries)
    text, _ = page(site, root, numbers)
    write(site, text, part)
    if first_pages(part, entries) != numbers:
        raise ValueError("the numbers of the contents have moved the chapters")
    part.replace(target)
    return target


if __name__ == "__main__":
    start = time.monotonic()
    made = make()
    count = len(PdfReader(made).pages)
    minutes = (time.monotonic() - start) / 60
    print(f"{made}: {count} pages, {made.stat().st_size / 2**20:.1f} MiB, {minutes:.1f} minutes")
    sys.exit(0)
