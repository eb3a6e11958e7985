"""Show adjacent code cells tagged ``tab-torch`` and ``tab-tf`` as one synchronised set of tabs.

The notebook stays linear: every cell runs in Jupyter and in the tests; only the page has tabs.
"""

from __future__ import annotations

from itertools import groupby
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx_design.shared import create_component

TABS = {"tag_tab-torch": ("torch", "PyTorch"), "tag_tab-tf": ("tf", "TensorFlow")}


def tab_of(node: nodes.Node) -> str | None:
    """Return the tab that a code cell belongs to, or None."""
    if isinstance(node, nodes.container) and "cell" in node["classes"]:
        return next((name for name in node["classes"] if name in TABS), None)
    return None


def tab_set(cells: list[nodes.container]) -> nodes.container:
    """Return one set of tabs that holds the cells, in order, each under its framework."""
    items = create_component("tab-set", classes=["sd-tab-set"])
    for name, (key, title) in TABS.items():
        mine = [cell for cell in cells if tab_of(cell) == name]
        if mine:
            label = nodes.rubric(title, title, classes=["sd-tab-label"])
            label["sync_id"], label["sync_group"] = key, "framework"
            content = create_component("tab-content", classes=["sd-tab-content"], children=mine)
            items += create_component(
                "tab-item", classes=["sd-tab-item"], selected=False, children=[label, content]
            )
    return items


class CellTabs(SphinxTransform):
    default_priority = 700

    def apply(self, **options: Any) -> None:
        parents = {id(cell.parent): cell.parent for cell in self.document.findall(tab_of)}
        for parent in parents.values():
            children: list[nodes.Node] = []
            for tabbed, run in groupby(list(parent.children), key=lambda n: tab_of(n) is not None):
                nodes_here = list(run)
                children += [tab_set(nodes_here)] if tabbed else nodes_here
            parent.children = []
            parent.extend(children)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(CellTabs)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
