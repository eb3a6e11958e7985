"""What a link leads to, on a card beside it: a term, a citation, a section, a figure, an exercise.

The cards of the whole book are one classic script, ``_static/cards-data.js``, which a page loads
when a reader first points at a link; so pages weigh no more, and it works from a file too. The
cards are read off the doctrees: of what they show, the first words, without links, and without any
script of another host. ``cards.js`` shows them.
"""

from __future__ import annotations

import functools
import html
import json
import posixpath
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from bs4 import BeautifulSoup
from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx

LINK = re.compile(r'<a class="[^"]*\breference internal\b[^"]*" href="(?P<href>[^"]+)"')
ARTICLE = re.compile(r"<article\b.*?</article>", re.S)
LINKS = (nodes.reference, addnodes.pending_xref, addnodes.download_reference)
LONGEST = 420  # characters of text on a card
DATA = "cards-data.js"


def links(page: str, text: str) -> Iterator[tuple[str, str]]:
    """Return the documents and anchors that a page's text links to."""
    for article in ARTICLE.findall(text):
        for match in LINK.finditer(article):
            path, _, anchor = html.unescape(match["href"]).partition("#")
            if ":" in path or not (path.endswith(".html") or not path):
                continue
            folder = posixpath.dirname(page)
            target = posixpath.normpath(posixpath.join(folder, path[:-5])) if path else page
            yield target, anchor


def plain(node: nodes.Node) -> list[nodes.Node]:
    """Return a copy of a node without links, notes and names, which are of another page."""
    if isinstance(node, nodes.Text):
        return [nodes.Text(node.astext())]
    if isinstance(node, (nodes.target, nodes.footnote_reference, nodes.system_message)):
        return []
    children = [copy for child in node.children for copy in plain(child)]
    if isinstance(node, LINKS) or (isinstance(node, nodes.inline) and "xref" in node["classes"]):
        return children
    copy = node.copy()
    for name in ("ids", "names", "backrefs"):
        copy[name] = []
    copy += children
    return [copy]


def shortened(paragraph: nodes.Element, longest: int = LONGEST) -> nodes.paragraph:
    """Return the beginning of a paragraph, to the end of a word."""
    found, left = nodes.paragraph(), longest
    for child in [copy for node in paragraph.children for copy in plain(node)]:
        words = child.astext()
        if len(words) > left and isinstance(child, nodes.Text):
            found += nodes.Text(words[: words.rfind(" ", 0, left) + 1].rstrip(" ,;:") + " …")
            break
        if left <= 0:
            found += nodes.Text(" …")
            break
        found += child
        left -= len(words)
    return found


def first_paragraph(node: nodes.Node) -> nodes.Element | None:
    """Return the first paragraph that says something, or None."""
    for paragraph in node.findall(nodes.paragraph):
        inside_list = isinstance(paragraph.parent, (nodes.list_item, nodes.entry))
        if not inside_list and paragraph.astext().strip():
            return paragraph
    return None


def light(text: str) -> str:
    """Keep of every formula its MathML, which browsers set by themselves: a tenth of the bytes."""
    if "katex" not in text:
        return text
    soup = BeautifulSoup(text, "html.parser")
    for annotation in soup.find_all("annotation"):
        annotation.decompose()
    for formula in soup.find_all("span", class_="katex"):
        if formula.math is not None:
            formula.replace_with(formula.math.extract())
    return str(soup)


def definition(paragraph: nodes.Element) -> nodes.Element:
    """Return a definition without its end, the page that uses the word first, in brackets."""
    copy = paragraph.deepcopy()
    if len(copy) > 2 and copy[-1].astext() == ")" and copy[-3].astext().endswith(" ("):
        before = copy[-3].astext().removesuffix(" (")
        del copy[-3:]
        copy += nodes.Text(before)
    return copy


class Cards:
    """Makes cards of a book's doctrees."""

    def __init__(self, app: Sphinx) -> None:
        self.env, self.builder = app.env, app.builder
        self.formats = app.config.numfig_format

    @functools.lru_cache(maxsize=4)  # noqa: B019 - it lives as long as the build
    def doctree(self, docname: str) -> nodes.document:
        tree = self.env.get_doctree(docname)
        if any(type(node).__name__ == "bibliography" for node in tree.findall(nodes.Element)):
            return self.env.get_and_resolve_doctree(docname, self.builder)
        return tree

    def html(self, node: nodes.Node) -> str:
        return light(self.builder.render_partial(node)["fragment"].strip())

    def numbered(self, kind: str, docname: str, id: str) -> str:
        number = self.env.toc_fignumbers.get(docname, {}).get(kind, {}).get(id)
        return self.formats[kind] % ".".join(map(str, number)) if number else ""

    def card(self, docname: str, anchor: str) -> str:
        """Return the card of an anchor, or "" where there is nothing to say."""
        tree = self.doctree(docname)
        if anchor:
            found = [n for n in tree.findall(nodes.Element) if anchor in n.get("ids", ())]
        else:
            found = list(tree.findall(nodes.section))[:1]
        if not found:
            return ""
        title, body = self.parts(docname, anchor, found[0])
        if not body:
            return ""
        return f"<b>{html.escape(title, quote=False)}</b>{body}" if title else body

    def parts(self, docname: str, anchor: str, node: nodes.Element) -> tuple[str, str]:
        """Return the title and the body of a card."""
        if isinstance(node, nodes.term):
            item = node.parent
            terms = [term.astext() for term in item.findall(nodes.term)]
            text = first_paragraph(item)
            return ", ".join(terms), self.html(
                shortened(definition(text), 2 * LONGEST)
            ) if text else ""
        if isinstance(node, nodes.citation):
            text = first_paragraph(node)
            return "", self.html(shortened(text, 2 * LONGEST)) if text else ""
        if isinstance(node, nodes.section):
            return self.section(docname, anchor, node)
        if isinstance(node, nodes.figure):
            caption = next(iter(node.findall(nodes.caption)), None)
            title = self.numbered("figure", docname, node["ids"][0])
            return title, self.html(shortened(caption)) if caption else ""
        if type(node).__name__.startswith("exercise"):
            text = first_paragraph(node)
            title = self.numbered("exercise", docname, node["ids"][0])
            return title, self.html(shortened(text)) if text else ""
        if isinstance(node, nodes.math_block):
            return "", self.html(
                nodes.math_block("", node.astext(), nowrap=node["nowrap"], number=None)
            )
        return "", ""

    def section(self, docname: str, anchor: str, node: nodes.Element) -> tuple[str, str]:
        numbers = self.env.toc_secnumbers.get(docname, {})
        is_page = isinstance(node.parent, nodes.document)
        number = numbers.get("" if is_page else f"#{node['ids'][0]}", ())
        title = node.children[0].astext() if node.children else ""
        text = first_paragraph(node)
        label = ".".join(map(str, number))
        return f"{label} {title}".strip(), self.html(shortened(text)) if text else ""


def write_cards(app: Sphinx, error: Exception | None) -> None:
    """Write the cards of everything that a page links to."""
    if error or app.builder.name != "html":
        return
    out = Path(app.outdir)
    wanted = sorted(
        {
            target
            for docname in app.env.found_docs
            if (page := out / f"{docname}.html").exists()
            for target in links(docname, page.read_text("utf-8"))
            if target[0] in app.env.found_docs
        }
    )
    cards, make = {}, Cards(app)
    for docname, anchor in wanted:
        if text := make.card(docname, anchor):
            cards[f"{docname}.html" + (f"#{anchor}" if anchor else "")] = text
    listed = json.dumps(cards, ensure_ascii=False, indent=0, sort_keys=True)
    (out / "_static" / DATA).write_text(f"window.companionCards = {listed};\n", "utf-8")


def setup(app: Sphinx) -> dict[str, Any]:
    app.add_js_file("cards.js", loading_method="defer")
    # Formulas are typeset by a program that ends with the build, at the priority 500.
    app.connect("build-finished", write_cards, priority=100)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
