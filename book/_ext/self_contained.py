"""Keep every page free of requests to other hosts, and light.

Jupyter Book loads what its own theme and a launcher for remote kernels need; a book that is read
from a file has no use for either. What is left waits until the page is there.
"""

from __future__ import annotations

from typing import Any

from sphinx.application import Sphinx

UNUSED = ("thebe", "sphinx-book-theme")
#: What only pages with such an element need.
NEEDED_FOR = {
    "sphinx-design": 'class="sd-',
    "design-tabs": 'class="sd-',
    "togglebutton": "dropdown",
    "clipboard": "highlight",
    "copybutton": "highlight",
    "exercise": 'class="exercise',
    "katex": 'class="katex',
}
#: The faces of text and headings, and those of most formulas.
TEXT_FACES = ("fonts/serif", "fonts/serif-bold")
FORMULA_FACES = ("katex/fonts/KaTeX_Main-Regular", "katex/fonts/KaTeX_Math-Italic")
PRELOAD = """<script>
location.protocol=="file:"||%s.forEach(face=>document.head.append(Object.assign(
document.createElement("link"),{rel:"preload",as:"font",type:"font/woff2",crossOrigin:"",
href:"%s"+face+".woff2"})))
</script>
"""


def name_of(asset: Any) -> str:
    """Return the address of a script or a style, or the text of one that stands in the page."""
    attributes = getattr(asset, "attributes", {}) or {}
    return str(getattr(asset, "filename", None) or attributes.get("body") or asset)


def lighten(app: Sphinx, page: str, template: str, context: dict[str, Any], tree: Any) -> None:
    """Leave out what the page does not use or has twice; let scripts wait for the page."""
    body = context.get("body", "")
    idle = [word for word, sign in NEEDED_FOR.items() if sign not in body]
    for kind in ("script_files", "css_files"):
        seen: set[str] = set()
        kept = []
        for asset in context.get(kind, []):
            name = name_of(asset)
            if name not in seen and not any(word in name.lower() for word in (*UNUSED, *idle)):
                seen.add(name)
                kept.append(asset)
        context[kind] = kept
    for script in context.get("script_files", []):
        attributes = getattr(script, "attributes", None)
        in_page = attributes is None or "body" in attributes
        if not in_page:
            attributes.pop("async", None)
            attributes["defer"] = "defer"

    # Asked for with the page, so that the text is set in its own faces from the first line. Read
    # from a file, a page may not ask in this way, and a face is there as soon.
    faces = [*TEXT_FACES, *(FORMULA_FACES if NEEDED_FOR["katex"] in body else ())]
    folder = context["pathto"]("_static/", 1)
    context["metatags"] = context.get("metatags", "") + PRELOAD % (faces, folder)


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("html-page-context", lighten, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
