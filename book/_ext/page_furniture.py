"""What stands around the text of a page, beside what the theme has.

A bar with the book's parts; below the title of a chapter one line (how long it takes to read and to
run, where to get it); at its foot what leads here and where to go next, how to cite the page, and
the licence. The words are in the templates, ``_templates/components``.
"""

from __future__ import annotations

import functools
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import citation
from docutils import nodes
from page_facts import WORDS_PER_MINUTE, reading_minutes
from page_head import ROOT, label, words_of
from page_map import page_map
from published import binder_url, colab_url, published, source_url
from sphinx.application import Sphinx

TIMES = Path(__file__).resolve().parents[1] / "run_times.json"
#: The parts of the book that the bar leads to: name in the template, page, section.
PARTS = (
    ("read", "book/01_background", ""),
    ("verdicts", "book/ledger", ""),
    ("teach", "book/welcome", "how-to-teach-from-it"),
    ("package", "book/api/index", ""),
    ("search", "search", ""),
)


@dataclass(frozen=True)
class Line:
    """What stands below a chapter's title; an address is "" where there is none."""

    minutes: int
    pace: int  # words a minute
    seconds: int  # 0 where no one has measured it
    notebook: str
    colab: str
    binder: str
    source: str


@functools.cache
def run_times() -> dict[str, float]:
    """Return the measured seconds of each notebook, by the name of its document."""
    if not TIMES.exists():
        return {}
    return json.loads(TIMES.read_text("utf-8"))["seconds"]


def rounded(seconds: float) -> int:
    """Return seconds as a reader wants them: whole ones up to ten, then steps of five."""
    return max(1, round(seconds)) if seconds < 10 else 5 * round(seconds / 5)


def line(app: Sphinx, page: str, document: nodes.document, pathto: Any) -> Line:
    """Return what stands below a chapter's title."""
    file = Path(app.env.doc2path(page, base=False)).as_posix()
    is_notebook = file.endswith(".ipynb")
    return Line(
        reading_minutes(document),
        WORDS_PER_MINUTE,
        rounded(run_times()[page]) if page in run_times() else 0,
        pathto(f"_sources/{file}", 1) if is_notebook else "",
        (colab_url(file) or "") if is_notebook else "",
        (binder_url(file) or "") if is_notebook else "",
        source_url(file) or pathto(f"_sources/{page}.txt", 1),
    )


def way(pathto: Any, page: str, section: str) -> str:
    """Return the way to a section of a page, or to the page where there is no section."""
    found = pathto(page)
    return f"{'' if found == '#' else found}#{section}" if section else found


def divided(body: str) -> tuple[str, str]:
    """Return a page's text up to and with its title, and the rest."""
    start, tag, rest = body.partition("</h1>")
    return (start + tag, rest) if tag else ("", body)


def add(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Hand the templates what they show."""
    pathto, book, place = context["pathto"], citation.book(), published()
    context["book"] = book
    context["text_licence"] = citation.TEXT_LICENCE
    context["repository"] = f"https://github.com/{place.repository}" if place else ""
    context["parts"] = {name: way(pathto, *target) for name, *target in PARTS}
    context["licences"] = way(pathto, "book/cite", "licences")
    context["is_chapter"] = page in page_map() and tree is not None
    if tree is None:
        return
    title = "" if page == ROOT else words_of(context.get("title", ""))
    published_at = context["head"].address
    context["bibtex"] = citation.bibtex(book, page, title, published_at)
    context["citation"] = citation.sentence(book, title, published_at)
    if not context["is_chapter"]:
        return
    context["page_line"] = line(app, page, tree, pathto)
    context["body_head"], context["body_rest"] = divided(context["body"])
    places = page_map()[page]
    for name, pages in (("before", places.needs), ("after", places.next)):
        context[name] = [(pathto(p), label(app.env, p), app.env.titles[p].astext()) for p in pages]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_js_file("furniture.js", loading_method="defer")
    app.connect("html-page-context", add, priority=700)  # after what page_head hands over
    return {"parallel_read_safe": True, "parallel_write_safe": True}
