"""Link the first use of every glossary term in a section to its entry, so that no author has to.

Terms are read from the glossary itself: what is written there is linked everywhere, in any case,
in the plural too, longest terms first. Several terms of one entry count as one. Words in another
sense, as in "try it in your head", stay words: ``everyday.toml`` has what stands around them.
Headings, code,
mathematics, links, captions, citations, table heads, what cells print and the descriptions of the
API stay as they are.
"""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.transforms.post_transforms import SphinxPostTransform

#: Inside these nothing is linked.
SKIPPED = (
    nodes.title,
    nodes.subtitle,
    nodes.rubric,
    nodes.caption,
    nodes.literal,
    nodes.literal_block,
    nodes.math,
    nodes.math_block,
    nodes.reference,
    nodes.raw,
    nodes.thead,
    nodes.label,
    nodes.citation,
    nodes.footnote,
    nodes.image,
    nodes.comment,
    addnodes.pending_xref,
    addnodes.desc,
    addnodes.glossary,
    addnodes.toctree,
    addnodes.download_reference,
)
#: Containers that are skipped by their class: what a cell shows, and a bibliography.
SKIPPED_CLASSES = {"cell_input", "cell_output", "bibliography", "sd-tab-label", "no-glossary"}


EVERYDAY = Path(__file__).resolve().parents[1] / "everyday.toml"


class Entry(NamedTuple):
    """A glossary entry: all its terms, and where it stands."""

    terms: tuple[str, ...]
    page: str
    anchor: str


def plural(term: str) -> str:
    """Return a pattern for a term, its plural, and any white space between its words."""
    *first, last = (re.escape(word) for word in term.split())
    if term[-1] == "y" and term[-2] not in "aeiou":
        last = f"{last[:-1]}(?:y|ies)"
    elif term.endswith(("s", "x", "ch", "sh")):  # branches, and epochs
        last = f"{last}(?:e?s)?"
    else:
        last = f"{last}s?"
    return r"\s+".join([*first, last])


def pattern(entries: list[Entry]) -> re.Pattern[str]:
    """Return one expression for all terms; the group ``e5`` is a term of the entry 5."""
    terms = [(term, i) for i, entry in enumerate(entries) for term in entry.terms]
    terms.sort(key=lambda pair: -len(pair[0]))
    # A name for each alternative: several terms may belong to one entry.
    parts = [f"(?P<e{i}_{n}>{plural(term)})" for n, (term, i) in enumerate(terms)]
    return re.compile(rf"(?<![\w-])(?:{'|'.join(parts)})(?![\w-])", re.IGNORECASE)


def entries_of(doctree: nodes.document, page: str) -> list[Entry]:
    """Return the entries of the glossaries on a page."""
    found = []
    for glossary in doctree.findall(addnodes.glossary):
        for item in glossary.findall(nodes.definition_list_item):
            terms = [child for child in item.children if isinstance(child, nodes.term)]
            if terms and terms[0]["ids"]:
                names = tuple(term.astext().strip() for term in terms)
                found.append(Entry(names, page, terms[0]["ids"][0]))
    return found


def skipped(node: nodes.Node) -> bool:
    """Return whether nothing may be linked in this node and below it."""
    if isinstance(node, SKIPPED):
        return True
    return isinstance(node, nodes.Element) and bool(SKIPPED_CLASSES & set(node.get("classes", [])))


def prose(node: nodes.Node) -> list[nodes.Text]:
    """Return the text nodes in which a term may be linked, in reading order."""
    if isinstance(node, nodes.Text):
        return [node]
    if skipped(node):
        return []
    return [text for child in node.children for text in prose(child)]


class Everyday:
    """Where a word stands in another sense than the glossary's."""

    def __init__(
        self, phrases: Iterable[str] = (), pages: dict[str, list[str]] | None = None
    ) -> None:
        parts = (r"\s+".join(map(re.escape, phrase.split())) for phrase in phrases)
        alternatives = "|".join(sorted(parts, key=len, reverse=True))
        self.phrases = re.compile(rf"\b(?:{alternatives})\b", re.I) if phrases else None
        self.pages = pages or {}

    @classmethod
    def read(cls) -> Everyday:
        """Return what the file lists."""
        return cls(**tomllib.loads(EVERYDAY.read_text("utf-8")))

    def terms(self, page: str) -> set[str]:
        """Return the terms that mean something else on the whole page."""
        return set(self.pages.get(page, ()))

    def spans(self, words: str) -> list[tuple[int, int]]:
        """Return where a text uses everyday words."""
        return [match.span() for match in self.phrases.finditer(words)] if self.phrases else []


def unit(node: nodes.Node) -> nodes.Node | None:
    """Return the section of the second level around a node; above the first, that of the page."""
    around = []
    while node is not None:
        if isinstance(node, nodes.section):
            around.append(node)
        node = node.parent
    return around[-2] if len(around) > 1 else (around or [None])[0]


def uses(
    document: nodes.document, entries: list[Entry], everyday: Everyday, page: str = ""
) -> list[tuple[nodes.Text, re.Match[str], int]]:
    """Return every use of a term in its own sense: the text, the place in it, and the entry."""
    if not entries:
        return []
    expression, elsewhere = pattern(entries), everyday.terms(page)
    found = []
    for text in prose(document):
        words = text.astext()
        spans = everyday.spans(words)
        for match in expression.finditer(words):
            number = int(str(match.lastgroup)[1:].partition("_")[0])
            in_phrase = any(start <= match.start() < end for start, end in spans)
            if not in_phrase and not elsewhere & set(entries[number].terms):
                found.append((text, match, number))
    return found


def link_terms(
    document: nodes.document,
    entries: list[Entry],
    uri: Any,
    everyday: Everyday | None = None,
    page: str = "",
) -> int:
    """Link the first use of each entry in each section; ``uri`` returns an entry's address.

    Return how many links there are.
    """
    linked: set[tuple[int, int]] = set()
    chosen: dict[int, list[tuple[re.Match[str], int]]] = {}
    texts: dict[int, nodes.Text] = {}
    for text, match, number in uses(document, entries, everyday or Everyday(), page):
        at = id(unit(text)), number
        if at not in linked:
            linked.add(at)
            texts[id(text)] = text
            chosen.setdefault(id(text), []).append((match, number))
    for key, matches in chosen.items():
        text, pieces, end = texts[key], [], 0
        words = text.astext()
        for match, number in matches:
            pieces.append(nodes.Text(words[end : match.start()]))
            link = nodes.reference("", match[0], refuri=uri(entries[number]), internal=True)
            link["classes"].append("glossary-term")
            pieces.append(link)
            end = match.end()
        text.parent.replace(text, [*pieces, nodes.Text(words[end:])])
    return len(linked)


class GlossaryLinks(SphinxPostTransform):
    default_priority = 900  # references are resolved, and cells have chosen what they show
    formats = ("html",)

    def run(self, **options: Any) -> None:
        entries = getattr(self.env, "glossary_entries", [])
        page = self.env.docname
        if any(entry.page == page for entry in entries):
            return
        builder = self.app.builder
        link_terms(
            self.document,
            entries,
            lambda entry: f"{builder.get_relative_uri(page, entry.page)}#{entry.anchor}",
            Everyday.read(),
            page,
        )


def collect(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Read the glossary once; if its terms have changed, write every page again."""
    terms = env.get_domain("std").get_objects()
    pages = sorted({page for _, _, kind, page, _, _ in terms if kind == "term"})
    entries = [e for page in pages for e in entries_of(env.get_doctree(page), page)]
    before, env.glossary_entries = getattr(env, "glossary_entries", None), entries  # type: ignore[attr-defined]
    listed = EVERYDAY.read_text("utf-8")
    known = getattr(env, "everyday_words", None) == listed
    env.everyday_words = listed  # type: ignore[attr-defined]
    return [] if entries == before and known else sorted(env.found_docs)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_css_file("glossary.css")
    app.connect("env-updated", collect)
    app.add_post_transform(GlossaryLinks)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
