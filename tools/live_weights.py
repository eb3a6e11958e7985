"""Write what the pages' trained networks need: weights in eight bits, and pictures without scripts.

Everything comes from the stored runs and weights of ``companion.book.experiments.live_lesions`` and
``live_dates``; nothing is trained. Run it after these:

    python -m tools.live_weights
"""

from __future__ import annotations

import base64
from html import escape
from pathlib import Path
from typing import Any

import numpy as np

from companion.book import live_models, results
from companion.book.experiments import live_dates
from companion.data import dates, digits8
from companion.translation import Translation

LIVE = Path(__file__).resolve().parents[1] / "book" / "_static" / "live"
FIGURE = """<div class="live" data-live="{name}"{sizes}>
{still}
</div>
"""
ARMS = ("residual", "plain")
#: Block and character (from 0) whose attention the translator shows first: the month's last digit.
BLOCK, CHARACTER = 3, 6


def lesions_weights() -> str:
    """Return the script of both networks, and of the test digits."""
    weights, digits = live_models.load("live_lesions"), digits8()
    points = np.rint(16 * digits.x_test).astype(np.uint8)
    content = {
        **{arm: live_models.packed(weights[arm]) for arm in ARMS},
        "float": {arm: lesions_run(arm, "float")["accuracy"] for arm in ARMS},
        "pixels": base64.b64encode(points.tobytes()).decode("ascii"),
        "labels": "".join(map(str, digits.y_test)),
    }
    return live_models.script("lesions", content)


def lesions_run(arm: str, kind: str) -> dict[str, Any]:
    return results.runs("live_lesions", arm=arm, weights=kind, seed=0)[0]


def lesions_still() -> str:
    """Return a chart: of test digits, the share that is right without each of the blocks."""
    runs = {arm: lesions_run(arm, "int8") for arm in ARMS}
    blocks = len(runs["plain"]["each"])
    left, top, width, height = 44, 28, 286, 154

    def y(share: float) -> float:
        return round(top + (1 - share) * height, 1)

    def x(block: int) -> float:
        return round(left + (block + 0.5) * width / blocks, 1)

    parts = [f'<text class="live-title" x="{left}" y="16">right without one block, %</text>']
    for tick in (0, 50, 100):
        parts.append(f'<path class="live-grid" d="M{left} {y(tick / 100)}h{width}"/>')
        at = f'x="{left - 6}" y="{y(tick / 100) + 4:g}" text-anchor="end"'
        parts.append(f'<text class="live-tick" {at}>{tick}</text>')
    for block in range(blocks):
        at = f'x="{x(block)}" y="{top + height + 16}" text-anchor="middle"'
        parts.append(f'<text class="live-tick" {at}>{block + 1}</text>')
    for arm, run in runs.items():
        path = "L".join(f"{x(i)} {y(share)}" for i, share in enumerate(run["each"]))
        parts.append(f'<path class="live-line live-{arm}" d="M{path}"/>')
        for i, share in enumerate(run["each"]):
            parts.append(f'<circle class="live-dot live-{arm}" cx="{x(i)}" cy="{y(share)}" r="4"/>')
    parts.append(
        f'<text class="live-label" x="{left + width}" y="215" text-anchor="end">'
        "the block that is gone</text>"
    )
    described = "; ".join(
        f"{name} {', '.join(f'{100 * share:.0f}' for share in runs[arm]['each'])} "
        f"(with all blocks {100 * runs[arm]['accuracy']:.0f})"
        for arm, name in (("residual", "with shortcuts"), ("plain", "plain"))
    )
    label = f"Per cent of the test digits that are right without block 1 to {blocks}: {described}."
    inside = "\n".join(parts)
    return (
        '<div class="live-panels">\n'
        f'<svg class="live-chart" viewBox="0 0 340 220" role="img" aria-label="{label}">\n'
        f"{inside}\n</svg>\n</div>\n{legend()}"
    )


def legend() -> str:
    line = (
        '<li><svg viewBox="0 0 28 8" width="28" height="8" aria-hidden="true">'
        '<path class="live-line live-{arm}" d="M1 4H27"/></svg>{name}</li>'
    )
    entries = (("residual", "with shortcuts"), ("plain", "plain"))
    items = "".join(line.format(arm=arm, name=name) for arm, name in entries)
    return f'<ul class="live-legend">{items}</ul>'


def dates_weights(arm: str) -> str:
    """Return the script of one translator; that with shortcuts brings the vocabularies too.

    Of the last layer only the rows of target tokens are kept: no other is ever written.
    """
    weights = dict(live_models.load("live_dates")[arm])
    pairs = dates(size=1)
    task = Translation.from_pairs(pairs)
    offset = len(pairs.source_vocabulary)
    for part in ("weight", "bias"):
        weights[f"dense.{part}"] = weights[f"dense.{part}"][offset:]
    content: dict[str, Any] = live_models.packed(weights)
    if arm == "residual":
        firsts = [int(np.argmax(pairs.locales_test == locale)) for locale in locales(pairs)]
        content["task"] = {
            "source": "".join(pairs.source_vocabulary[4:]),
            "target": "".join(pairs.target_vocabulary[4:]),
            "width": task.start,
            "length": pairs.y_test.shape[1] - 2,
            "heads": live_dates.HEADS,
            "shown": live_dates.SHOWN,
            "block": BLOCK,
            "character": CHARACTER,
            "examples": [
                [str(pairs.locales_test[i]), str(pairs.texts_test[i]), str(pairs.iso_test[i])]
                for i in firsts
            ],
            "scores": dates_scores(),
        }
    return live_models.script(f"dates.{arm}", content)


def locales(pairs: Any) -> list[str]:
    return sorted(set(pairs.locales_test.tolist()))


def dates_run(arm: str) -> dict[str, Any]:
    return results.runs("live_dates", arm=arm, seed=0)[0]


def dates_scores() -> dict[str, int]:
    """Return how many test dates are translated without a fault."""
    found = {}
    for arm, names in (("residual", ("exact", "float")), ("plain", ("plain", "plainFloat"))):
        run = dates_run(arm)
        for name, key in zip(names, ("exact_int8", "exact"), strict=True):
            found[name] = round(run[key] * run["test_pairs"])
    return {**found, "pairs": run["test_pairs"]}


def dates_still() -> str:
    """Return one date, and what a block reads before a character of the answer is written."""
    shown = {arm: results.runs("live_dates", part="shown", arm=arm)[0] for arm in ARMS}
    one = shown["residual"]
    reads = one["reads"][BLOCK - 1][CHARACTER]
    cells = "".join(
        '<span class="dates-cell"><span class="dates-shaft">'
        f'<span class="dates-bar" style="height:{100 * share:.1f}%"></span></span>'
        f'<span class="dates-character">{escape(character)}</span></span>'
        for character, share in zip(one["text"].replace(" ", "␣"), reads, strict=True)
    )
    label = (
        f"Share of attention on each character of {one['text']}, in block {BLOCK}, before "
        f"character {CHARACTER + 1} of the answer is written: "
        + ", ".join(f"{c} {100 * s:.0f} %" for c, s in zip(one["text"], reads, strict=True))
    )
    rows = "\n".join(
        f'<div class="dates-answer live-{arm}"><span class="dates-arm">{name}</span>'
        f'<span class="dates-row">{answer(shown[arm], CHARACTER if arm == "residual" else None)}'
        "</span></div>"
        for arm, name in (("residual", "with shortcuts"), ("plain", "without"))
    )
    named = f'role="img" aria-label="{escape(label)}"'
    return f'<div class="dates-row dates-source" {named}>{cells}</div>\n{rows}'


def answer(shown: dict[str, Any], chosen: int | None) -> str:
    cells = []
    for i, (character, sure) in enumerate(zip(shown["said"], shown["sure"], strict=False)):
        wrong = " dates-wrong" if character != shown["iso"][i : i + 1] else ""
        here = " dates-chosen" if i == chosen else ""
        cells.append(
            f'<span class="dates-cell{wrong}{here}">'
            f'<span class="dates-character">{escape(character)}</span>'
            f'<span class="dates-sure" style="width:{100 * sure:.1f}%"></span></span>'
        )
    return "".join(cells)


def figure(name: str, still: str, scripts: dict[str, str]) -> dict[str, str]:
    """Return the figure's files: its scripts of weights, and markup that says how long they are."""
    attributes = ("data-kib", "data-kib-plain")
    lengths = [round(len(script.encode()) / 1024) for script in scripts.values()]
    sizes = "".join(f' {a}="{n}"' for a, n in zip(attributes, lengths, strict=False))
    return {**scripts, f"{name}/figure.html": FIGURE.format(name=name, sizes=sizes, still=still)}


def lesions_files() -> dict[str, str]:
    return figure("lesions", lesions_still(), {"lesions/weights.js": lesions_weights()})


def dates_files() -> dict[str, str]:
    scripts = {f"dates/{arm}.js": dates_weights(arm) for arm in ARMS}
    return figure("dates", dates_still(), scripts)


#: What makes the files of each figure: paths below ``_static/live``, and the content of each.
FIGURES = {"lesions": lesions_files, "dates": dates_files}


if __name__ == "__main__":
    for files in FIGURES.values():
        for path, content in files().items():
            (LIVE / path).write_text(content, encoding="utf-8")
            print(f"{path}: {len(content.encode()):,} bytes")
