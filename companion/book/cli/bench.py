"""``bench``: what the networks cost on this machine."""

from __future__ import annotations

import argparse

from companion.book.bench import command
from companion.cli import parser
from companion.cli.parser import Commands

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


def add(commands: Commands) -> None:
    does = "time the networks beside plain ones and the machine's limits"
    new = parser.command(commands, "bench", does, ABOUT, epilog=EXAMPLES)
    command.add_options(new)
    new.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    command.report(options, script="python -m companion bench")
    return 0
