"""The command line: networks trained, evaluated and looked at.

A command is a module: ``DOES`` is its line in the list of commands, ``ABOUT`` what its own help
says beyond that, ``EXAMPLES`` how that ends; ``add`` gives a parser its options, ``run`` runs it
and returns the exit code. What cannot be done is said in one line on stderr, with exit code 2. A
framework is imported when a command first needs it.
"""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import Any

from companion.cli import evaluate, info, predict, train
from companion.cli.parser import Parser

EXPECTED = (ValueError, OSError, ImportError, RuntimeError, ArithmeticError, MemoryError)
COMMANDS = (train, evaluate, predict, info)

ABOUT = """Residual networks to train and to look at, and the book's ledger of measured
claims."""
EXAMPLES = """
examples:
  python -m companion ledger                        every claim and its verdict
  python -m companion ledger --run C4               one of them measured again
  python -m companion train --out runs/a            train a network on digits
  python -m companion train --out runs/b --no-residual    and its control
  python -m companion train --resume runs/b         after an interruption
  python -m companion evaluate runs/a               how it does on new images
  python -m companion predict runs/a --index 0      what it makes of the first
  python -m companion info resnet50                 its layers, what they cost
  python -m companion bench --only torch/skip       what the shortcut costs here

Each command explains itself: python -m companion train --help
"""


def main(arguments: Sequence[str] | None = None, commands: Sequence[Any] = COMMANDS) -> int:
    """Run one command and return its exit code: 0, or 2 where it cannot be done.

    A claim that is measured again and gets another verdict is 1, an interruption 130.
    """
    given = sys.argv[1:] if arguments is None else list(arguments)
    options = _parser(commands).parse_args(given or ["--help"])
    # TensorFlow's greetings would bury the one line that counts.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    try:
        with _in_any_encoding():
            code: int = options.run(options)
            sys.stdout.flush()
        return code
    except BrokenPipeError:  # as in `python -m companion ledger | head`
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except KeyboardInterrupt:
        print("companion: interrupted", file=sys.stderr)
        return 130
    except Exception as error:
        # TensorFlow's errors, as of a machine without enough memory, share no base with others.
        if not (isinstance(error, EXPECTED) or type(error).__module__.startswith("tensorflow.")):
            raise
        print(f"companion: {_in_one_line(error)}", file=sys.stderr)
        return 2


@contextlib.contextmanager
def _in_any_encoding() -> Iterator[None]:
    """Print a character that stdout's encoding lacks, as ASCII lacks é, as an escape.

    A folder's name would else end a command that has done its work.
    """
    stream: Any = sys.stdout
    if not hasattr(stream, "reconfigure"):  # somebody else's stream, as in a notebook
        yield
        return
    before = stream.errors
    stream.reconfigure(errors="backslashreplace")
    try:
        yield
    finally:
        stream.reconfigure(errors=before)


def _parser(commands: Sequence[Any]) -> Parser:
    parser = Parser(prog="python -m companion", description=ABOUT, epilog=EXAMPLES)
    found = parser.add_subparsers(metavar="command", required=True)
    for command in commands:
        new = found.add_parser(
            command.__name__.rpartition(".")[2],
            help=command.DOES,
            description=f"{command.DOES[0].upper()}{command.DOES[1:]}.\n{command.ABOUT}",
            epilog=command.EXAMPLES,
        )
        command.add(new)
        new.set_defaults(run=command.run)
    return parser


def _in_one_line(error: Exception) -> str:
    """Return what an error says, without a number that only the system knows."""
    if isinstance(error, OSError) and error.strerror:
        file = f"{error.filename}: " if error.filename else ""
        return f"{file}{error.strerror}"
    return " ".join(str(error).split()) or type(error).__name__
