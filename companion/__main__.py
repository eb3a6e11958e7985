"""``python -m companion``: the library's commands, and the book's beside them."""

from __future__ import annotations

import sys
from collections.abc import Sequence

from companion import cli
from companion.book import cli as book

COMMANDS = (*cli.COMMANDS, *book.COMMANDS)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code, see :func:`companion.cli.main`."""
    return cli.main(arguments, COMMANDS)


if __name__ == "__main__":
    sys.exit(main())
