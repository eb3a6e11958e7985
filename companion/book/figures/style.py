"""The book's one style: legible on a phone, in light and dark, without relying on colour.

A figure goes into the page as inline SVG. Its text and axes take the page's own text colour, and
the two conditions of every experiment take the page's two colours: one drawing, both themes.
"""

from __future__ import annotations

import hashlib
import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.colors import LinearSegmentedColormap
from matplotlib.figure import Figure

from companion import _checks
from companion.book.figures.lettering import SIZE, least_width, lettering

#: The two conditions, everywhere. Vermilion and dashed without a shortcut, blue and solid with one.
#: Okabe and Ito's colours, told apart in every common form of colour blindness.
PLAIN, RESIDUAL = "#d55e00", "#0072b2"
#: Stands for the page's text colour until the figure is shown.
INK = "#010203"
#: Stands for the page's background, likewise.
PAPER = "#fdfefc"
#: For what is neither condition: predictions, bands of noise. Legible on both pages.
MUTED = "#76787a"

_STYLE: Any = {
    "figure.figsize": (3.6, 2.7),  # inches: at 350 pixels of phone, 10 points stay readable
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": INK,
    "axes.labelcolor": INK,
    "text.color": INK,
    "xtick.color": INK,
    "ytick.color": INK,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "svg.hashsalt": "residual",  # the same drawing gives the same file
    "svg.fonttype": "none",
}


def figure(width: float = 3.6, height: float = 2.7, columns: int = 1) -> tuple[Figure, Any]:
    """Return an empty figure in the book's style and its axes.

    Parameters
    ----------
    width, height: in inches; 3.6 by 2.7 is readable on a phone.
    columns: of axes side by side, default 1; more than one come as an array.

    Raises
    ------
    ValueError: a width or height that is not above zero, or fewer than one column.
    """
    columns = _checks.positive_int("columns", columns)
    if not (width > 0 and height > 0):
        raise ValueError(f"width and height must be above 0, got {width} and {height}")
    with matplotlib.rc_context(_STYLE):
        drawing = Figure(figsize=(width, height), layout="constrained")
        return drawing, drawing.subplots(1, columns)


def plot_condition(
    axes: Any,
    x: Sequence[float],
    runs: np.ndarray,
    residual: bool,
    label: str,
    marker: str = "o",
    lift: float = 0,
) -> None:
    """Draw one condition of an experiment: mean and standard deviation over seeds, and a label.

    Parameters
    ----------
    axes: where to draw.
    x: K positions.
    runs: (seeds, K) results.
    residual: which condition, and with it colour and line.
    label: stands beside the last point, ``lift`` points above it.
    marker: tells several curves of one condition apart, default a disc.

    Raises
    ------
    ValueError: runs whose second axis is not as long as x.
    """
    runs = np.asarray(runs, dtype=float)
    if runs.ndim != 2 or runs.shape[1] != len(x):
        raise ValueError(f"runs must be (seeds, {len(x)}), got shape {runs.shape}")
    mean, std = runs.mean(0), runs.std(0, ddof=1) if len(runs) > 1 else np.zeros(len(x))
    colour = RESIDUAL if residual else PLAIN
    axes.errorbar(
        x,
        mean,
        std,
        color=colour,
        linestyle="-" if residual else "--",
        marker=marker,
        capsize=3,
    )
    at: Any = {"textcoords": "offset points", "va": "center"}
    axes.annotate(label, (x[-1], mean[-1]), (7, lift), color=colour, **at)


def feature_maps(images: np.ndarray, titles: Sequence[str], limit: float | None = None) -> Figure:
    """Draw feature maps side by side: blue above zero, vermilion below, white at zero.

    Parameters
    ----------
    images: (K, H, W). titles: one for each.
    limit: the value of the fullest colour; default, the largest absolute value.

    Raises
    ------
    ValueError: images of another rank, or not one title for each.
    """
    images = np.asarray(images, dtype=float)
    if images.ndim != 3 or len(images) != len(titles):
        raise ValueError(f"images must be ({len(titles)}, H, W), got shape {images.shape}")
    limit = float(np.abs(images).max()) if limit is None else limit
    colours = LinearSegmentedColormap.from_list("signed", [PLAIN, "#ffffff", RESIDUAL])
    drawing, axes = figure(1.3 * len(images), 1.7, len(images))
    for ax, image, title in zip(np.atleast_1d(axes), images, titles, strict=True):
        ax.imshow(image, cmap=colours, vmin=-limit, vmax=limit, interpolation="nearest")
        ax.set_title(title, fontsize=9, color=INK)
        ax.set(xticks=[], yticks=[])
        ax.spines[:].set_visible(False)
    return drawing


def svg(drawing: Figure, alt: str) -> str:
    """Return the figure as one accessible SVG element that follows the page's theme.

    Raises
    ------
    ValueError: an empty alternative text.
    """
    if not isinstance(alt, str) or not alt.strip():
        raise ValueError(f"alt must state the figure's message, got {alt!r}")
    buffer = io.StringIO()
    with matplotlib.rc_context(_STYLE):
        drawing.savefig(buffer, format="svg", transparent=True, metadata={"Date": None})
    text = buffer.getvalue()
    text = text[text.index("<svg") :]
    text = re.sub(r"<metadata>.*?</metadata>\s*", "", text, flags=re.S)
    # Several figures share a page: ids carry a name that the drawing itself gives.
    name = f"f{hashlib.sha256((alt + text).encode()).hexdigest()[:8]}"
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in (
        (INK, "currentColor"),
        (PAPER, "var(--pst-color-background, #ffffff)"),
        (MUTED, "var(--pst-color-text-muted, #6a6c6e)"),
        (PLAIN, f"var(--companion-plain, {PLAIN})"),
        (RESIDUAL, f"var(--companion-residual, {RESIDUAL})"),
    ):
        text = text.replace(colour, variable)
    text = lettering(text, drawing)
    label, least = escaped(alt), least_width(text)
    # Text that names no colour takes the page's, in both themes; a page may set face and size.
    face = (
        f'font-family="system-ui, sans-serif" font-size="{SIZE}" style="min-width: {least:.0f}px"'
    )
    head = f'<svg role="img" aria-label="{label}" fill="currentColor" {face}'
    return text.replace("<svg", head, 1).strip()


def show(*drawings: tuple[Figure, str], caption: str = "") -> None:
    """Show figures side by side where there is room, one below the other on a phone.

    Parameters
    ----------
    drawings: pairs of a figure and its alternative text, which states the figure's message. In a
        terminal, and in the tests, the text stands for the figure.
    caption: what is shown, below all of them; formulas between dollar signs. In the book, figures
        that have one are numbered.

    Raises
    ------
    ValueError: an empty alternative text, or no figure.
    """
    if not drawings:
        raise ValueError("show needs at least one (figure, alt) pair, got none")
    from IPython.display import display  # a notebook has it; a script that only saves does not

    parts = "".join(svg(drawing, alt) for drawing, alt in drawings)
    bundle = {
        "text/html": f'<div class="companion-figure">{parts}</div>{below(caption)}',
        "text/plain": "\n".join(alt for _, alt in drawings),
    }
    display(bundle, raw=True)


def below(caption: str) -> str:
    """Return the caption as it stands below a figure; the book makes a numbered one of it."""
    return f'<p class="companion-caption">{escaped(caption)}</p>' if caption else ""


def escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def table(columns: Sequence[str], rows: Sequence[Sequence[str]], caption: str = "") -> None:
    """Show a table, in Markdown, so that its text can be searched, compared and translated.

    Parameters
    ----------
    columns: headings. rows: one text for each column.
    caption: a sentence before the table.

    Raises
    ------
    ValueError: no row, or a row of another length.
    """
    wrong = [row for row in rows if len(row) != len(columns)]
    if not rows or wrong:
        raise ValueError(f"rows must hold {len(columns)} texts each, got {wrong or 'no row'}")
    from IPython.display import display

    lines = [list(columns), ["---"] * len(columns), *map(list, rows)]
    text = "\n".join("| " + " | ".join(line) + " |" for line in lines)
    text = f"{caption}\n\n{text}" if caption else text
    display({"text/markdown": text, "text/plain": text}, raw=True)
