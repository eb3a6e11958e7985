"""``ledger``: the claims, their verdicts, the numbers, and where each is measured."""

from __future__ import annotations

import argparse
from typing import Any

from companion.book.claims import WITH_CONDITIONS, Entry, counts, in_article_order, ledger
from companion.book.cli.rerun import measured
from companion.cli import parser
from companion.cli.parser import Commands

ABOUT = """
Without --run: the id, the verdict, the cell that records it, and the numbers of
the last run of all notebooks. With --run: the notebook is executed up to that
cell, and its numbers go through the claim's rule again. Exit code 0 where the
verdict is the same, 1 where it is another. Needs a checkout of the book."""

EXAMPLES = """
examples:
  python -m companion ledger
  python -m companion ledger --run C4
  python -m companion ledger --json
"""


def add(commands: Commands) -> None:
    does = "print every claim of the article with its verdict, or measure one again"
    new = parser.command(commands, "ledger", does, ABOUT, epilog=EXAMPLES)
    new.add_argument("--run", dest="claim", metavar="CLAIM", help="measure this claim again")
    parser.add_json(new)
    new.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    if options.claim is None:
        ordered = in_article_order()
        parser.show([_facts(e) for e in ordered], _lines(ordered), options.json)
        return 0
    entries = ledger()
    if options.claim not in entries:
        known = ", ".join(entry.claim.id for entry in in_article_order())
        raise ValueError(f"--run must be one of {known}, got {options.claim!r}")
    stored = entries[options.claim]
    again = Entry(stored.claim, measured(stored.claim))
    same = stored.verdict.word == again.verdict.word
    facts = {
        "stored": _facts(stored),
        "measured": {"numbers": again.numbers, **_verdict(again)},
        "same": same,
    }
    lines = [
        f"{options.claim}: {stored.claim.statement} ({_where(stored)})",
        *_beside(stored.numbers, again.numbers),
        f"stored:   {stored.verdict.word}: {stored.verdict.reason}",
        f"measured: {again.verdict.word}: {again.verdict.reason}",
        f"the verdict is {'the same' if same else 'ANOTHER'}",
    ]
    parser.show(facts, lines, options.json)
    return 0 if same else 1


def _lines(entries: list[Entry]) -> list[str]:
    """Return a line for each claim, and how many have each verdict."""
    where = max(len(_where(entry)) for entry in entries)
    lines = [
        f"{e.claim.id:3} {e.verdict.word:{len(WITH_CONDITIONS)}}  {_where(e):{where}}  "
        f"{e.verdict.reason}"
        for e in entries
    ]
    words = ", ".join(f"{word}: {number}" for word, number in counts().items())
    return [*lines, f"{len(entries)} claims; {words}"]


def _beside(stored: dict[str, Any], again: dict[str, Any]) -> list[str]:
    wide = max(map(len, stored))
    head = f"  {'':{wide}}  {'stored':>10}  {'measured':>10}"
    return [head, *(f"  {k:{wide}}  {stored[k]:>10}  {again[k]:>10}" for k in stored)]


def _facts(entry: Entry) -> dict[str, Any]:
    claim = entry.claim
    names = ("id", "section", "kind", "statement", "notebook", "test")
    facts = {name: getattr(claim, name) for name in names}
    return {**facts, "where": _where(entry), "numbers": entry.numbers, **_verdict(entry)}


def _verdict(entry: Entry) -> dict[str, str]:
    return {"verdict": entry.verdict.word, "reason": entry.verdict.reason}


def _where(entry: Entry) -> str:
    return f"{entry.claim.notebook}.ipynb#claim-{entry.claim.id}"
