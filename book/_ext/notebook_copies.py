"""Notebooks that are downloaded from the published site know where their package comes from.

Sphinx copies each page's source to ``_sources``. In a published book the first code cell of these
copies gets the package's address; a book that is built for oneself has none to give.
"""

from __future__ import annotations

from pathlib import Path

from published import published, with_address
from sphinx.application import Sphinx


def fill(app: Sphinx, error: Exception | None) -> None:
    """Write the address into the copies; without a setting, take an earlier one out."""
    if error or app.builder.format != "html":
        return
    place = published()
    for copy in sorted(Path(app.outdir, "_sources").rglob("*.ipynb")):
        text = copy.read_text("utf-8")
        filled = with_address(text, place.package if place else "")
        if filled != text:
            copy.write_text(filled, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    published()  # a bad setting stops the build before its first page
    app.connect("build-finished", fill)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
