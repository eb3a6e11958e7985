"""Make a numbered figure, with its caption to be seen, of every output that has one.

``companion.book.figures`` puts the caption below what it shows. In the page, caption and output
become one figure with a name made of the caption's first words, as ``fig-training-error-after``;
``{numref}`` refers to it. What the figure says, with its numbers, stays the name of its drawing.
"""

from __future__ import annotations

import html
import re
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

CAPTION = re.compile(r'<p class="companion-caption">(?P<text>.*?)</p>', re.S)
MATH = re.compile(r"\$(?P<math>[^$]+)\$")
WORDS = 5  # of a caption, in the figure's name
SKIPPED = {"a", "an", "the", "of", "and", "by", "in", "on", "to", "with", "for", "from", "is"}


def words(text: str) -> list[nodes.Node]:
    """Return the caption's words and formulas."""
    found: list[nodes.Node] = []
    end = 0
    for match in MATH.finditer(text):
        found += [nodes.Text(text[end : match.start()]), nodes.math("", match["math"])]
        end = match.end()
    return [*found, nodes.Text(text[end:])]


def name_of(text: str) -> str:
    """Return a figure's name from its caption: its first words that say something."""
    said = re.findall(r"[a-z0-9]+", MATH.sub(" ", text.lower()))
    return "-".join(["fig", *[word for word in said if word not in SKIPPED][:WORDS]])


def bundles(node: nodes.Node) -> bool:
    """Return whether a node holds one output in all its forms."""
    return isinstance(node, nodes.container) and node.get("nb_element") == "mime_bundle"


class FigureCaptions(SphinxTransform):
    default_priority = 15  # before texts are translated, and cells are moved into tabs

    def apply(self, **options: Any) -> None:
        for bundle in list(self.document.findall(bundles)):
            for raw in list(bundle.findall(nodes.raw)):
                match = CAPTION.search(raw.astext())
                if match and raw.get("format") == "html":
                    kept = CAPTION.sub("", raw.astext())
                    raw.parent.replace(raw, nodes.raw("", kept, **raw.attributes))
                    self.wrap(bundle, html.unescape(match["text"]))

    def wrap(self, bundle: nodes.Element, text: str) -> None:
        """Put an output into a figure of its own."""
        name = name_of(text)
        figure = nodes.figure(classes=["captioned"], ids=[name], names=[name])
        caption = nodes.caption(text, "", *words(text))
        figure.source, figure.line = self.document["source"], bundle.line
        caption.source, caption.line = self.document["source"], bundle.line or 1
        bundle.parent.replace(bundle, figure)
        figure += [bundle, caption]
        self.document.note_explicit_target(figure, figure)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(FigureCaptions)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
