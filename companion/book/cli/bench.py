"""``bench``: what the networks cost on this machine."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from companion import _files
from companion.book import bench, results
from companion.cli.parser import Parser

DOES = "time the networks beside plain ones and the machine's limits"
ABOUT = """
Programs are timed in turns with what they are compared with, in CPU seconds of
one thread; a ratio below 1 is faster. The noise is how far a program comes out
from itself. A missed target is a result: the exit code is 0."""
EXAMPLES = """
examples:
  python -m companion bench --list
  python -m companion bench --only torch/skip --rounds 5
  python -m companion bench --out times.json
"""


def add(new: Parser) -> None:
    new.add_argument(
        "--only", nargs="+", default=[], metavar="BEGINNING", help="of the rows' ids, default all"
    )
    new.add_argument("--rounds", type=int, metavar="N", help="of each comparison, at least 3")
    new.add_argument("--out", metavar="FILE", help="where the rows go, as JSON")
    new.add_argument("--list", action="store_true", help="print the ids and measure nothing")


def run(options: argparse.Namespace) -> int:
    if options.out == "":
        raise ValueError("--out must name a file, got an empty name")
    if options.list:
        print("\n".join(bench.ids()))
        return 0
    chosen = bench.select(options.only)
    if options.out:
        _files.check_writable(Path(options.out))  # before the minutes that it takes
    rows = bench.measure(chosen, options.rounds)
    for row in rows:
        print(line(row))
    if options.out:
        results.store(Path(options.out), "python -m companion bench", rows)
    return 0


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    if "best" in row:
        return f"{row['id']:34} {row['best']:8.1f}  {row['statement']}"
    noise = f"noise {row['noise']:.2f}" if "noise" in row else ""
    asked = "" if row["target"] is None else f"at most {row['target']:.2f}"
    missed = "" if row["met"] else "MISSED"
    spread = f"{row['ratio']:.3f} [{row['low']:.3f}, {row['high']:.3f}]"
    return f"{row['id']:34} {spread:24} {noise:10} {asked:12} {missed}".rstrip()
