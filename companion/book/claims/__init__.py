"""The ledger: what the source article claims, what was measured, and the verdict that follows.

A chapter measures numbers in a cell and records them for a claim::

    claims.record("C4", growth=growth_per_block)

The verdict is computed from the numbers by the claim's rule, never typed. The numbers of the last
run of all notebooks are stored beside the rules, so that :func:`ledger` needs no notebook.
"""

from companion.book.claims import rules  # noqa: F401 - importing them registers the claims
from companion.book.claims.core import (
    CLAIMS,
    Claim,
    Entry,
    Verdict,
    ledger,
    record,
    table,
)
from companion.book.claims.display import counts, in_article_order, show_ledger, show_verdicts
from companion.book.claims.wording import FAILS, HOLDS, SIGNS, WITH_CONDITIONS, badge

__all__ = [
    "CLAIMS",
    "FAILS",
    "HOLDS",
    "SIGNS",
    "WITH_CONDITIONS",
    "Claim",
    "Entry",
    "Verdict",
    "badge",
    "counts",
    "in_article_order",
    "ledger",
    "record",
    "show_ledger",
    "show_verdicts",
    "table",
]
