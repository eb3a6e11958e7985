"""Asides beside the text, or below it on a narrow window: the directive ``margin``.

JupyterLab shows the same directive, by its extension for MyST.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective


class margin_note(nodes.General, nodes.Element):
    """An aside: what the argument of the text does without."""


class Margin(SphinxDirective):
    """Make an aside of the content."""

    has_content = True

    def run(self) -> list[nodes.Node]:
        if not self.content:
            raise self.error("margin: an aside must say something")
        note = margin_note()
        note.source, note.line = self.get_source_info()
        self.state.nested_parse(self.content, self.content_offset, note)
        return [note]


def visit_html(writer: Any, node: margin_note) -> None:
    # A note, not a landmark: it belongs to the text around it.
    writer.body.append(writer.starttag(node, "aside", CLASS="margin-note", role="note"))


def depart_html(writer: Any, node: margin_note) -> None:
    writer.body.append("</aside>\n")


def pass_over(writer: Any, node: margin_note) -> None:
    """Other formats show what is in it."""


def setup(app: Sphinx) -> dict[str, bool]:
    others = {name: (pass_over, pass_over) for name in ("latex", "text", "man", "texinfo")}
    app.add_node(margin_note, html=(visit_html, depart_html), **others)
    app.add_directive("margin", Margin, override=True)  # Jupyter Book brings one of its own theme
    return {"parallel_read_safe": True, "parallel_write_safe": True}
