"""Diagrams of blocks and of the paths through them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from matplotlib.figure import Figure
from matplotlib.patches import FancyBboxPatch

from companion.book.figures.style import INK, PAPER, RESIDUAL, figure
from companion.measures import Operation

_BOX: Any = {"boxstyle": "round,pad=0.35", "facecolor": "none", "edgecolor": INK}
_ARROW: Any = {"arrowstyle": "-|>", "color": INK, "linewidth": 1.4, "shrinkA": 0, "shrinkB": 0}


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

    def arrow(start: tuple[float, float], end: tuple[float, float], **style: Any) -> None:
        axes.annotate("", end, start, arrowprops={**_ARROW, **style})

    y = 0.0
    axes.text(0, y, "x", ha="center", va="center", style="italic", color=INK)
    for name in names:
        arrow((0, y - 0.28), (0, y - 0.7))
        y -= 1
        axes.text(0, y, name, ha="center", va="center", bbox=_BOX, color=INK)
    if shortcut is not None:
        arrow((0, y - 0.28), (0, y - 0.7))
        y -= 1
        axes.text(
            0,
            y,
            "+",
            ha="center",
            va="center",
            bbox={**_BOX, "boxstyle": "circle,pad=0.2"},
            color=INK,
        )
        line = {"color": RESIDUAL, "linewidth": 2.4, "solid_capstyle": "round"}
        axes.plot([0.08, 1.5, 1.5], [-0.42, -0.42, y], **line)
        arrow((1.5, y), (0.2, y), color=RESIDUAL, linewidth=2.4)
        axes.text(1.6, y / 2, shortcut, color=RESIDUAL, va="center", ha="left")
    if activation:
        arrow((0, y - 0.28), (0, y - 0.7))
        y -= 1
        axes.text(0, y, activation, ha="center", va="center", bbox=_BOX, color=INK)
    arrow((0, y - 0.28), (0, y - 0.75))
    axes.text(0, y - 1, "y", ha="center", va="center", style="italic", color=INK)
    axes.set_xlim(-1.3, 3.0)
    axes.set_ylim(y - 1.3, 0.4)
    return drawing, axes


def operation_graph(operations: Sequence[Operation], input_label: str = "x") -> tuple[Figure, Any]:
    """Draw a computation from its own record, downwards; what goes around runs at the side.

    The longest way through stands in the middle. Every other way from one of its steps to a later
    one is drawn beside it: in the residual colour where it ends in an addition, dotted where it is
    concatenated.

    Parameters
    ----------
    operations: as :func:`companion.torch.probes.operation_graph` returns them, in order.
    input_label: name of what comes in.

    Raises
    ------
    ValueError: no operation, or a way at the side that itself forks, as a highway's gate does.
    """
    if not operations:
        raise ValueError("operations must hold at least one, got none")
    by_name = {operation.name: operation for operation in operations}
    middle = _longest(operations)
    place = {name: row for row, name in enumerate(middle)}
    sides = []
    for name in middle[1:]:
        for at in by_name[name].inputs:
            between: list[str] = []
            while at not in place:  # along the side, back to the middle
                if len(by_name[at].inputs) > 1:
                    raise ValueError(f"operations must not fork at the side, got {at!r}")
                between.insert(0, by_name[at].kind)
                at = by_name[at].inputs[0]
            if between or place[name] - place[at] > 1:
                sides.append((place[at], place[name], between, by_name[name].kind))
    lanes = _lanes([(start, end) for start, end, _, _ in sides])
    drawing, axes = figure(3.6 + 0.35 * max(lanes, default=0), 0.5 * (len(middle) + 1.5))
    axes.set_axis_off()
    for row, name in enumerate(middle):
        kind = by_name[name].kind if name in by_name else input_label
        style: Any = {"style": "italic"} if row == 0 else {"bbox": _BOX}
        if kind == "+":
            style = {"bbox": {**_BOX, "boxstyle": "circle,pad=0.2"}}
        axes.text(0, -row, kind, ha="center", va="center", color=INK, **style)
        axes.annotate("", (0, -row - 0.7), (0, -row - 0.28), arrowprops=_ARROW)
    axes.text(0, -len(middle), "y", ha="center", va="center", style="italic", color=INK)
    for (start, end, between, kind), lane in zip(sides, lanes, strict=True):
        _side(axes, -start - 0.42, -end, 1.6 + 0.55 * lane, between, kind)
    axes.set_xlim(-1.3, 3.0 + 0.55 * max(lanes, default=0))
    axes.set_ylim(-len(middle) - 0.4, 0.4)
    return drawing, axes


def _longest(operations: Sequence[Operation]) -> list[str]:
    """Return the names on the longest way from the input to the last operation."""
    way: dict[str, list[str]] = {"x": ["x"]}
    for operation in operations:
        way[operation.name] = max((way[i] for i in operation.inputs), key=len) + [operation.name]
    return way[operations[-1].name]


def _lanes(spans: Sequence[tuple[int, int]]) -> list[int]:
    """Return for each span the innermost lane that no overlapping, shorter span has taken."""
    lanes = [0] * len(spans)
    taken: list[tuple[int, int, int]] = []
    for i in sorted(range(len(spans)), key=lambda i: spans[i][1] - spans[i][0]):
        start, end = spans[i]
        busy = {lane for s, e, lane in taken if s < end and start < e}
        lanes[i] = next(lane for lane in range(len(spans)) if lane not in busy)
        taken.append((start, end, lanes[i]))
    return lanes


def _side(axes: Any, top: float, bottom: float, x: float, between: list[str], kind: str) -> None:
    added = kind in ("+", "-")
    colour = RESIDUAL if added else INK
    line: Any = {"color": colour, "linewidth": 2.4 if added else 1.4}
    dots: Any = {} if added else {"linestyle": ":"}
    axes.plot([0.08, x, x], [top, top, bottom], **line, **dots)
    reach = 0.22 if added else 0.75
    axes.annotate("", (reach, bottom), (x, bottom), arrowprops={**_ARROW, **line, **dots})
    for i, label in enumerate(between, 1):
        y = top + (bottom - top) * i / (len(between) + 1)
        box = {**_BOX, "facecolor": PAPER, "edgecolor": colour}
        axes.text(x, y, label, ha="center", va="center", color=colour, fontsize=9, bbox=box)


def path_diagram(taken: Sequence[bool]) -> tuple[Figure, Any]:
    """Draw one path through a stack of residual blocks: over a branch, or along its shortcut.

    Parameters
    ----------
    taken: for each block, in order, whether the path goes through its branch.

    Raises
    ------
    ValueError: no block.
    """
    if not taken:
        raise ValueError("taken must hold one entry for each block, got none")
    drawing, axes = figure(4.4, 1.5)
    axes.set_axis_off()
    for i, through in enumerate(taken):
        x = 3.0 * i
        over = ([x, x + 0.4, x + 2.0, x + 2.4], [0, 1, 1, 0])
        along = ([x, x + 2.4], [0, 0])
        for line, chosen in ((over, through), (along, not through)):
            style: Any = {"color": RESIDUAL, "linewidth": 4} if chosen else {"color": INK}
            axes.plot(*line, alpha=1 if chosen else 0.35, solid_capstyle="round", **style)
        box = {**_BOX, "facecolor": PAPER, "edgecolor": RESIDUAL if through else INK}
        label = f"$F_{i + 1}$"
        axes.text(x + 1.2, 1, label, ha="center", va="center", color=INK, bbox=box)
        ends: Any = {"color": RESIDUAL, "linewidth": 4}
        axes.plot([x + 2.4, x + 3.0], [0, 0], solid_capstyle="round", **ends)
        axes.plot([x + 2.4], [0], marker="o", markersize=9, color=INK)
    axes.plot([-0.6, 0], [0, 0], color=RESIDUAL, linewidth=4, solid_capstyle="round")
    axes.text(-0.8, 0, "x", style="italic", ha="right", va="center", color=INK)
    axes.text(3.0 * len(taken) + 0.2, 0, "y", style="italic", ha="left", va="center", color=INK)
    axes.set(xlim=(-1.4, 3.0 * len(taken) + 0.8), ylim=(-0.5, 1.6))
    return drawing, axes


def decision_path(
    steps: Sequence[tuple[str, str, str, str]], end: str, width: float = 4.8
) -> tuple[Figure, Any]:
    """Draw questions one below the other, each with what it leads to at its side.

    Parameters
    ----------
    steps: for each question its text, the answer that leads to the side, what to take there, and
        the answer that leads on, empty for one that always does. Texts may have several lines.
    end: what stands below the last question.
    width: in inches, default 4.8.

    Raises
    ------
    ValueError: no step.
    """
    if not steps:
        raise ValueError("steps must hold a question, got none")
    line, gap = 0.17, 0.34  # inches: of a line of text, and between two boxes
    lines = [
        max(text.count("\n") + 1 for text in (question, take)) for question, _, take, _ in steps
    ]
    heights = [line * n + 0.16 for n in (*lines, end.count("\n") + 1)]
    total = sum(heights) + gap * len(steps)
    drawing, axes = figure(width, total + 0.1)
    axes.set(xlim=(0, width), ylim=(-0.03, total + 0.03))
    axes.set_axis_off()
    left, right, small = 0.42 * width, 0.55 * width, 8.5

    def box(x: float, y: float, wide: float, height: float, text: str, color: str) -> None:
        style: Any = {"boxstyle": "round,pad=0,rounding_size=0.08", "linewidth": 1.4}
        axes.add_patch(FancyBboxPatch((x, y), wide, height, fill=False, edgecolor=color, **style))
        at: Any = {"ha": "center", "va": "center", "fontsize": small, "linespacing": 1.15}
        axes.text(x + wide / 2, y + height / 2, text, color=INK, **at)

    y = total
    for (question, aside, take, on), height in zip(steps, heights, strict=False):
        y -= height
        box(0.02, y, left, height, question, INK)
        box(right, y, width - right - 0.02, height, take, RESIDUAL)
        axes.annotate("", (right, y + height / 2), (left + 0.02, y + height / 2), arrowprops=_ARROW)
        label: Any = {"fontsize": small, "color": INK}
        axes.text((left + right) / 2, y + height / 2 + 0.05, aside, ha="center", **label)
        axes.annotate("", (left / 2, y - gap), (left / 2, y), arrowprops=_ARROW)
        axes.text(left / 2 + 0.08, y - gap / 2, on, va="center", **label)
        y -= gap
    box(0.02, y - heights[-1], width - 0.04, heights[-1], end, RESIDUAL)
    return drawing, axes
