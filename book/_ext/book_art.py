"""The book's own pictures: its mark, and the paths through a stack of residual blocks.

Both are said once, as cubic curves, and drawn twice: as SVG, and as pixels for cards and covers.
The mark is a block: a line (the stream), an arc that leaves it (the branch), and a ring where it
comes back (the sum). The cover is a stack of blocks: each block doubles the number of paths, by
way of its branch or its shortcut, and in the end all of them are added.
"""

from __future__ import annotations

from dataclasses import dataclass

from PIL import Image, ImageDraw

Point = tuple[float, float]

PAPER, INK, SOFT, HAIRLINE = "#fcfbf8", "#1c2230", "#5a6275", "#e4e1d9"
STREAM, BRANCH = "#0b5394", "#b5450b"

#: Of the mark, in a box of 48 by 28.
MARK_BOX = (48.0, 28.0)
MARK_STREAM: tuple[Point, Point] = ((2, 21), (46, 21))
MARK_ARC: tuple[Point, ...] = ((10, 21), (12, -1), (32, -1), (34, 16))
MARK_RING: tuple[Point, float] = ((34, 21), 5)
MARK_STROKE = 3.0


@dataclass(frozen=True)
class Line:
    """A part of the picture of a stack: a curve, its color, and its width."""

    curve: tuple[Point, Point, Point, Point]
    color: str
    width: float


def stack_lines(blocks: int, width: float, height: float, stroke: float) -> list[Line]:
    """Return the picture of all paths through a stack, from left to right.

    At each block a path divides: its branch rises, in one color, its shortcut sinks, in another.
    Both are thinner by the root of a half, so that the squared widths of every column have one sum.
    No two of the 2^blocks paths coincide; the last step brings all of them to the sum.
    """
    if not 1 <= blocks <= 10:
        raise ValueError(f"blocks must be from 1 to 10, got {blocks}")
    step = width / (blocks + 2)
    middle = height / 2
    lines = [Line(eased((0, middle), (step / 2, middle)), STREAM, stroke)]
    ends = [(middle, STREAM)]
    lift = height / 4
    for block in range(blocks):
        x = step * (block + 0.5)
        thick = stroke * 2 ** (-(block + 1) / 2)
        following = []
        for y, _ in ends:
            for color, up in ((STREAM, lift), (BRANCH, -lift)):
                lines.append(Line(eased((x, y), (x + step, y + up)), color, thick))
                following.append((y + up, color))
        ends, lift = following, lift / 2
    x, thick = step * (blocks + 0.5), stroke * 2 ** (-blocks / 2)
    return lines + [Line(eased((x, y), (width, middle)), color, thick) for y, color in ends]


def eased(start: Point, end: Point) -> tuple[Point, Point, Point, Point]:
    """Return a curve that leaves and arrives horizontally."""
    bend = (end[0] - start[0]) / 2
    return start, (start[0] + bend, start[1]), (end[0] - bend, end[1]), end


def along(curve: tuple[Point, ...], steps: int = 24) -> list[Point]:
    """Return points on a cubic curve."""
    (x0, y0), (x1, y1), (x2, y2), (x3, y3) = curve
    found = []
    for i in range(steps + 1):
        t = i / steps
        a, b, c, d = (1 - t) ** 3, 3 * t * (1 - t) ** 2, 3 * t * t * (1 - t), t**3
        found.append((a * x0 + b * x1 + c * x2 + d * x3, a * y0 + b * y1 + c * y2 + d * y3))
    return found


def number(value: float) -> str:
    """Return a coordinate as short text."""
    return f"{value:.1f}".removesuffix(".0")


def mark_svg() -> str:
    """Return the mark for a file of its own, in colors that follow the reader's dark mode."""
    (x0, y0), (x1, y1) = MARK_STREAM
    arc = " ".join(number(v) for point in MARK_ARC[1:] for v in point)
    (cx, cy), radius = MARK_RING
    width, height = MARK_BOX
    top = (height - width) / 2  # a square, as the place of a favicon is
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 {number(top)} {number(width)} '
        f'{number(width)}" fill="none" stroke-width="{number(MARK_STROKE + 1)}">'
        f"<style>path,circle{{stroke:{STREAM}}}.b{{stroke:{BRANCH}}}circle{{fill:{PAPER}}}"
        "@media(prefers-color-scheme:dark){path,circle{stroke:#6bb1ee}.b{stroke:#f0925a}"
        "circle{fill:#12151b}}</style>"
        f'<path d="M{number(x0)} {number(y0)}H{number(x1)}"/>'
        f'<path class="b" d="M{number(MARK_ARC[0][0])} {number(MARK_ARC[0][1])}C{arc}"/>'
        f'<circle cx="{number(cx)}" cy="{number(cy)}" r="{number(radius)}"/></svg>\n'
    )


def cover_svg(blocks: int = 6, width: float = 1600, height: float = 900) -> str:
    """Return the picture of the cover."""
    drawn: dict[tuple[float, str], list[str]] = {}
    for line in stack_lines(blocks, width - 40, height, 9):
        (x0, y0), *rest = line.curve
        curve = " ".join(f"{number(x)} {number(y)}" for x, y in rest)
        drawn.setdefault((line.width, line.color), []).append(f"M{number(x0)} {number(y0)}C{curve}")
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {number(width)} {number(height)}" '
        'role="img" fill="none" stroke-linecap="round">',
        f"<title>All {2**blocks} paths through {blocks} residual blocks</title>",
    ]
    for (thick, color), curves in drawn.items():
        parts.append(f'<path stroke="{color}" stroke-width="{thick:.2f}" d="{"".join(curves)}"/>')
    end = f'cx="{number(width - 40)}" cy="{number(height / 2)}"'
    parts.append(f'<circle {end} r="24" fill="{PAPER}" stroke="{STREAM}" stroke-width="9"/></svg>')
    return "\n".join(parts) + "\n"


class Canvas:
    """Draws at four times the size and makes it smaller, since Pillow's lines have hard edges."""

    SCALE = 4

    def __init__(self, width: int, height: int, color: str = PAPER) -> None:
        self.size = (width, height)
        self.image = Image.new("RGB", (width * self.SCALE, height * self.SCALE), color)
        self.pen = ImageDraw.Draw(self.image)

    def line(self, points: list[Point], color: str, width: float) -> None:
        """Draw through points, with round ends and corners."""
        s, thick = self.SCALE, round(width * self.SCALE)
        self.pen.line([(x * s, y * s) for x, y in points], color, thick, joint="curve")
        for x, y in (points[0], points[-1]):
            self.dot((x, y), width / 2, color)

    def dot(self, center: Point, radius: float, color: str) -> None:
        """Draw a filled circle."""
        x, y = center
        box = [(v * self.SCALE) for v in (x - radius, y - radius, x + radius, y + radius)]
        self.pen.ellipse(box, color)

    def ring(self, center: Point, radius: float, color: str, width: float, fill: str) -> None:
        """Draw a circle whose line has the given width."""
        self.dot(center, radius + width / 2, color)
        self.dot(center, radius - width / 2, fill)

    def mark(self, left: float, top: float, height: float) -> None:
        """Draw the book's mark."""
        k = height / MARK_BOX[1]

        def put(point: Point) -> Point:
            return left + point[0] * k, top + point[1] * k

        self.line([put(p) for p in MARK_STREAM], STREAM, MARK_STROKE * k)
        self.line([put(p) for p in along(MARK_ARC)], BRANCH, MARK_STROKE * k)
        center, radius = MARK_RING
        self.ring(put(center), radius * k, STREAM, MARK_STROKE * k, PAPER)

    def stack(self, blocks: int, box: tuple[float, float, float, float], width: float) -> None:
        """Draw the paths of a stack, and their sum, in a box (left, top, right, bottom)."""
        left, top, right, bottom = box
        for line in stack_lines(blocks, right - left, bottom - top, width):
            points = [(left + x, top + y) for x, y in along(line.curve)]
            self.line(points, line.color, line.width)
        self.ring((right, (top + bottom) / 2), 2.6 * width, STREAM, width, PAPER)

    def finished(self) -> Image.Image:
        """Return the picture at its own size."""
        return self.image.resize(self.size, Image.Resampling.LANCZOS)
