"""Give every cell tagged ``claim-...`` that name as its anchor, for the ledger to link to."""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

PREFIX = "tag_claim-"


class ClaimAnchors(SphinxTransform):
    default_priority = 690  # before the tabs move cells

    def apply(self, **options: Any) -> None:
        for cell in self.document.findall(nodes.container):
            names = [name for name in cell.get("classes", []) if name.startswith(PREFIX)]
            cell["ids"] += [name.removeprefix("tag_") for name in names]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(ClaimAnchors)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
