"""Show a verdict as one, wherever it stands: what is in bold behind ✓, ◐ or ✗.

The sign and the word say it without any colour, on paper and to a screen reader too.
"""

from __future__ import annotations

from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform

KINDS = {"✓": "holds", "◐": "conditions", "✗": "fails"}


class Verdicts(SphinxTransform):
    default_priority = 695  # after translation, before the tabs move cells

    def apply(self, **options: Any) -> None:
        for strong in self.document.findall(nodes.strong):
            sign, space, _ = strong.astext().partition(" ")
            if not (space and sign in KINDS):
                continue
            strong["classes"] += ["verdict", f"verdict-{KINDS[sign]}"]
            box: Any = strong.parent
            while box is not None and not isinstance(box, (nodes.block_quote, nodes.table)):
                box = box.parent
            if isinstance(box, nodes.block_quote):
                box["classes"] += ["claim", f"claim-{KINDS[sign]}"]


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_transform(Verdicts)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
