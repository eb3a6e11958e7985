"""The book's one style: legible on a phone, in light and dark, without relying on colour.

A figure goes into the page as inline SVG. Its text and axes take the page's own text colour, and
the two arms of every experiment take the page's two colours, so one drawing serves both themes.
"""

from __future__ import annotations

import io
import re
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.figure import Figure

#: The two arms, everywhere. Vermilion and dashed without a shortcut, blue and solid with one.
#: Okabe and Ito's colours, told apart in every common form of colour blindness.
PLAIN, RESIDUAL = "#d55e00", "#0072b2"
_INK = "#010203"  # stands for the page's text colour until the figure is shown

_STYLE: Any = {
    "figure.figsize": (3.6, 2.7),  # inches: at 350 pixels of phone, 10 points stay readable
    "font.size": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _INK,
    "axes.labelcolor": _INK,
    "text.color": _INK,
    "xtick.color": _INK,
    "ytick.color": _INK,
    "lines.linewidth": 2,
    "lines.markersize": 5,
    "svg.hashsalt": "residual",  # the same drawing gives the same file
    "svg.fonttype": "path",
}


def figure(width: float = 3.6, height: float = 2.7) -> tuple[Figure, Any]:
    """Return an empty figure in the book's style and its axes; sizes in inches.

    Raises
    ------
    ValueError: a width or height that is not above zero.
    """
    if not (width > 0 and height > 0):
        raise ValueError(f"width and height must be above 0, got {width} and {height}")
    with matplotlib.rc_context(_STYLE):
        drawing = Figure(figsize=(width, height), layout="constrained")
        return drawing, drawing.add_subplot()


def arm(axes: Any, x: Sequence[float], runs: np.ndarray, residual: bool, label: str) -> None:
    """Draw one arm of an experiment: the mean over seeds, its spread, a label at its end.

    Parameters
    ----------
    axes: where to draw.
    x: K positions.
    runs: (seeds, K) results.
    residual: which arm, and with it colour and line.
    label: stands beside the last point.

    Raises
    ------
    ValueError: runs whose second axis is not as long as x.
    """
    runs = np.asarray(runs, dtype=float)
    if runs.ndim != 2 or runs.shape[1] != len(x):
        raise ValueError(f"runs must be (seeds, {len(x)}), got shape {runs.shape}")
    mean, spread = runs.mean(0), runs.std(0, ddof=1) if len(runs) > 1 else np.zeros(len(x))
    colour = RESIDUAL if residual else PLAIN
    axes.errorbar(
        x, mean, spread, color=colour, linestyle="-" if residual else "--", marker="o", capsize=3
    )
    axes.annotate(
        label, (x[-1], mean[-1]), (7, 0), textcoords="offset points", color=colour, va="center"
    )


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
    # Several figures share a page: ids carry the figure's own name.
    name = f"f{np.frombuffer(alt.encode(), np.uint8).astype(int).cumsum().sum() % 10**6}"
    text = re.sub(r'\bid="', f'id="{name}-', text)
    text = re.sub(r'(href="#|url\(#)', rf"\g<1>{name}-", text)
    for colour, variable in (
        (_INK, "currentColor"),
        (PLAIN, f"var(--companion-plain, {PLAIN})"),
        (RESIDUAL, f"var(--companion-residual, {RESIDUAL})"),
    ):
        text = text.replace(colour, variable)
    label = _escaped(alt)
    return text.replace("<svg", f'<svg role="img" aria-label="{label}"', 1).strip()


def show(*drawings: tuple[Figure, str]) -> None:
    """Show figures side by side where there is room, one below the other on a phone.

    Parameters
    ----------
    drawings: pairs of a figure and its alternative text, which states the figure's message. In a
        terminal, and in the tests, the text stands for the figure.

    Raises
    ------
    ValueError: an empty alternative text, or no figure.
    """
    if not drawings:
        raise ValueError("show needs at least one (figure, alt) pair, got none")
    from IPython.display import display  # a notebook has it; a script that only saves does not

    parts = "".join(svg(drawing, alt) for drawing, alt in drawings)
    bundle = {
        "text/html": f'<div class="companion-figure">{parts}</div>',
        "text/plain": "\n".join(alt for _, alt in drawings),
    }
    display(bundle, raw=True)


def slide(name: str, frames: Sequence[tuple[str, Figure, str]], start: int = 0) -> None:
    """Show one of several figures, chosen with a slider: no server, no library, keyboard included.

    Parameters
    ----------
    name: what the slider changes, as "depth".
    frames: (value, figure, alternative text) of each position, in order.
    start: the position shown first, and the one that is printed.

    Raises
    ------
    ValueError: fewer than two frames, an empty alternative text, or a start that is no position.
    """
    if len(frames) < 2 or not 0 <= start < len(frames):
        raise ValueError(f"slide needs two frames or more and a start among them, got {start}")
    from IPython.display import display

    values = [_escaped(value) for value, _, _ in frames]
    parts = "".join(
        f"<div{'' if i == start else ' hidden'}>{svg(drawing, alt)}</div>"
        for i, (_, drawing, alt) in enumerate(frames)
    )
    # The handler is the whole program: show the frame of this position, say its value.
    handler = (
        "const f=this.closest('.companion-slide'),v=this.dataset.values.split('|')[this.value];"
        "f.querySelectorAll('.companion-frames>div').forEach((d,i)=>d.hidden=i!=this.value);"
        "f.querySelector('output').textContent=v;this.setAttribute('aria-valuetext',v)"
    )
    page = (
        '<div class="companion-slide"><label>'
        f'{_escaped(name)} <input type="range" min="0" max="{len(frames) - 1}" value="{start}" '
        f'data-values="{"|".join(values)}" aria-valuetext="{values[start]}" '
        f'oninput="{handler}"> <output>{values[start]}</output></label>'
        f'<div class="companion-figure companion-frames">{parts}</div></div>'
    )
    text = "\n".join(f"{name} {value}: {alt}" for value, _, alt in frames)
    display({"text/html": page, "text/plain": text}, raw=True)


def _escaped(text: str) -> str:
    return text.replace("&", "&amp;").replace('"', "&quot;").replace("<", "&lt;")


def block_diagram(
    branch: Sequence[str], shortcut: str | None, activation: str = ""
) -> tuple[Figure, Any]:
    """Draw a block: its branch downwards, its shortcut around it, the sum, the activation.

    Parameters
    ----------
    branch: labels of the layers, first to last.
    shortcut: label of the shortcut; ``None`` draws the plain control.
    activation: label of what follows the sum; empty for nothing.
    """
    names = list(branch)
    height = 0.42 * (len(names) + 4)
    drawing, axes = figure(3.4, height)
    axes.set_axis_off()
    box = {"boxstyle": "round,pad=0.35", "facecolor": "none", "edgecolor": _INK}
    path = {"arrowstyle": "-|>", "color": _INK, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}

    def arrow(start: tuple[float, float], end: tuple[float, float], **style: Any) -> None:
        axes.annotate("", end, start, arrowprops={**path, **style})

    y = 0.0
    axes.text(0, y, "x", ha="center", va="center", style="italic", color=_INK)
    for name in names:
        arrow((0, y - 0.28), (0, y - 0.7))
        y -= 1
        axes.text(0, y, name, ha="center", va="center", bbox=box, color=_INK)
    if shortcut is not None:
        arrow((0, y - 0.28), (0, y - 0.7))
        y -= 1
        axes.text(
            0,
            y,
            "+",
            ha="center",
            va="center",
            bbox={**box, "boxstyle": "circle,pad=0.2"},
            color=_INK,
        )
        line = {"color": RESIDUAL, "linewidth": 2.4, "solid_capstyle": "round"}
        axes.plot([0.08, 1.5, 1.5], [-0.42, -0.42, y], **line)
        arrow((1.5, y), (0.2, y), color=RESIDUAL, linewidth=2.4)
        axes.text(1.6, y / 2, shortcut, color=RESIDUAL, va="center", ha="left")
    if activation:
        arrow((0, y - 0.28), (0, y - 0.7))
        y -= 1
        axes.text(0, y, activation, ha="center", va="center", bbox=box, color=_INK)
    arrow((0, y - 0.28), (0, y - 0.75))
    axes.text(0, y - 1, "y", ha="center", va="center", style="italic", color=_INK)
    axes.set_xlim(-1.3, 3.0)
    axes.set_ylim(y - 1.3, 0.4)
    return drawing, axes
