"""Draw the picture that a chat or a feed shows beside a link to a page.

A card has the book's mark, the page's title, and the stream of the book: an arc for each chapter,
filled up to this one. Its name follows from all that it depends on, so that a card that is there
is the right one, and a build in which nothing has changed draws none.
"""

from __future__ import annotations

import functools
import hashlib
from dataclasses import astuple, dataclass
from pathlib import Path

import book_art
from book_art import BRANCH, HAIRLINE, INK, PAPER, SOFT, STREAM, Canvas, Point
from PIL import Image, ImageDraw, ImageFont

SIZE = (1200, 630)
MARGIN = 80
FONTS = Path(__file__).resolve().parents[1] / "_vendor" / "fonts"
#: Under "_static", which the pages' addresses of pictures lead to.
FOLDER = "_static/cards"
SMALLEST = 44


@dataclass(frozen=True)
class Card:
    """What a card shows; ``label`` is that of the page, and ``chapter`` 0 where it is of none."""

    title: str
    book: str
    label: str = ""
    chapter: int = 0
    chapters: int = 9

    @property
    def name(self) -> str:
        """Return the name of the file."""
        digest = hashlib.sha256(repr(astuple(self)).encode() + drawing())
        return f"{digest.hexdigest()[:16]}.png"


def drawing() -> bytes:
    """Return what all cards depend on: this module, the art, and the faces."""
    files = [Path(__file__), Path(book_art.__file__), *sorted(FONTS.glob("serif*.woff2"))]
    return b"".join(hashlib.sha256(file.read_bytes()).digest() for file in files)


def face(name: str, size: float) -> ImageFont.FreeTypeFont:
    """Return one of the book's faces."""
    return ImageFont.truetype(str(FONTS / f"{name}.woff2"), size)


def wrapped(title: str, font: ImageFont.FreeTypeFont, width: float) -> list[str]:
    """Return the title in lines no wider than ``width``, where its words allow it."""
    lines: list[str] = []
    for word in title.split():
        longer = f"{lines[-1]} {word}" if lines else word
        if lines and font.getlength(longer) <= width:
            lines[-1] = longer
        else:
            lines.append(word)
    return lines


def fitted(title: str, width: float) -> tuple[ImageFont.FreeTypeFont, list[str]]:
    """Return a face in which a title takes few lines, and these lines."""
    for most, smallest in ((2, 64), (3, SMALLEST)):
        for size in range(84, smallest - 1, -4):
            font = face("serif", size)
            lines = wrapped(title, font, width)
            if len(lines) <= most and all(font.getlength(line) <= width for line in lines):
                return font, lines
    font = face("serif", SMALLEST)
    return font, wrapped(title, font, width)[:3]


@functools.cache
def art(chapter: int, chapters: int) -> Image.Image:
    """Return what all cards of a chapter share: the mark, and a picture at the foot."""
    canvas = Canvas(*SIZE)
    if chapter:
        stream(canvas, chapter, chapters)
    else:
        canvas.stack(6, (float(MARGIN), 365, SIZE[0] - MARGIN - 20, 605), 8)
    canvas.mark(MARGIN, 58, 44)
    return canvas.finished()


def place(chapter: int, chapters: int) -> float:
    """Return where the ring of a chapter stands on the stream."""
    step = (SIZE[0] - 2 * MARGIN - 40) / chapters
    return MARGIN + 40 + step * (chapter - 0.2)


def stream(canvas: Canvas, chapter: int, chapters: int) -> None:
    """Draw the stream of the book along the foot, with an arc and a ring for each chapter."""
    y, left, right = 510.0, float(MARGIN), float(SIZE[0] - MARGIN)
    step = (right - left - 40) / chapters
    canvas.line([(left, y), (right, y)], HAIRLINE, 6)
    canvas.line([(left, y), (place(chapter, chapters), y)], STREAM, 6)
    for i in range(1, chapters + 1):
        ring = place(i, chapters)
        start = ring - step * 0.52
        lift: tuple[Point, ...] = ((start, y), (start + 4, y - 62), (ring - 4, y - 62), (ring, y))
        done = i <= chapter
        canvas.line(book_art.along(lift), BRANCH if done else HAIRLINE, 6)
        color = STREAM if done else HAIRLINE
        canvas.ring((ring, y), 11, color, 6, STREAM if i == chapter else PAPER)


def draw(card: Card) -> Image.Image:
    """Return the picture."""
    image = art(card.chapter, card.chapters).copy()
    pen = ImageDraw.Draw(image)
    if card.chapter:
        x = place(card.chapter, card.chapters)
        pen.text((x, 582), card.label, STREAM, face("serif-bold", 34), "ms")
    pen.text((MARGIN + 96, 91), card.book, SOFT, face("serif-bold", 30), anchor="ls")
    font, lines = fitted(card.title, SIZE[0] - 2 * MARGIN)
    y = 150 + font.size
    for line in lines:
        pen.text((MARGIN, y), line, INK, font, anchor="ls")
        y += font.size * 1.16
    return image.quantize(64, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE)


def write(card: Card, folder: Path) -> str:
    """Draw a card unless it is there; return its name."""
    target = folder / card.name
    if not target.exists():
        folder.mkdir(parents=True, exist_ok=True)
        half = target.with_suffix(".part")
        draw(card).save(half, "PNG", optimize=True)
        half.replace(target)  # a build that is stopped leaves no half a picture under the name
    return card.name


def tidy(folder: Path, wanted: set[str]) -> None:
    """Take away the cards that no page has any more."""
    for file in folder.glob("*"):
        if file.name not in wanted:
            file.unlink()
