"""What the machine can do at most, and how near a network comes."""

from __future__ import annotations

from statistics import median
from typing import Any

from companion import _checks
from companion.book.bench.timing import Program, compared, seconds_of


def rate(name: str, statement: str, call: Program, work: float, rounds: int = 15) -> dict[str, Any]:
    """Return the row of a limit: work a second, in units of 10^9.

    Parameters
    ----------
    name, statement: of the row. call: does ``work`` operations, or moves as many bytes.

    Returns
    -------
    ``best`` is the limit, since nothing makes a processor faster than it is; ``median`` and
    ``worst`` tell how busy the machine was.
    """
    rounds = _checks.positive_int("rounds", rounds, minimum=3)
    call()
    rates = sorted(work / seconds_of(call) / 1e9 for _ in range(rounds))
    best, middle, worst = rates[-1], median(rates), rates[0]
    row = {"id": name, "statement": statement, "rounds": rounds}
    return {**row, "best": best, "median": middle, "worst": worst}


def add_roofline(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the rows, where multiply-adds or bytes were counted with what the limits say of them.

    ``fraction``, ``base_fraction``: of the peak of matrix products that program and base reach, a
    multiply-add counted as two operations. A program that does those multiply-adds no faster than
    the best product measured has no ratio below ``base_fraction``. ``estimate``: the ratio that
    would come out if moving ``bytes`` through memory were all that it does beyond its base.
    """
    limits = {row["id"]: row["best"] * 1e9 for row in rows if row["id"].startswith("limit/")}
    peak, bandwidth = limits.get("limit/sgemm"), limits.get("limit/triad")
    result = []
    for row in rows:
        row = dict(row)
        if peak and "multiply_adds" in row:
            work = 2 * row["multiply_adds"] / peak
            row["fraction"] = work / row["seconds"]
            row["base_fraction"] = work / row["base_seconds"]
        if bandwidth and "bytes" in row:
            row["estimate"] = 1 + row["bytes"] / bandwidth / row["base_seconds"]
        result.append(row)
    return result


def by_depth(name: str, seconds: list[list[float]], blocks: list[int]) -> dict[str, Any]:
    """Return the row that compares the time per block of deep networks with that of shallow ones.

    Parameters
    ----------
    seconds: four lists, of the same turns, of networks with ``blocks`` blocks.

    Returns
    -------
    ``ratio``: median over the turns of the slope between the two deep ones over that between the
    two shallow ones; ``low``, ``high``: its quartiles.
    """
    steps = blocks[1] - blocks[0], blocks[3] - blocks[2]
    shallow = [(b - a) / steps[0] for a, b in zip(seconds[0], seconds[1], strict=True)]
    deep = [(b - a) / steps[1] for a, b in zip(seconds[2], seconds[3], strict=True)]
    row = {"id": name, "rounds": len(deep), "blocks": blocks, **compared(deep, shallow)}
    return {**row, "seconds": median(deep), "base_seconds": median(shallow)}
