"""Options that several commands share, and a parser that says in one line what is wrong."""

from __future__ import annotations

import argparse
import json
from typing import Any, NoReturn

from companion.cli.settings import DATA, FRAMEWORKS

Commands = Any  # argparse has no public name for what add_subparsers returns


class Parser(argparse.ArgumentParser):
    """Keeps the lines of its texts, takes options in full alone, and complains in one line."""

    def __init__(self, **options: Any) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=formatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"companion: {message}; see {self.prog} --help\n")


def command(commands: Commands, name: str, does: str, about: str, **options: Any) -> Parser:
    """Return the parser of a new command.

    Parameters
    ----------
    does: a line for the list of commands. about: what its own help says beyond that.
    options: of argparse, such as ``epilog``.
    """
    described = f"{does[0].upper()}{does[1:]}.\n{about}"
    return commands.add_parser(name, help=does, description=described, **options)


def add_framework(parser: Any, text: str) -> None:
    parser.add_argument("--framework", choices=FRAMEWORKS, help=text)


def add_design(parser: Any) -> None:
    """Add which network; what is not given is absent from the options."""
    parser.add_argument("--depth", metavar="N", type=int, help="layers, where there is a choice")
    parser.add_argument("--width", metavar="N", type=int, help="channels of the first stage")
    parser.add_argument(
        "--residual",
        action=argparse.BooleanOptionalAction,
        help="with shortcuts (default) or without: the control",
    )
    parser.add_argument(
        "--block", metavar="MODULE:CLASS", help="a block of your own in the place of its blocks"
    )
    sizes = "mnist (5,000 of 28 x 28) or digits8 (1,797 of 8 x 8)"
    parser.add_argument("--data", metavar="NAME", choices=DATA, help=sizes)


def add_json(parser: Any) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def show(facts: Any, lines: list[str], as_json: bool) -> None:
    """Print the facts for programs, or the lines for people."""
    print(json.dumps(facts, indent=1) if as_json else "\n".join(lines))
