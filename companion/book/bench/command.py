"""The bench as a command: measures, prints a table, writes a file where one is named."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from companion import _files
from companion.book.bench.comparisons import ids, run
from companion.book.bench.timing import store


def add_options(parser: argparse.ArgumentParser) -> None:
    """Give the parser of a command line the options that :func:`report` reads."""
    parser.add_argument(
        "--only", nargs="+", default=[], metavar="BEGINNING", help="of the rows' ids, default all"
    )
    parser.add_argument("--rounds", type=int, metavar="N", help="of each comparison, at least 3")
    parser.add_argument("--out", metavar="FILE", help="where the rows go, as JSON")
    parser.add_argument("--list", action="store_true", help="print the ids and measure nothing")


def report(options: argparse.Namespace, script: str) -> None:
    """Measure and print what the options ask for, and store it where they name a file.

    Parameters
    ----------
    script: what the file is said to come from.

    Raises
    ------
    ValueError: turns below 3, or a beginning that no row has; nothing has been measured then.
    OSError: the file cannot be written; nothing has been measured, unless it could be before.
    RuntimeError: a measurement in a process of its own failed.
    ImportError: no framework is installed, or one that is named is not.
    """
    if options.out == "":
        raise ValueError("--out must name a file, got an empty name")
    if options.list:
        print("\n".join(ids()))
        return

    def check() -> None:
        if options.out:
            _files.check_writable(Path(options.out))

    def tell(name: str) -> None:
        print(f"... {name}", file=sys.stderr)

    rows = run(options.only, options.rounds, tell, check)
    for row in rows:
        print(line(row))
    if options.out:
        store(options.out, rows, script)


def main(arguments: Sequence[str] | None = None, script: str = "companion.book.bench") -> int:
    """Run the bench as a command line would, and return 0, or 2 where the arguments are bad.

    Parameters
    ----------
    arguments: ``--only BEGINNING ...``, ``--rounds N``, ``--out FILE``, ``--list``; default those
        of the process. A missed target is a result and no error.
    script: what the file is said to come from.
    """
    parser = argparse.ArgumentParser(prog="bench", description="Time the networks, in turns.")
    add_options(parser)
    try:
        report(parser.parse_args(arguments), script)
    except (ValueError, OSError, RuntimeError, ImportError) as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
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
