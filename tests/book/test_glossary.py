"""The glossary: its words are the book's; the first use of each in a section leads to it."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path

import glossary_links as links
import pytest
import yaml
from docutils import nodes
from docutils.core import publish_doctree
from docutils.frontend import get_default_settings
from docutils.parsers.rst import directives, roles
from docutils.utils import new_document
from sphinx.testing.util import SphinxTestApp

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
CHAPTERS = sorted(BOOK.glob("*.ipynb"))


def glossary() -> list[tuple[list[str], str]]:
    """Terms and definition of each entry, as the page has them."""
    text = (BOOK / "glossary.md").read_text("utf-8")
    inside = re.search(r"```\{glossary\}\n:sorted:\n(.*?)```", text, re.S)[1]
    entries = []
    for block in inside.strip().split("\n\n"):
        lines = block.splitlines()
        terms = [line for line in lines if not line.startswith(" ")]
        entries.append((terms, " ".join(line.strip() for line in lines[len(terms) :])))
    return entries


def prose(path: Path) -> str:
    """What a notebook says outside headings, code and mathematics."""
    cells = json.loads(path.read_text("utf-8"))["cells"]
    text = "\n\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    text = re.sub(
        r"```\{literalinclude.*?```|`[^`\n]*`|\$\$.*?\$\$|\$[^$]*\$", " ", text, flags=re.S
    )
    return re.sub(r"^#.*$", "", text, flags=re.M)


def reading_order() -> list[str]:
    """The pages before the reference part, as a reader turns them."""
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))

    def files(entry: dict) -> list[str]:
        inner = [e for key in ("chapters", "sections") for e in entry.get(key, ())]
        own = [Path(entry["file"]).stem] if "file" in entry else []
        return own + [stem for e in inner for stem in files(e)]

    chapters = next(part for part in toc["parts"] if part["caption"] == "Chapters")
    return [Path(toc["root"]).stem, *files(chapters)]


def announced(stem: str) -> str:
    """A page's prose; of an overview, without the lists and tables that name what is to come."""
    if stem in TEXTS and stem != "welcome":
        return TEXTS[stem]
    text = TEXTS.get(stem) or (BOOK / f"{stem}.md").read_text("utf-8")
    return re.sub(r"^(\||#|\d+\. |- ).*$|`[^`\n]*`", "", text, flags=re.M)


def introduced(text: str, at: re.Match) -> bool:
    """Whether the word stands in italics, as one that the sentence around it explains."""
    return text[at.start() - 1] == text[at.end()] == "*"


TEXTS = {path.stem: prose(path) for path in CHAPTERS}
ENTRIES = glossary()
ORDER = reading_order()


def uses(term: str, text: str) -> bool:
    return re.search(rf"(?<![\w-])(?:{links.plural(term)})(?![\w-])", text, re.I) is not None


@pytest.mark.parametrize(("terms", "definition"), ENTRIES, ids=[e[0][0] for e in ENTRIES])
def test_every_term_is_used_where_its_entry_says(terms, definition):
    for term in terms:
        assert any(uses(term, text) for text in TEXTS.values()), f"no chapter uses {term!r}"
    pages = re.findall(r"\(\[[^\]]+\]\((\w+)\.ipynb\)\)$", definition)
    assert len(pages) == 1, "an entry ends with a link to the page that uses it first"
    assert any(uses(term, TEXTS[pages[0]]) for term in terms)
    for stem in ORDER[: ORDER.index(pages[0])]:
        for term in terms:
            at = re.search(rf"(?<![\w-])(?:{links.plural(term)})(?![\w-])", announced(stem), re.I)
            explained = stem == "welcome" and at and introduced(announced(stem), at)
            assert not at or explained, f"{stem} uses {term!r} before {pages[0]}"
    sentences = re.findall(r"[.?](?= |$)", re.sub(r"\(\[.*", "", definition))
    assert 1 <= len(sentences) <= 3


def test_no_term_has_two_entries():
    terms = [term.lower() for entry, _ in ENTRIES for term in entry]
    assert len(terms) == len(set(terms)) > 50
    for first in terms:
        for other in terms:
            pattern = links.plural(first)
            assert first == other or not re.fullmatch(pattern, other, re.I), (first, other)


@pytest.mark.parametrize(
    ("term", "text", "found"),
    [
        ("branch", "two branches", "branches"),
        ("branch", "Branch", "Branch"),
        ("branch", "debranched", None),
        ("epoch", "epochs", "epochs"),
        ("epoch", "one-epoch", None),
        ("residual block", "residual\nblocks", "residual\nblocks"),
        ("identity", "identities", "identities"),
        ("batch norm", "batch normal", None),
    ],
)
def test_terms_are_found_in_any_case_and_in_the_plural(term, text, found):
    match = links.pattern([links.Entry((term,), "glossary", "a")]).search(text)
    assert (match and match[0]) == found


def linked(source: str, *terms: tuple[str, ...]) -> str:
    """The page with its links written as [[word>anchor]]."""
    with pytest.MonkeyPatch.context() as patch:  # Sphinx, once it has run, leaves its own there
        patch.setattr(directives, "_directives", {})
        patch.setattr(roles, "_roles", {})
        document = publish_doctree(source, settings_overrides={"doctitle_xform": False})
    entries = [links.Entry(names, "glossary", f"t{i}") for i, names in enumerate(terms)]
    links.link_terms(document, entries, lambda entry: f"#{entry.anchor}")
    for reference in list(document.findall(nodes.reference)):
        if "glossary-term" in reference["classes"]:
            text = f"[[{reference.astext()}>{reference['refuri'][1:]}]]"
            reference.parent.replace(reference, nodes.Text(text))
    return document.astext()


def test_a_new_section_of_the_second_level_begins_anew():
    source = """
Page
====

A stream, a stream.

First
-----

A stream.

Deeper
~~~~~~

A stream.

Second
------

A stream.
"""
    text = linked(source, ("stream",))
    assert text.count("[[stream>t0]]") == 3
    assert "A [[stream>t0]], a stream." in text and "Deeper\n\nA stream." in text


def test_only_the_first_use_is_linked_and_the_longest_term():
    text = linked("A stream and a shortcut. The residual stream, the shortcut.", ("stream",))
    assert text == "A [[stream>t0]] and a shortcut. The residual stream, the shortcut."
    text = linked("The residual stream is a stream.", ("stream",), ("residual stream",))
    assert text == "The [[residual stream>t1]] is a [[stream>t0]]."
    text = linked("A skip connection, or shortcut.", ("shortcut", "skip connection"))
    assert text == "A [[skip connection>t0]], or shortcut."


def test_headings_code_mathematics_and_links_stay_as_they_are():
    source = """
The shortcut
============

``shortcut`` and :math:`shortcut` and `shortcut <https://example.org>`__ come first.

.. code::

   shortcut

.. math:: shortcut

.. figure:: nothing.png

   A shortcut, in a caption.

==========  =====
shortcut    head
==========  =====
none        none
==========  =====

- in a *shortcut*, then.
"""
    text = linked(source, ("shortcut",))
    assert text.count("[[") == 1 and "in a [[shortcut>t0]], then." in text
    assert linked("A stream.") == "A stream."


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    """The glossary and every chapter's prose, built by Sphinx with the extension."""
    source = tmp_path_factory.mktemp("book")
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(BOOK / '_ext')!r})\n"
        "extensions = ['myst_parser', 'glossary_links']\n"
        "myst_enable_extensions = ['dollarmath']\nsuppress_warnings = ['*']\n"
    )
    page = (BOOK / "glossary.md").read_text("utf-8").replace(".ipynb)", ".md)")
    (source / "glossary.md").write_text(page)
    (source / "index.md").write_text("# Book\n\n```{toctree}\n:glob:\n*\n```\n")
    for path in CHAPTERS:
        cells = json.loads(path.read_text("utf-8"))["cells"]
        kept = ["".join(c["source"]) for c in cells if c["cell_type"] == "markdown"]
        text = re.sub(r"^(`{3,})\{.*?^\1$", "", "\n\n".join(kept), flags=re.S | re.M)
        (source / f"{path.stem}.md").write_text(re.sub(r"^\(.*\)=$", "", text, flags=re.M))
    app = SphinxTestApp("html", srcdir=source, freshenv=True)
    app.build()
    yield app
    app.cleanup()


def test_every_sections_first_use_is_linked_and_no_other(built):
    entries, everyday = built.env.glossary_entries, links.Everyday.read()
    assert len(entries) == len(ENTRIES)
    numbers, pages = {entry.anchor: i for i, entry in enumerate(entries)}, 0
    for path in CHAPTERS:
        doctree = built.env.get_and_resolve_doctree(path.stem, built.builder)
        found = {}
        for reference in doctree.findall(nodes.reference):
            if "glossary-term" in reference["classes"]:
                page, anchor = reference["refuri"].split("#")
                at = id(links.unit(reference)), numbers[anchor]
                assert page == "glossary.html" and at not in found, (path.stem, anchor)
                found[at] = reference
        pages += bool(found)
        place = {id(node): i for i, node in enumerate(doctree.findall(nodes.Text))}
        for text, _, number in links.uses(doctree, entries, everyday, path.stem):
            at = id(links.unit(text)), number
            assert at in found, (path.stem, entries[number].terms, text[:80])
            (inside,) = found[at].findall(nodes.Text)
            assert place[id(inside)] < place[id(text)], (path.stem, entries[number].terms)
    assert pages > 8


EVERYDAY = [
    ("Try it in your head, then run it.", []),
    ("The head start. Does the plain network reach it?", []),
    ("The network's own head, put behind a block.", ["head"]),
    ("If one random path is followed in ever finer steps,", []),
    ("Choose a path through three blocks.", ["path"]),
    ("Deep kernel shaping trains networks; a kernel of 3 does not.", ["kernel"]),
    ("A trained network survives the loss of a block.", []),
    ("The training loss falls without loss.", ["loss"]),
    ("harder in steps that we control; the control is plain", ["control"]),
    ("with values and projection at the identity", []),
    ("a projection where the shape changes", ["projection"]),
    ("One line for each stage. Within a stage the shape stays.", ["stage"]),
]


@pytest.mark.parametrize(("text", "expected"), EVERYDAY, ids=[t[:30] for t, _ in EVERYDAY])
def test_everyday_words_are_no_links(text, expected):
    entries = [links.Entry(tuple(terms), "glossary", "a") for terms, _ in ENTRIES]
    document = new_document("page", get_default_settings())
    document += nodes.section("", nodes.paragraph("", text))
    found = links.uses(document, entries, links.Everyday.read(), "page")
    words = {"head", "path", "kernel", "loss", "control", "projection", "stage"}
    assert [m[0].lower() for _, m, _ in found if m[0].lower() in words] == expected


def test_a_word_can_mean_something_else_on_a_whole_page():
    entries = [links.Entry(("head",), "glossary", "a")]
    document = new_document("page", get_default_settings())
    document += nodes.paragraph("", "The top of the head.")
    everyday = links.Everyday.read()
    assert len(links.uses(document, entries, everyday, "book/02_stream")) == 1
    assert links.uses(document, entries, everyday, "book/06_medical") == []


def test_every_everyday_phrase_has_a_term_and_every_page_is_there():
    everyday = links.Everyday.read()
    listed = tomllib.loads(links.EVERYDAY.read_text("utf-8"))
    entries = [links.Entry(tuple(terms), "glossary", "a") for terms, _ in ENTRIES]
    for phrase in listed["phrases"]:
        assert links.pattern(entries).search(phrase), phrase
    terms = {term for names, _ in ENTRIES for term in names}
    for page, words in everyday.pages.items():
        assert (ROOT / f"{page}.ipynb").is_file() and set(words) <= terms


def test_the_glossary_does_not_link_to_itself(built):
    page = (Path(built.outdir) / "glossary.html").read_text("utf-8")
    assert "glossary-term" not in page
    chapter = (Path(built.outdir) / "02_idea.html").read_text("utf-8")
    anchors = re.findall(
        r'class="glossary-term reference internal" href="glossary.html#([\w-]+)"', chapter
    )
    assert len(anchors) > 5 and all(f'id="{anchor}"' in page for anchor in anchors)


def test_a_changed_glossary_writes_every_page_again(built):
    assert links.collect(built, built.env) == []
    built.env.glossary_entries = []
    assert set(links.collect(built, built.env)) >= {path.stem for path in CHAPTERS}
