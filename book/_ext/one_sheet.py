"""Join the style sheets of a page into one file.

The theme and the extensions bring a sheet each, fifteen in all, and a browser shows nothing before
the last of them is there. Pages with the same list share one file.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from pathlib import Path

from sphinx.application import Sphinx

LINK = re.compile(
    r'\s*<link rel="stylesheet"(?: type="text/css")? '
    r'href="(?P<root>(?:\.\./)*)_static/(?P<path>[^"?]+\.css)(?:\?[^"]*)?"(?P<rest>[^>]*?)\s*/?>'
)
URL = re.compile(r"""url\((?P<quote>["']?)(?P<path>[^"')]+)(?P=quote)\)""")
IMPORT = re.compile(r"@import\b|@charset\b")


def moved(sheet: str, path: str) -> str:
    """Return a sheet of ``_static`` whose addresses are relative to ``_static`` itself."""

    def rewrite(match: re.Match[str]) -> str:
        address = match["path"]
        if re.match(r"[a-z]+:|#|/", address):
            return match[0]
        return f'url("{posixpath.normpath(posixpath.join(posixpath.dirname(path), address))}")'

    return URL.sub(rewrite, sheet)


def join_sheets(text: str, static: Path) -> str:
    """Return a page with one style sheet, which is written into ``static`` if it is not there."""
    links = [link for link in LINK.finditer(text) if "media=" not in link["rest"]]
    paths = list(dict.fromkeys(link["path"] for link in links if (static / link["path"]).is_file()))
    sheets = {path: (static / path).read_text("utf-8") for path in paths}
    paths = [path for path in paths if not IMPORT.search(sheets[path])]
    joined = [link for link in links if link["path"] in paths]
    if len(joined) < 2:
        return text
    css = "\n".join(moved(sheets[path], path) for path in paths)
    css = re.sub(r"/\*.*?\*/|/\*# sourceMappingURL[^*]*\*/", "", css, flags=re.DOTALL)
    css = re.sub(r"\n\s+", "\n", css)
    name = f"sheet-{hashlib.sha256(css.encode()).hexdigest()[:12]}.css"
    if not (static / name).exists():
        (static / name).write_text(css, "utf-8")
    one = f'\n<link rel="stylesheet" href="{joined[0]["root"]}_static/{name}">'
    first = joined[0].start()
    for link in reversed(joined):
        text = text[: link.start()] + text[link.end() :]
    return text[:first] + one + text[first:]


def join_pages(app: Sphinx, error: Exception | None) -> None:
    """Go through all pages that were written."""
    if error or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text("utf-8")
        joined = join_sheets(text, static)
        if joined != text:
            page.write_text(joined, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    # Last of all: furo writes a sheet of its own when the build is finished.
    app.connect("build-finished", join_pages, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
