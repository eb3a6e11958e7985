"""The ledger: what the source article claims, what was measured, and the verdict that follows.

A chapter measures numbers in a cell and settles a claim with them::

    claims.settle("C4", growth=growth_per_block)

The verdict is computed from the numbers by the claim's rule, never typed. The numbers of the last
run of all notebooks are stored beside the rules, so that :func:`ledger` needs no notebook.
"""

from companion.claims import rules  # noqa: F401 - importing them registers the claims
from companion.claims.settling import (
    CLAIMS,
    FAILS,
    HOLDS,
    WITH_CONDITIONS,
    Claim,
    Entry,
    Verdict,
    ledger,
    settle,
    table,
)
from companion.claims.showing import counts, in_order, overview

__all__ = [
    "CLAIMS",
    "FAILS",
    "HOLDS",
    "WITH_CONDITIONS",
    "Claim",
    "Entry",
    "Verdict",
    "counts",
    "in_order",
    "ledger",
    "overview",
    "settle",
    "table",
]
