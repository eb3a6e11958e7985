"""``bench``: what the networks cost on this machine."""

from __future__ import annotations

import argparse

from companion.cli import parser
from companion.cli.parser import Commands

ABOUT = """
Programs are timed in turns with what they are compared with, in CPU seconds of
one thread; a ratio below 1 is faster. The noise is how far a program comes out
from itself. A missed target is a result: the exit code is 0."""

EXAMPLES = """
examples:
  python -m companion bench --list
  python -m companion bench --only torch/skip --turns 5
  python -m companion bench --out times.json
"""


def add(commands: Commands) -> None:
    does = "time the networks beside plain ones and the machine's limits"
    new = parser.command(commands, "bench", does, ABOUT, epilog=EXAMPLES)
    new.add_argument(
        "--only", nargs="+", default=[], metavar="BEGINNING", help="of the rows' ids, default all"
    )
    new.add_argument("--turns", type=int, metavar="N", help="of each comparison, at least 3")
    new.add_argument("--out", metavar="FILE", help="where the rows go, as JSON")
    new.add_argument("--list", action="store_true", help="print the ids and measure nothing")
    new.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    from companion import bench

    words = ["--list"] if options.list else []
    for name in ("turns", "out"):
        value = getattr(options, name)
        if value is not None:
            words += [f"--{name}={value}"]
    if options.only:
        words += ["--only", *options.only]
    return bench.main(words, script="python -m companion bench")
