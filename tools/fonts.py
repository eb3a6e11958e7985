"""Subset the book's fonts to what its pages show: python -m tools.fonts PACKAGES

PACKAGES is a folder with the unpacked npm packages katex, @fontsource/source-serif-4 and
@fontsource/ibm-plex-mono, each under its name without the scope. The built pages in _build/html
say which characters are needed: a text face keeps these and all of printable ASCII, a face of
KaTeX those that stand in typeset formulas. The results are committed; whoever adds a character
that a face lacks is told by the tests of the site.

"Source" and "Plex" are reserved names under the SIL Open Font License: what is changed may not bear
them. The subsets lose their names, and the pages call them Book Serif and Book Mono.
"""

from __future__ import annotations

import re
import shutil
import sys
from html.parser import HTMLParser
from pathlib import Path

from fontTools.subset import Options, Subsetter, load_font, save_font

ROOT = Path(__file__).resolve().parents[1]
SITE = ROOT / "_build" / "html"
VENDOR = ROOT / "book" / "_vendor"
ASCII = {chr(code) for code in range(0x20, 0x7F)}
#: What scripts and later pages may write, beside what pages hold today.
USUAL = set("–—‘’“”…·×÷±√²³°µ→←↑↓≤≥≈≠−∞✓✗◐⟳äöüéèçñåøßÄÖÜÉ\u00a0")
FACES = {
    "serif": "source-serif-4/files/source-serif-4-latin-400-normal.woff2",
    "serif-italic": "source-serif-4/files/source-serif-4-latin-400-italic.woff2",
    "serif-bold": "source-serif-4/files/source-serif-4-latin-600-normal.woff2",
    "mono": "ibm-plex-mono/files/ibm-plex-mono-latin-400-normal.woff2",
}
#: Family, weight and style. ``font-display: optional``: a face that is late is not used on that
#: page, for lines that move under the reader's eyes are worse than lines in another face. The pages
#: ask for the first two before anything else.
DECLARED = {
    "serif": ("Book Serif", "400", "normal"),
    "serif-bold": ("Book Serif", "600 700", "normal"),
    "serif-italic": ("Book Serif", "400", "italic"),
    "mono": ("Book Mono", "400", "normal"),
}
#: In its place stands a face that the reader has, made as wide and as high as ours. The factors are
#: ratios of mean widths, letters weighed by their frequency in English; Georgia and Times were
#: measured on Gelasio and Tinos, which are as wide.
STAND_INS = {
    "Sized Georgia": (("Georgia", "Gelasio"), 1.084),
    "Sized Times": (("Times New Roman", "Liberation Serif", "Tinos"), 1.190),
    "Sized DejaVu": (("DejaVu Serif", "DejaVuSerif"), 0.930),
}
ASCENT, DESCENT = 1.036, 0.335  # of Source Serif 4, in ems
LICENCES = {
    "source-serif-4/LICENSE": "fonts/source-serif-4-LICENSE.txt",
    "ibm-plex-mono/LICENSE": "fonts/ibm-plex-mono-LICENSE.txt",
    "katex/LICENSE": "katex/LICENSE.txt",
}


class Characters(HTMLParser):
    """Collects the characters of a page, those of typeset formulas apart."""

    def __init__(self) -> None:
        super().__init__()
        self.text: set[str] = set()
        self.math: set[str] = set()
        self.open: list[str] = []

    VOID = frozenset(["area", "br", "col", "hr", "img", "input", "link", "meta", "source", "wbr"])

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        if tag not in self.VOID:
            classes = (dict(attributes).get("class") or "").split()
            self.open.append("math" if "katex-html" in classes else tag)

    def handle_endtag(self, tag: str) -> None:
        if self.open and tag not in self.VOID:
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if "math" in self.open:
            self.math |= set(data)
        elif not {"script", "style", "math"} & set(self.open):
            self.text |= set(data)


def characters(site: Path = SITE) -> tuple[set[str], set[str]]:
    """Return the characters of the text and those of the formulas of all built pages."""
    pages = sorted(site.rglob("*.html"))
    if not pages:
        raise FileNotFoundError(f"no pages in {site}; run make book first")
    text: set[str] = set()
    math: set[str] = set()
    for page in pages:
        parser = Characters()
        parser.feed(page.read_text("utf-8"))
        text |= parser.text
        math |= parser.math
    return text, math


def subset(source: Path, target: Path, wanted: set[str], features: list[str]) -> bool:
    """Write ``source`` with the wanted characters alone; return whether it had any of them."""
    options = Options(flavor="woff2", layout_features=features, notdef_outline=True, hinting=False)
    options.name_IDs = [0, 13, 14]  # copyright and licence, and no reserved name
    options.drop_tables += ["STAT"]  # it names the design's axes
    font = load_font(str(source), options)
    if not {ord(c) for c in wanted} & set(font.getBestCmap()):
        return False
    subsetter = Subsetter(options)
    subsetter.populate(unicodes=[ord(c) for c in wanted])
    subsetter.subset(font)
    save_font(font, str(target), options)
    return True


def faces() -> str:
    """Return the sheet that declares the text faces."""
    rules = []
    for name, (family, weight, style) in DECLARED.items():
        rules.append(
            f'@font-face{{font-family:"{family}";font-weight:{weight};font-style:{style};'
            f'font-display:optional;src:url("{name}.woff2") format("woff2")}}\n'
        )
    for family, (names, factor) in STAND_INS.items():
        sources = ",".join(f'local("{name}")' for name in names)
        rules.append(
            f'@font-face{{font-family:"{family}";src:{sources};size-adjust:{factor:.1%};'
            f"ascent-override:{ASCENT / factor:.2%};descent-override:{DESCENT / factor:.2%};"
            "line-gap-override:0%}\n"
        )
    return "".join(rules)


def stylesheet(packages: Path, kept: set[str]) -> str:
    """Return KaTeX's sheet with those faces that have characters, as woff2 and nothing else."""
    text = (packages / "katex/dist/katex.min.css").read_text("utf-8")
    text = re.sub(r',url\([^)]*\.(?:woff|ttf)\) format\("(?:woff|truetype)"\)', "", text)
    faces = re.compile(r"@font-face\{[^}]*url\(fonts/([^)]*)\.woff2\)[^}]*\}")
    return faces.sub(lambda face: face[0] if face[1] in kept else "", text)


def main(packages: Path) -> None:
    """Write all faces, KaTeX's sheet and the licences."""
    text, math = characters()
    for name, source in FACES.items():
        target = VENDOR / "fonts" / f"{name}.woff2"
        # Each script stands in a file of its own; of the others the pages take a letter or two,
        # which the reader's own fonts can draw.
        subset(packages / source, target, text | ASCII | USUAL, ["kern", "liga"])
        print(f"{target.relative_to(ROOT)}: {target.stat().st_size:,} bytes")
    (VENDOR / "fonts" / "faces.css").write_text(faces(), "utf-8")
    kept = set()
    for drawn in sorted((packages / "katex/dist/fonts").glob("*.woff2")):
        target = VENDOR / "katex" / "fonts" / drawn.name
        target.unlink(missing_ok=True)
        if subset(drawn, target, math | set("0123456789+-=()"), ["*"]):
            kept.add(drawn.stem)
    (VENDOR / "katex" / "katex.min.css").write_text(stylesheet(packages, kept), "utf-8")
    for source_name, target_name in LICENCES.items():
        shutil.copyfile(packages / source_name, VENDOR / target_name)


if __name__ == "__main__":
    if len(sys.argv) != 2:
        sys.exit(__doc__)
    main(Path(sys.argv[1]))
