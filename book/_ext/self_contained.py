"""Keep every page free of requests to other hosts, and light.

The theme adds a script of 1.4 MB that draws icons which its font draws too, and a launcher for
remote kernels twice. Neither is of use to a book that is read from a file.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from sphinx.application import Sphinx

ICON_SCRIPT = re.compile(r'<script[^>]*src="[^"]*fontawesome\.js[^"]*"></script>\s*')
PRELOAD = re.compile(r'<link[^>]*rel="preload"[^>]*fontawesome\.js[^>]*/?>\s*')


def drop_scripts(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Leave out the remote launcher, and what would be loaded twice."""
    seen, kept = set(), []
    for script in context.get("script_files", []):
        key = str((getattr(script, "attributes", {}) or {}).get("body") or script)
        if "thebe" not in key.lower() and key not in seen:
            seen.add(key)
            kept.append(script)
    context["script_files"] = kept
    context["css_files"] = [c for c in context.get("css_files", []) if "thebe" not in str(c)]


def drop_icon_script(app: Sphinx, error: Exception | None) -> None:
    """Take the icon script out of the built pages."""
    if error or app.builder.format != "html":
        return
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text("utf-8")
        lighter = PRELOAD.sub("", ICON_SCRIPT.sub("", text))
        if lighter != text:
            page.write_text(lighter, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", drop_scripts, priority=900)
    app.connect("build-finished", drop_icon_script)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
