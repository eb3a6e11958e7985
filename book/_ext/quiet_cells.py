"""Show of a cell whose code is hidden what it shows, and nothing where it shows nothing.

Set-up, checks and stored runs are code that the page does not need; in the notebook they stay.
"""

from __future__ import annotations

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms.post_transforms import SphinxPostTransform

HIDDEN = {"tag_hide-input", "tag_hide-cell"}


def shows_nothing(node: nodes.Node) -> bool:
    """Return whether a node is a cell with hidden code and without output."""
    if not isinstance(node, nodes.container) or "cell" not in node["classes"]:
        return False
    output = [n for n in node.findall(nodes.container) if "cell_output" in n["classes"]]
    return bool(HIDDEN & set(node["classes"])) and not any(n.children for n in output)


class QuietCells(SphinxPostTransform):
    """Take cells away that would be a bar and nothing below it, unless something links there."""

    default_priority = 950  # cells have chosen what they show, and tabs have moved them
    formats = ("html",)

    def run(self, **options: object) -> None:
        for cell in list(self.document.findall(shows_nothing)):
            if cell["ids"]:
                cell.children = []
            else:
                cell.parent.remove(cell)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_post_transform(QuietCells)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
