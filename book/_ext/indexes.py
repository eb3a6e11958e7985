"""Lists of all figures and of all exercises, by chapter, made when the book is built.

``{figure-index}`` and ``{exercise-index}`` stand on a page of their own, whose name ends with
``_index``. What is listed, with its number, is read off the other pages.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from cards import first_paragraph, plain, shortened
from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment
from sphinx.locale import get_translation
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform
from sphinx.util.docutils import SphinxDirective

_ = get_translation("book")

#: How many minutes an exercise of a kind takes: rules of thumb, which the page itself states.
MINUTES = {"recall": 2, "derive": 10, "modify": 15, "investigate": 30}
WORDS = 110  # characters of an exercise's text


class index_of(nodes.General, nodes.Element):
    """Where a list will stand; its ``kind`` says of what."""


class Index(SphinxDirective):
    """Leave a place for the list that the directive's name says."""

    def run(self) -> list[nodes.Node]:
        return [index_of(kind=self.name.removesuffix("-index"))]


class Kinds(SphinxTransform):
    """Keep an exercise's kind, its first word in italics, before it is translated."""

    default_priority = 15

    def apply(self, **options: Any) -> None:
        for exercise in self.document.findall(is_exercise):
            word = next(iter(exercise.findall(nodes.emphasis)), None)
            kind = word.astext().strip(" .").lower() if word else ""
            exercise["kind"] = kind if kind in MINUTES else ""


def is_exercise(node: nodes.Node) -> bool:
    """Return whether a node is an exercise, and not one of its parts."""
    return type(node).__name__ in ("exercise_node", "exercise_enumerable_node")


def table(head: list[str], rows: list[list[list[nodes.Node]]], widths: list[int]) -> nodes.table:
    """Return a table of inline nodes."""
    found = nodes.table(classes=["index-table", "no-glossary"])
    group = nodes.tgroup(cols=len(head))
    group += [nodes.colspec(colwidth=width) for width in widths]
    above, body = nodes.thead(), nodes.tbody()
    above += nodes.row("", *[nodes.entry("", nodes.paragraph("", text)) for text in head])
    for row in rows:
        body += nodes.row("", *[nodes.entry("", nodes.paragraph("", "", *cell)) for cell in row])
    group += [above, body]
    found += group
    return found


class Indexes(SphinxPostTransform):
    """Put the lists where their places are."""

    default_priority = 4  # before references of this page are resolved
    formats = ("html",)

    def run(self, **options: Any) -> None:
        for place in list(self.document.findall(index_of)):
            make = {"figure": self.figures, "exercise": self.exercises}[place["kind"]]
            found: list[nodes.Node] = []
            for chapter, rows, head, widths in make():
                title = _("Chapter %s") % chapter
                found.append(nodes.rubric("", title, ids=[f"chapter-{chapter}"]))
                found.append(table(head, rows, widths))
            place.parent.replace(place, found)

    def numbered(self, kind: str) -> list[tuple[tuple[str, int], str, nodes.Element]]:
        """Return number, document and node of everything that has a number, in their order."""
        found = []
        for docname, kinds in self.env.toc_fignumbers.items():
            if not kinds.get(kind):
                continue
            tree = self.env.get_doctree(docname)
            by_id = {id: node for node in tree.findall(nodes.Element) for id in node.get("ids", ())}
            found += [(number, docname, by_id[id]) for id, number in kinds[kind].items()]
        return sorted(found, key=lambda each: (int(each[0][0]), each[0][1]))

    def link(self, docname: str, anchor: str, *text: nodes.Node) -> nodes.reference:
        uri = self.app.builder.get_relative_uri(self.env.docname, docname)
        return nodes.reference("", "", *text, refuri=f"{uri}#{anchor}", internal=True)

    def page(self, docname: str) -> nodes.Node:
        label = getattr(self.env, "page_labels", {}).get(docname, "")
        uri = self.app.builder.get_relative_uri(self.env.docname, docname)
        text = f"{label} {self.env.titles[docname].astext()}".strip()
        return nodes.reference("", text, refuri=uri, internal=True)

    def chapters(self, kind: str) -> Iterator[tuple[str, list[tuple[str, str, nodes.Element]]]]:
        by_chapter: dict[str, list[tuple[str, str, nodes.Element]]] = {}
        for number, docname, node in self.numbered(kind):
            label = ".".join(map(str, number))
            by_chapter.setdefault(str(number[0]), []).append((label, docname, node))
        yield from by_chapter.items()

    def figures(self) -> Iterator[Any]:
        head = [_("Figure"), _("What it shows"), _("Page")]
        for chapter, each in self.chapters("figure"):
            rows = []
            for label, docname, node in each:
                caption = next(iter(node.findall(nodes.caption)), nodes.caption())
                said = [copy for child in caption.children for copy in plain(child)]
                anchor = self.link(docname, node["ids"][0], nodes.Text(label))
                rows.append([[anchor], said, [self.page(docname)]])
            yield chapter, rows, head, [8, 62, 30]

    def exercises(self) -> Iterator[Any]:
        head = [_("Exercise"), _("Kind"), _("Minutes"), _("It begins"), _("Page")]
        for chapter, each in self.chapters("exercise"):
            rows = []
            for label, docname, node in each:
                anchor = self.link(docname, node["ids"][0], nodes.Text(label))
                kind, said = self.kind_and_text(node)
                minutes = str(MINUTES[node["kind"]]) if node.get("kind") else ""
                cells = [[anchor], [nodes.Text(kind)], [nodes.Text(minutes)], said]
                rows.append([*cells, [self.page(docname)]])
            yield chapter, rows, head, [9, 12, 8, 45, 26]

    def kind_and_text(self, node: nodes.Element) -> tuple[str, list[nodes.Node]]:
        """Return an exercise's kind as it is written, and how its text begins."""
        paragraph = first_paragraph(node)
        if paragraph is None:
            return "", []
        copy = paragraph.deepcopy()
        kind = ""
        if node.get("kind") and isinstance(copy[0], nodes.emphasis):
            kind = copy[0].astext().strip(" .。")
            copy.remove(copy[0])
            if len(copy) and isinstance(copy[0], nodes.Text):
                copy.replace(copy[0], nodes.Text(copy[0].astext().lstrip()))
        return kind, list(shortened(copy, WORDS).children)


def written_again(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """The lists follow all other pages."""
    return sorted(docname for docname in env.found_docs if docname.endswith("_index"))


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(index_of)
    app.add_directive("figure-index", Index)
    app.add_directive("exercise-index", Index)
    app.add_transform(Kinds)
    app.add_post_transform(Indexes)
    app.connect("env-updated", written_again)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
