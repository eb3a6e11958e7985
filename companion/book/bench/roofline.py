"""How near a network comes to what the machine can do at most."""

from __future__ import annotations

from companion.book.bench.timing import Row


def add_roofline(rows: list[Row]) -> list[Row]:
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
        told = {}
        if peak and "multiply_adds" in row:
            work = 2 * row["multiply_adds"] / peak
            told = {
                "fraction": work / row["seconds"],
                "base_fraction": work / row["base_seconds"],
            }
        if bandwidth and "bytes" in row:
            told["estimate"] = 1 + row["bytes"] / bandwidth / row["base_seconds"]
        result.append({**row, **told})
    return result
