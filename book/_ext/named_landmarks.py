"""Mend what the theme and its extensions leave unsaid to a screen reader.

Each mend names the rule of axe that found it; tests/site/test_accessibility.py runs axe on every
page. The words are those of the catalogue of templates: book/_templates/words.html lists them.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path

from sphinx.application import Sphinx
from sphinx.locale import _

#: What a narrow window may have to scroll sideways.
SCROLLERS = (
    "article :is(pre, .table-wrapper, div.math, .cell_output .output.text_html, .companion-figure)"
)


def mends() -> list[tuple[re.Pattern[str], str | Callable[[re.Match[str]], str]]]:
    """Return (pattern, replacement) for the written pages, in the language of the build."""
    contents, here = _("Contents of the book"), _("On this page")
    return [
        # empty-table-header: a table of two ways has nothing above its names of rows.
        (
            re.compile(
                r'<th(?P<a>[^>]*class="head[^"]*"[^>]*)>\s*(?:<p>\s*</p>)?\s*</th>',
            ),
            r"<td\g<a>></td>",
        ),
        # aria-allowed-role, heading-order: Sphinx calls captions of the contents headings.
        (re.compile(r'<p class="caption" role="heading">'), '<p class="caption">'),
        # aria-required-children, aria-allowed-role: a list of literature has items, no notes.
        (re.compile(r' role="doc-biblioentry"'), ' role="listitem"'),
        (re.compile(r' role="doc-backlink"'), ""),
        # label: the theme's check boxes for its drawers are worked through their labels.
        (re.compile(r'<label class="overlay '), '<label aria-hidden="true" class="overlay '),
        (
            re.compile(r'<label class="(?P<c>nav-overlay-icon[^"]*)" for="__navigation">'),
            rf'<label class="\g<c>" for="__navigation" title="{contents}">',
        ),
        # landmark-unique: the drawers at both sides.
        (
            re.compile(r'<aside class="sidebar-drawer">'),
            f'<aside class="sidebar-drawer" aria-label="{contents}">',
        ),
        (
            re.compile(r'<aside class="toc-drawer(?P<c>[^"]*)">'),
            rf'<aside class="toc-drawer\g<c>" aria-label="{here}">',
        ),
        # Names that the theme has in English alone.
        (re.compile(r"Toggle site navigation sidebar"), _("Toggle the contents of the book")),
        (re.compile(r"Toggle table of contents sidebar"), _("Toggle the contents of this page")),
        (
            re.compile(r"Toggle Light / Dark / Auto color theme"),
            _("Toggle light, dark and automatic colours"),
        ),
    ]


def mend(text: str) -> str:
    """Return the page with every mend made."""
    for pattern, replacement in mends():
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


def add_focus(app: Sphinx) -> None:
    """Load the script that makes what scrolls reachable by key (scrollable-region-focusable)."""
    words = {"data-selector": SCROLLERS, "data-label": _("Scrolls sideways")}
    app.add_js_file("focus.js", loading_method="defer", **words)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("builder-inited", add_focus)
    app.connect("build-finished", mend_pages)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
