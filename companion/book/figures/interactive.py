"""Interactive figures: no server, no library, keyboard and phone included.

All frames come from runs and lie in the page. One line of script shows the chosen one; on paper all
of them are printed, each under its value.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence

from matplotlib.figure import Figure

from companion.book.figures.style import below, escaped, svg

#: One position: its value, its figure, and the alternative text that states the message.
Frame = tuple[str, Figure, str]

# The whole program: show the frame of this position.
_SHOW = (
    "this.closest('.companion-turn').querySelectorAll('.companion-frames>div')"
    ".forEach((d,i)=>d.hidden=i!=this.value)"
)


def slider(name: str, frames: Sequence[Frame], start: int = 0, caption: str = "") -> None:
    """Show one of several figures, chosen with a slider.

    Parameters
    ----------
    name: what the slider changes, as "depth".
    frames: (value, figure, alternative text) of each position, in order.
    start: the position shown first, default 0.
    caption: what is shown, below all positions, as :func:`show` has it.

    Raises
    ------
    ValueError: fewer than two frames, an empty alternative text, or a start that is no position.
    """
    _check("slider", frames, start)
    values = [escaped(value) for value, _, _ in frames]
    say = (
        f"const v=this.dataset.values.split('|')[this.value];{_SHOW};"
        "this.closest('.companion-turn').querySelector('output').textContent=v;"
        "this.setAttribute('aria-valuetext',v)"
    )
    control = (
        f'<label>{escaped(name)} <input type="range" min="0" max="{len(frames) - 1}" '
        f'value="{start}" data-values="{"|".join(values)}" aria-valuetext="{values[start]}" '
        f'autocomplete="off" oninput="{say}"></label> <output>{values[start]}</output>'
    )
    _display(name, control, frames, start, caption)


def selector(
    name: str, frames: Sequence[Frame], start: int = 0, hover: bool = False, caption: str = ""
) -> None:
    """Show one of several figures, chosen by its name.

    Parameters
    ----------
    name: what is chosen, as "shortcut".
    frames: (value, figure, alternative text) of each choice, in order.
    start: the choice shown first, default 0.
    hover: whether passing over a name chooses it, as a click or an arrow key does; default False.
    caption: what is shown, below all choices, as :func:`show` has it.

    Raises
    ------
    ValueError: fewer than two frames, an empty alternative text, or a start that is no position.
    """
    _check("selector", frames, start)
    group = hashlib.sha256("".join([name, *(alt for _, _, alt in frames)]).encode()).hexdigest()
    enter = ' onmouseenter="this.firstElementChild.click()"' if hover else ""
    options = "".join(
        f'<label{enter}><input type="radio" name="choice-{group[:8]}" value="{i}"'
        f'{" checked" if i == start else ""} autocomplete="off" onchange="{_SHOW}"> '
        f"<bdi>{escaped(value)}</bdi></label> "
        for i, (value, _, _) in enumerate(frames)
    )
    control = f"<fieldset><legend>{escaped(name)}</legend>{options}</fieldset>"
    _display(name, control, frames, start, caption)


def _check(caller: str, frames: Sequence[Frame], start: int) -> None:
    if len(frames) < 2 or not 0 <= start < len(frames):
        raise ValueError(f"{caller} needs two frames or more and a start among them, got {start}")
    if any("|" in value for value, _, _ in frames):
        raise ValueError("the values of frames must not contain '|'")


def _display(name: str, control: str, frames: Sequence[Frame], start: int, caption: str) -> None:
    from IPython.display import display  # a notebook has it; a script that only saves does not

    parts = "".join(
        f'<div data-frame="{escaped(f"{name}: {value}")}"{"" if i == start else " hidden"}>'
        f"{svg(drawing, alt)}</div>"
        for i, (value, drawing, alt) in enumerate(frames)
    )
    page = (
        f'<div class="companion-turn">{control}'
        f'<div class="companion-figure companion-frames">{parts}</div></div>'
        f"{below(caption)}"
    )
    text = "\n".join(f"{name} {value}: {alt}" for value, _, alt in frames)
    display({"text/html": page, "text/plain": text}, raw=True)
