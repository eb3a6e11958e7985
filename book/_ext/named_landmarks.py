"""Mend what the theme and its extensions leave unsaid to a screen reader.

Each mend names the rule of axe that found it; the tests of the site run axe on every page.
"""

from __future__ import annotations

import re
from pathlib import Path

from sphinx.application import Sphinx

#: (pattern, replacement) in the written pages.
MENDS = [
    # empty-table-header: a table of two ways has nothing above its names of rows.
    (
        re.compile(r'<th(?P<a>[^>]*class="head[^"]*"[^>]*)>\s*(?:<p>\s*</p>)?\s*</th>'),
        r"<td\g<a>></td>",
    ),
    # aria-allowed-role, heading-order: Sphinx calls captions of the contents headings.
    (re.compile(r'<p class="caption" role="heading">'), '<p class="caption">'),
    # aria-allowed-role: a list of literature is no list of notes.
    (re.compile(r' role="doc-biblioentry"'), ""),
    (re.compile(r' role="doc-backlink"'), ""),
    # label: the theme's check boxes for its drawers are worked through their labels.
    (re.compile(r"<label class=\"overlay "), '<label aria-hidden="true" class="overlay '),
    (
        re.compile(r'<label class="nav-overlay-icon" for="__navigation">'),
        '<label class="nav-overlay-icon" for="__navigation" title="Contents">',
    ),
]


def mend(text: str) -> str:
    """Return the page with every mend made."""
    for pattern, replacement in MENDS:
        text = pattern.sub(replacement, text)
    return text


def mend_pages(app: Sphinx, error: Exception | None) -> None:
    """Go through all pages that were written."""
    if error or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text("utf-8")
        mended = mend(text)
        if mended != text:
            page.write_text(mended, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", mend_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
