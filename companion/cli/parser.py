"""What the commands have in common: a parser that says in one line what is wrong, and JSON."""

from __future__ import annotations

import argparse
import json
from typing import Any, NoReturn


class Parser(argparse.ArgumentParser):
    """Keeps the lines of its texts, takes options in full alone, and complains in one line."""

    def __init__(self, **options: Any) -> None:
        formatter = argparse.RawDescriptionHelpFormatter
        super().__init__(formatter_class=formatter, allow_abbrev=False, **options)

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"companion: {message}; see {self.prog} --help\n")


def add_json(parser: Parser) -> None:
    parser.add_argument("--json", action="store_true", help="print JSON, for programs")


def show(facts: Any, lines: list[str], as_json: bool) -> None:
    """Print the facts for programs, or the lines for people."""
    print(json.dumps(facts, indent=1) if as_json else "\n".join(lines))
