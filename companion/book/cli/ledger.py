"""``ledger``: the claims, their verdicts, the numbers, and where each is measured."""

from __future__ import annotations

import argparse
from typing import Any

from companion.book.claims import WITH_CONDITIONS, Entry, counts, in_article_order
from companion.book.cli.rerun import measured
from companion.cli import parser

DOES = "print every claim of the article with its verdict, or measure one again"
ABOUT = """
Without --run: the id, the verdict, the cell that records it, and the numbers of
the last run of all notebooks. With --run: the notebook is executed up to that
cell, and its numbers go through the claim's rule again. Exit code 0 where the
verdict is the same, 1 where it is another. Needs the packages of that page."""
EXAMPLES = """
examples:
  python -m companion ledger
  python -m companion ledger --run C4
  python -m companion ledger --json
"""


def add(new: parser.Parser) -> None:
    new.add_argument("--run", dest="claim", metavar="CLAIM", help="measure this claim again")
    parser.add_json(new)


def run(options: argparse.Namespace) -> int:
    entries = {entry.claim.id: entry for entry in in_article_order()}
    if options.claim is None:
        facts = [_facts(entry) for entry in entries.values()]
        words = ", ".join(f"{word}: {number}" for word, number in counts().items())
        parser.show(facts, [*_lines(facts), f"{len(facts)} claims; {words}"], options.json)
        return 0
    if options.claim not in entries:
        raise ValueError(f"--run must be one of {', '.join(entries)}, got {options.claim!r}")
    return _again(entries[options.claim], options.json)


def _again(stored: Entry, as_json: bool) -> int:
    """Measure a claim again and show both results."""
    before, after = _facts(stored), _facts(Entry(stored.claim, measured(stored.claim)))
    same = before["verdict"] == after["verdict"]
    wide = max(map(len, stored.numbers))
    lines = [
        f"{before['id']}: {before['statement']} ({before['where']})",
        f"  {'':{wide}}  {'stored':>10}  {'measured':>10}",
        *(f"  {k:{wide}}  {n:>10}  {after['numbers'][k]:>10}" for k, n in stored.numbers.items()),
        f"stored:   {before['verdict']}: {before['reason']}",
        f"measured: {after['verdict']}: {after['reason']}",
        f"the verdict is {'the same' if same else 'ANOTHER'}",
    ]
    result = {name: after[name] for name in ("numbers", "verdict", "reason")}
    parser.show({"stored": before, "measured": result, "same": same}, lines, as_json)
    return 0 if same else 1


def _facts(entry: Entry) -> dict[str, Any]:
    names = ("id", "section", "kind", "statement", "notebook", "test")
    return {
        **{name: getattr(entry.claim, name) for name in names},
        "where": f"{entry.claim.notebook}.ipynb#claim-{entry.claim.id}",
        "numbers": entry.numbers,
        "verdict": entry.verdict.word,
        "reason": entry.verdict.reason,
    }


def _lines(rows: list[dict[str, Any]]) -> list[str]:
    word, where = len(WITH_CONDITIONS), max(len(row["where"]) for row in rows)
    return [
        f"{row['id']:3} {row['verdict']:{word}}  {row['where']:{where}}  {row['reason']}"
        for row in rows
    ]
