"""What the comparison of notebooks leaves out: pictures as such, and what frameworks log.

Numbers that come out of training follow the rounding of the processor. Cells with the tag
"by-processor" print such numbers: they are compared on the kind of processor that the page was made
on, and elsewhere only have to run, assertions included.
"""

from __future__ import annotations

from typing import Any

from tools.processor import KEY, processor


def pytest_collectstart(collector: Any) -> None:
    # A figure's text/plain is its message, and that is compared.
    if getattr(collector, "skip_compare", None) is not None:
        collector.skip_compare += ("stderr", "text/html", "image/svg+xml")


def pytest_collection_modifyitems(items: list[Any]) -> None:
    for item in items:
        cell = getattr(item, "cell", None)
        if cell is None or "by-processor" not in cell.metadata.get("tags", ()):
            continue
        if item.parent.nb.metadata.get(KEY) != processor():
            item.options["check"] = False
