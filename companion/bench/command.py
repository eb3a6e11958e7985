"""The bench as a command: measures, prints a table, writes a file where one is named."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

from companion.bench.cases import ids, run
from companion.bench.timing import store


def main(arguments: Sequence[str] | None = None, script: str = "companion.bench") -> int:
    """Run the bench as a command line would, and return 0, or 2 where the arguments are bad.

    Parameters
    ----------
    arguments: ``--only BEGINNING ...``, ``--turns N``, ``--out FILE``, ``--list``; default those
        of the process. A missed target is a result and no error.
    script: what the file is said to come from.
    """
    parser = argparse.ArgumentParser(prog="bench", description="Time the networks, in turns.")
    parser.add_argument("--only", nargs="+", default=[], metavar="BEGINNING", help="of row ids")
    parser.add_argument("--turns", type=int, help="of each comparison, at least 3")
    parser.add_argument("--out", metavar="FILE", help="where the rows go, as JSON")
    parser.add_argument("--list", action="store_true", help="print the ids and measure nothing")
    chosen = parser.parse_args(arguments)
    if chosen.list:
        print("\n".join(ids()))
        return 0
    try:
        rows = run(chosen.only, chosen.turns, lambda name: print(f"... {name}", file=sys.stderr))
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for row in rows:
        print(line(row))
    if chosen.out:
        store(chosen.out, rows, script)
    return 0


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    if "best" in row:
        return f"{row['id']:34} {row['best']:8.1f}  {row['says']}"
    noise = f"noise {row['noise']:.2f}" if "noise" in row else ""
    asked = "" if row["target"] is None else f"at most {row['target']:.2f}"
    missed = "" if row["met"] else "MISSED"
    spread = f"{row['ratio']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{row['id']:34} {spread:24} {noise:10} {asked:12} {missed}".rstrip()
