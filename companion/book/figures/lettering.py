"""A figure's words as words: to be found, selected, translated, set in the page's own face.

Matplotlib can write text into SVG as text, but with a list of fonts in each label, sizes in pixels,
and formulas letter by letter at fixed places. Here each label is one element whose size is relative
to that of the figure, so that a style sheet may set face and size of all labels at once.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.textpath import text_to_path

#: Points of a label of ordinary size; sizes are written relative to it.
SIZE = 10
#: Pixels of CSS below which no label falls: a narrower window scrolls the figure.
LEAST_PIXELS = 11
#: What a narrow window may enlarge labels by: common faces are that much narrower than the one
#: that matplotlib measures with.
ENLARGED = 1.12
_ANCHOR = {"left": "start", "center": "middle", "right": "end"}

_NUMBER = r"-?[\d.]+(?:e-?\d+)?"
_TEXT = re.compile(r"<text\b(?P<attributes>[^>]*)>(?P<words>[^<]*)</text>")
_FORMULA = re.compile(
    r"<!-- (?P<source>.*?) -->\s*<g(?P<style> style=\"[^\"]*\")? transform=\"(?P<at>[^\"]*)\">\s*"
    r"<text>(?P<parts>.*?)</text>(?P<rest>.*?)</g>",
    re.S,
)
_PART = re.compile(
    rf'<tspan x="(?P<x>{_NUMBER}(?: {_NUMBER})*)" y="(?P<y>{_NUMBER})" style="(?P<style>[^"]*)">'
    r"(?P<words>[^<]*)</tspan>"
)
# Where a hundredth of a point is more than enough.
_PLACES = re.compile(r'\b(?:d|x|y|width|height)="[^"]*"|(?:translate|rotate)\([^)]*\)')
_DIGITS = re.compile(r"-?\d+\.\d{3,}")


@dataclass(frozen=True)
class Part:
    """A stretch of a formula in one style: where it starts, how large it is, its letters."""

    x: float
    y: float
    size: float
    style: str
    words: str


def lettering(svg: str, drawing: Figure) -> str:
    """Return the SVG of a drawn figure with one element for each line of its labels.

    Parameters
    ----------
    svg: as matplotlib has written it, with ``svg.fonttype`` "none"; the page's own text colour
        is ``currentColor``, which labels take without being told.
    drawing: the figure; its labels know how they are aligned.
    """
    lines = _lines(drawing)
    svg = _FORMULA.sub(lambda m: _formula(m, lines), svg)
    svg = _TEXT.sub(lambda m: _line(m, lines), svg)
    return _PLACES.sub(lambda m: _DIGITS.sub(lambda n: f"{float(n[0]):.2f}", m[0]), svg)


def least_width(svg: str) -> float:
    """Return the pixels of width below which a label of a lettered SVG is too small to be read."""
    box = re.search(rf'viewBox="0 0 ({_NUMBER}) ', svg)
    sizes = [float(s) for s in re.findall(r"<text\b[^>]*font-size: ([\d.]+)em", svg)]
    has_usual = re.search(r"<text\b(?![^>]*font-size)", svg) is not None
    smallest = SIZE * min([*sizes, *([1.0] if has_usual else [])], default=1e9)
    return float(box[1]) * LEAST_PIXELS / (smallest * ENLARGED) if box else 0.0


def _lines(drawing: Figure) -> dict[str, Text]:
    """Return the label that each line of text belongs to."""
    return {
        line: label
        for label in drawing.findobj(Text)
        if label.get_visible()
        for line in str(label.get_text()).split("\n")
        if line
    }


def _aligned(source: str, lines: dict[str, Text]) -> tuple[str, str]:
    """Return style and place of a line whose left end is known, so that it keeps its alignment."""
    label = lines.get(source.replace("&lt;", "<").replace("&gt;", ">").replace("&amp;", "&"))
    if label is None:
        return "", ""
    many = "\n" in label.get_text()
    side = getattr(label, "_multialignment", None) if many else None
    side = side or label.get_horizontalalignment()
    if side == "left":
        return "", ""
    is_math = bool(re.search(r"(?<!\\)\$", source))
    width, _, _ = text_to_path.get_text_width_height_descent(
        source, label.get_fontproperties(), "TeX" if label.get_usetex() else is_math
    )
    x = width / 2 if side == "center" else width
    return f"text-anchor: {_ANCHOR[side]}", f' x="{x:.2f}"'


def _styles(style: str) -> dict[str, str]:
    pairs = (pair.partition(":") for pair in style.split(";") if ":" in pair)
    return {key.strip(): value.strip() for key, _, value in pairs}


def _relative(styles: dict[str, str], size: float = SIZE) -> str:
    """Return a style without its fonts and the page's own colour, its size relative to ``size``."""
    kept = {k: v for k, v in styles.items() if k not in ("font-family", "font-size")}
    if kept.get("fill") == "currentColor":
        del kept["fill"]
    if (ratio := round(float(styles["font-size"].removesuffix("px")) / size, 3)) != 1:
        kept["font-size"] = f"{ratio:g}em"
    return "; ".join(f"{key}: {value}" for key, value in kept.items())


def _line(match: re.Match[str], lines: dict[str, Text]) -> str:
    attributes = dict(re.findall(r'([\w-]+)="([^"]*)"', match["attributes"]))
    if "font-family" not in attributes.get("style", ""):
        return match[0]  # a formula, which has been through
    style = _relative(_styles(attributes.pop("style")))
    turn = attributes.pop("transform", "")
    place = "".join(f' {key}="{value}"' for key, value in attributes.items())
    if "x" not in attributes:  # one line of several
        anchor, x = _aligned(match["words"], lines)
        style = "; ".join(filter(None, (style, anchor)))
        place += x
    if turn and not turn.startswith("rotate(-0 "):
        place += f' transform="{turn}"'
    return f"<text{_attribute(style)}{place}>{match['words']}</text>"


def _attribute(style: str) -> str:
    return f' style="{style}"' if style else ""


def _formula(match: re.Match[str], lines: dict[str, Text]) -> str:
    found = (
        Part(
            float(m["x"].split()[0]),
            float(m["y"].split()[0]),
            float(_styles(m["style"])["font-size"].removesuffix("px")),
            m["style"],
            m["words"].replace("\xa0", " "),
        )
        for m in _PART.finditer(match["parts"])
    )
    parts = sorted(found, key=lambda part: part.x)  # matplotlib has them by style
    if match["rest"].strip() or not _flows(parts):
        return re.sub(r"; font-family: [^;\"]*|font-family: [^;\"]*; ", "", match[0])
    size = max(part.size for part in parts)
    level = parts[0].y
    text, y = "", level
    for part in _merged(parts):
        style = _relative(_styles(part.style), size)
        move = f' dy="{(part.y - y) / part.size:.3g}em"' if abs(part.y - y) > 0.01 else ""
        y = part.y
        plain = not style and not move
        text += part.words if plain else f"<tspan{move}{_attribute(style)}>{part.words}</tspan>"
    outer = _styles((match["style"] or "")[8:-1])
    anchor, x = _aligned(match["source"], lines)
    style = "; ".join(filter(None, (_relative({**outer, "font-size": f"{size}px"}), anchor)))
    return f'<text{_attribute(style)}{x} y="{level:.2f}" transform="{match["at"]}">{text}</text>'


def _flows(parts: list[Part]) -> bool:
    """Return whether the parts stand one after the other: no fraction, no index below a power."""
    if not parts:
        return False
    line = max(parts, key=lambda part: part.size).y
    return all(
        b.x - a.x > 0.01 and (a.y - line) * (b.y - line) >= 0
        for a, b in zip(parts, parts[1:], strict=False)
    )


def _merged(parts: list[Part]) -> list[Part]:
    """Join neighbours on one level and in one style, which are letters of a word."""
    merged: list[Part] = []
    for part in parts:
        last = merged[-1] if merged else None
        if last and (last.y, last.style) == (part.y, part.style):
            merged[-1] = Part(last.x, last.y, last.size, last.style, last.words + part.words)
        else:
            merged.append(part)
    return merged
