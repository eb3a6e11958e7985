"""Figures that compute in the page.

The directive ``live-figure`` takes the name of a folder in ``_static/live`` and a caption. The
folder holds ``figure.html``, which is the figure as it stands without scripts, and ``figure.toml``,
which names the scripts and styles that bring it to life, relative to the folder and in their order.
They are loaded by the pages that show the figure and by no other.
"""

from __future__ import annotations

import posixpath
import tomllib
from pathlib import Path
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.util.docutils import SphinxDirective

LIVE = Path(__file__).resolve().parents[1] / "_static" / "live"
KINDS = ("scripts", "styles")


def assets(name: str) -> dict[str, list[str]]:
    """Return the scripts and styles of a figure as paths below ``_static``."""
    listed = tomllib.loads((LIVE / name / "figure.toml").read_text("utf-8"))
    if unknown := set(listed) - set(KINDS):
        raise ValueError(f"{name}/figure.toml: unknown keys {sorted(unknown)}; known: {KINDS}")
    return {
        kind: [posixpath.normpath(f"live/{name}/{file}") for file in listed.get(kind, [])]
        for kind in KINDS
    }


class LiveFigure(SphinxDirective):
    """Show a figure of ``_static/live`` with a caption."""

    required_arguments = 1
    has_content = True

    def run(self) -> list[nodes.Node]:
        name = self.arguments[0]
        markup = LIVE / name / "figure.html"
        if not markup.is_file():
            known = sorted(path.parent.name for path in LIVE.glob("*/figure.html"))
            raise self.error(f"live-figure: no figure {name!r}; there are {', '.join(known)}")
        self.env.note_dependency(str(markup))
        self.env.note_dependency(str(markup.with_suffix(".toml")))
        figure = nodes.figure(classes=["live-figure"], ids=[f"live-{name}"], live=name)
        figure += nodes.raw("", markup.read_text("utf-8"), format="html")
        if self.content:
            caption = nodes.caption()
            body = nodes.Element()
            self.state.nested_parse(self.content, self.content_offset, body)
            for paragraph in body.findall(nodes.paragraph):
                caption += paragraph.children
            figure += caption
        self.state.document.note_explicit_target(figure)
        return [figure]


def load(
    app: Sphinx, page: str, template: str, context: dict[str, Any], doctree: nodes.document | None
) -> None:
    """Add what the figures of a page need to this page."""
    shown = (
        [figure["live"] for figure in doctree.findall(nodes.figure) if "live" in figure]
        if doctree
        else []
    )
    scripts = dict.fromkeys(path for name in shown for path in assets(name)["scripts"])
    styles = dict.fromkeys(path for name in shown for path in assets(name)["styles"])
    for path in scripts:
        app.add_js_file(path, loading_method="defer")
    for path in styles:
        app.add_css_file(path)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_directive("live-figure", LiveFigure)
    app.connect("html-page-context", load)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
