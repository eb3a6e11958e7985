"""Join the style sheets of a page into one file.

The theme and the extensions bring a sheet each, fifteen in all, and a browser shows nothing before
the last of them is there. Pages with the same list share one file; they remember the list, so that
a page which is not written again still follows a sheet that has changed.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
import shutil
from pathlib import Path

from sphinx.application import Sphinx

LINK = re.compile(
    r'\s*<link rel="stylesheet"(?: type="text/css")? '
    r'href="(?P<root>(?:\.\./)*)_static/(?P<path>[^"?]+\.css)(?:\?[^"]*)?"(?P<rest>[^>]*?)\s*/?>'
)
JOINED = re.compile(
    r'<link rel="stylesheet" href="(?P<root>(?:\.\./)*)_static/sheet-[0-9a-f]+\.css" '
    r'data-joins="(?P<paths>[^"]+)">'
)
URL = re.compile(r"""url\((?P<quote>["']?)(?P<path>[^"')]+)(?P=quote)\)""")


def moved(sheet: str, path: str) -> str:
    """Return a sheet of ``_static`` whose addresses are relative to ``_static`` itself."""

    def rewrite(match: re.Match[str]) -> str:
        address = match["path"]
        if re.match(r"[a-z]+:|#|/", address):
            return match[0]
        return f'url("{posixpath.normpath(posixpath.join(posixpath.dirname(path), address))}")'

    return URL.sub(rewrite, sheet)


def write_joined(paths: list[str], root: str, static: Path) -> str:
    """Write the sheets of ``paths`` as one file, if it is not there; return the link to it."""
    css = "\n".join(moved((static / path).read_text("utf-8"), path) for path in paths)
    css = re.sub(r"\n\s+", "\n", re.sub(r"/\*.*?\*/", "", css, flags=re.DOTALL))
    name = f"sheet-{hashlib.sha256(css.encode()).hexdigest()[:12]}.css"
    if not (static / name).exists():
        (static / name).write_text(css, "utf-8")
    joins = " ".join(paths)
    return f'<link rel="stylesheet" href="{root}_static/{name}" data-joins="{joins}">'


def join_sheets(text: str, static: Path) -> str:
    """Return a page with one style sheet, which is written into ``static`` if it is not there."""
    if joined := JOINED.search(text):
        link = write_joined(joined["paths"].split(), joined["root"], static)
        return text.replace(joined[0], link)
    links = [link for link in LINK.finditer(text) if "media=" not in link["rest"]]
    links = [link for link in links if (static / link["path"]).is_file()]
    if len(links) < 2:
        return text
    paths = list(dict.fromkeys(link["path"] for link in links))
    one = write_joined(paths, links[0]["root"], static)
    for link in reversed(links[1:]):
        text = text[: link.start()] + text[link.end() :]
    return text[: links[0].start()] + f"\n    {one}" + text[links[0].end() :]


def join_pages(app: Sphinx, error: Exception | None) -> None:
    """Go through all pages; Sphinx copies no static file in a build that writes no page."""
    if error or app.builder.format != "html":
        return
    static = Path(app.outdir) / "_static"
    for folder in (Path(app.confdir) / name for name in app.config.html_static_path):
        if folder.is_dir():  # an extension has a folder of its own, which is gone by now
            shutil.copytree(folder, static, dirs_exist_ok=True)
    for page in Path(app.outdir).rglob("*.html"):
        text = page.read_text("utf-8")
        joined = join_sheets(text, static)
        if joined != text:
            page.write_text(joined, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    # Last of all: furo writes a sheet of its own when the build is finished.
    app.connect("build-finished", join_pages, priority=950)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
