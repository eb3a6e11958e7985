"""What a page tells machines about itself: search engines, chats, readers of feeds.

All of it is data of the template ``components/head.html``. What needs to know where the book is
published (an address of its own, a picture beside a link) is left out where no setting says it.
"""

from __future__ import annotations

import html
import json
import re
from dataclasses import dataclass
from typing import Any

from citation import TEXT_LICENCE, Book, book
from docutils import nodes
from page_facts import description, reading_minutes
from page_map import page_map
from published import published
from social_cards import FOLDER, SIZE, Card
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

GLOSSARY = "book/glossary"
#: Sections that every chapter has; what it teaches stands in the others.
COMMON = {
    "in-one-minute",
    "what-you-will-need",
    "claims-checked",
    "exercises",
    "going-further",
    "what-was-not-measured",
}
ROOT = "book/welcome"


@dataclass(frozen=True)
class Head:
    """What stands in a page's head."""

    title: str
    description: str
    kind: str  # of Open Graph
    address: str  # "" where no one knows it, as with the card
    card: str
    card_size: tuple[int, int]
    data: str  # JSON-LD, "" where a page is neither the book nor a part of it


def label(env: BuildEnvironment, page: str) -> str:
    """Return a page's label, as 4 or 4B where chapters are numbered so, "" where it has none."""
    given = getattr(env, "page_labels", None)
    if given is not None:
        return given.get(page, "")
    found = re.match(r"0*(\d+)_", page.rpartition("/")[2])
    return found[1] if found else ""


def number(env: BuildEnvironment, page: str) -> int:
    """Return the chapter of a page, 0 where it is of none."""
    return int(re.sub(r"\D", "", label(env, page)) or 0)


def card_of(env: BuildEnvironment, page: str, title: str) -> Card:
    """Return the card of a page."""
    cited, chapters = book(), max(number(env, p) for p in page_map())
    if page == ROOT:
        return Card(cited.title, "", "", 0, chapters)
    return Card(title, cited.title, label(env, page), number(env, page), chapters)


def terms(env: BuildEnvironment) -> dict[str, list[str]]:
    """Return the glossary's terms by the page that each entry names as its first."""
    found: dict[str, list[str]] = {}
    if GLOSSARY not in env.found_docs:
        return found
    for item in env.get_doctree(GLOSSARY).findall(nodes.definition_list_item):
        links = [link["reftarget"] for link in item.findall(addnodes.pending_xref)]
        if links:
            page = "book/" + links[-1].rpartition("/")[2].partition(".")[0]
            found.setdefault(page, []).append(item[0].astext().strip())
    return found


def teaches(document: nodes.document, page: str, env: BuildEnvironment) -> list[str]:
    """Return the glossary's terms that a page uses first, or else what its sections are about."""
    if not hasattr(env, "terms_by_page"):
        env.terms_by_page = terms(env)  # type: ignore[attr-defined]
    named = env.terms_by_page.get(page, [])  # type: ignore[attr-defined]
    if named:
        return named
    sections = (s for s in document.findall(nodes.section) if not COMMON & set(s["ids"]))
    titles = [s[0].astext() for s in sections if s.children and isinstance(s[0], nodes.title)]
    children = [env.titles[child].astext() for child in env.toctree_includes.get(page, ())]
    return titles[1:] or children  # the first is the page's own; an overview has its parts


def whole(cited: Book, about: str, language: str, address: str) -> dict[str, Any]:
    """Return what is said of the book, as schema.org has it."""
    said: dict[str, Any] = {
        "@type": "Book",
        "name": cited.title,
        "description": about,
        "author": {"@type": "Organization", "name": cited.author},
        "inLanguage": language,
        "license": TEXT_LICENCE,
        "version": cited.version,
        "datePublished": cited.released,
        "isAccessibleForFree": True,
    }
    return said | ({"url": address} if address else {})


def lesson(
    title: str, about: str, cited: Book, language: str, minutes: int, subjects: list[str]
) -> dict[str, Any]:
    """Return what is said of a chapter, as schema.org has it."""
    said = {
        "@type": "LearningResource",
        "name": title,
        "description": about,
        "learningResourceType": "chapter",
        "timeRequired": f"PT{minutes}M",
        "inLanguage": language,
        "license": TEXT_LICENCE,
        "isAccessibleForFree": True,
        "author": {"@type": "Organization", "name": cited.author},
    }
    return said | ({"teaches": subjects} if subjects else {})


def structured(said: dict[str, Any]) -> str:
    """Return JSON that may stand inside of a script element."""
    text = json.dumps({"@context": "https://schema.org", **said}, ensure_ascii=False)
    return text.replace("<", "\\u003c")


def head(app: Sphinx, page: str, title: str, document: nodes.document | None) -> Head:
    """Return what stands in the head of a page."""
    cited, place = book(), published()
    language = app.config.language or "en"
    field = (app.env.metadata.get(page) or {}).get("description", "")
    about = app.config.book_description if page == ROOT else description(document, field)
    shown = cited.title if page == ROOT else title
    base = place.url if place else ""
    address = base and base + app.builder.get_target_uri(page)
    data = ""
    book_said = whole(cited, app.config.book_description, language, base)
    if page == ROOT:
        data = structured(book_said)
    elif page in page_map() and document is not None:
        minutes, subjects = reading_minutes(document), teaches(document, page, app.env)
        said = lesson(shown, about, cited, language, minutes, subjects)
        said |= {"position": number(app.env, page)} if number(app.env, page) else {}
        said |= {"url": address} if address else {}
        short = {k: v for k, v in book_said.items() if k in ("@type", "name", "url")}
        data = structured(said | {"isPartOf": short})
    card = f"{base}{FOLDER}/{card_of(app.env, page, shown).name}" if base else ""
    return Head(shown, about, "book" if page == ROOT else "article", address, card, SIZE, data)


def add(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Hand the template what it shows."""
    title = words_of(context.get("title", ""))
    context["head"] = head(app, page, title, tree)
    context["docstitle"] = book().short_title  # the theme shows it above every page
    context["pageurl"] = context["head"].address  # canonical; Sphinx's own setting has another name


def words_of(markup: str) -> str:
    """Return the words of a title that Sphinx has written as HTML."""
    return html.unescape(re.sub(r"<[^>]*>", "", str(markup)))


def setup(app: Sphinx) -> dict[str, bool]:
    published()  # a bad setting stops the build before its first page
    app.add_config_value("book_description", "", "html", [str])
    app.connect("html-page-context", add, priority=600)  # after Sphinx's and the theme's own
    return {"parallel_read_safe": True, "parallel_write_safe": True}
