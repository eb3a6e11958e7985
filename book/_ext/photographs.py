"""Move photographs out of the pages into files of their own, as lossless WebP.

Matplotlib's SVG holds an image as text of base64, a third longer than its bytes, in front of the
words that the reader came for. A file is loaded when it comes into view and kept for other pages.
"""

from __future__ import annotations

import base64
import hashlib
import io
import re
from pathlib import Path

from PIL import Image
from sphinx.application import Sphinx

INLINE = re.compile(r'data:image/png;base64,\s*(?P<data>[A-Za-z0-9+/=\s]+?)\s*(?=["\')])')
SMALLEST = 1500  # characters; a smaller image costs less in the page than a request
FOLDER = "_images"


def webp(png: bytes) -> bytes:
    """Return the same pixels as lossless WebP."""
    out = io.BytesIO()
    Image.open(io.BytesIO(png)).save(out, "WEBP", lossless=True, quality=100, method=4, exact=True)
    return out.getvalue()


def extract(text: str, folder: Path, prefix: str) -> str:
    """Write the images of a page into ``folder``; return the page with their addresses."""

    def move(match: re.Match[str]) -> str:
        if len(match["data"]) < SMALLEST:
            return match[0]
        png = base64.b64decode("".join(match["data"].split()))
        name = f"{hashlib.sha256(png).hexdigest()[:16]}.webp"
        target = folder / name
        if not target.exists():
            folder.mkdir(parents=True, exist_ok=True)
            target.write_bytes(webp(png))
        return prefix + name

    return INLINE.sub(move, text)


def move_images(app: Sphinx, error: Exception | None) -> None:
    """Go through all pages that were written."""
    if error or app.builder.format != "html":
        return
    out = Path(app.outdir)
    for page in out.rglob("*.html"):
        text = page.read_text("utf-8")
        prefix = "../" * (len(page.relative_to(out).parts) - 1) + FOLDER + "/"
        moved = extract(text, out / FOLDER, prefix)
        if moved != text:
            page.write_text(moved, "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", move_images)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
