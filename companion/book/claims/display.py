"""The ledger as a page: every claim, its verdict, the number, and where it was measured."""

from __future__ import annotations

from companion.book.claims.core import Entry, ledger
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS, badge, sentence, typeset

#: The letters of the claims' ids, in the article's order.
SECTIONS = {
    "B": "Background",
    "C": "Concept",
    "A": "Algorithm",
    "M": "Mathematics",
    "P": "Program",
    "U": "Applications",
    "O": "Resources and outlook",
    "Q": "Questions",
    "R": "References",
}


def in_article_order() -> list[Entry]:
    """Return the recorded claims in the order of the article's sections."""
    letters = list(SECTIONS)
    entries = ledger().values()
    return sorted(entries, key=lambda e: (letters.index(e.claim.id[0]), int(e.claim.id[1:])))


def counts() -> dict[str, int]:
    """Return how many claims have each of the three verdicts."""
    words = [entry.verdict.word for entry in ledger().values()]
    return {word: words.count(word) for word in (HOLDS, WITH_CONDITIONS, FAILS)}


def show_ledger() -> None:
    """Show every recorded claim under its section, each with a link to the cell that settles it."""
    from IPython.display import display  # a notebook has it

    parts: list[str] = []
    for letter, title in SECTIONS.items():
        entries = [entry for entry in in_article_order() if entry.claim.id[0] == letter]
        if entries:
            parts += [f"### {title}", *map(_entry, entries)]
    plain = "\n".join(f"{entry.claim.id}: {entry.verdict.word}" for entry in in_article_order())
    display({"text/markdown": "\n\n".join(parts), "text/plain": plain}, raw=True)


def show_verdicts(*ids: str) -> None:
    """Show some verdicts, each with a link to the cell that settles it.

    Raises
    ------
    ValueError: an id that no recorded claim has.
    """
    from IPython.display import display  # a notebook has it

    entries = ledger()
    if unknown := [i for i in ids if i not in entries]:
        raise ValueError(f"ids: no claim {', '.join(map(repr, unknown))}; {len(entries)} are known")
    shown = [entries[i] for i in ids]
    boxes = [
        f"> {badge(e.verdict.word, capital=True)} {typeset(sentence(e.claim.statement))}\n>\n"
        f'> <a href="{e.claim.notebook}.html#claim-{e.claim.id}">Where it was measured</a>'
        for e in shown
    ]
    plain = "\n".join(f"{e.claim.id}: {e.verdict.word}" for e in shown)
    display({"text/markdown": "\n\n<!-- -->\n\n".join(boxes), "text/plain": plain}, raw=True)


def _entry(entry: Entry) -> str:
    claim, verdict = entry.claim, entry.verdict
    statement = typeset(sentence(claim.statement))
    reason = typeset(sentence(verdict.reason))
    cell = f'<a href="{claim.notebook}.html#claim-{claim.id}">{claim.notebook}</a>'
    return (
        f"**{claim.id}** {badge(verdict.word)} *{statement}* (article: {claim.section}) "
        f"{reason} "
        f"{_decided(entry)} Settled ({claim.kind}) in {cell}, guarded by `{claim.test}`."
    )


def _decided(entry: Entry) -> str:
    """Say which of the numbers the verdict depends on; those stand in bold."""
    deciding = entry.claim.deciding
    decide = [f"**{_named(name, entry.numbers[name])}**" for name in deciding]
    beside = [_named(n, value) for n, value in entry.numbers.items() if n not in deciding]
    if not decide:
        said = "Derived: no number decides it"
        return f"{said}; checked with it: {', '.join(beside)}." if beside else f"{said}."
    also = f"; beside it: {', '.join(beside)}" if beside else ""
    return f"Decided by {', '.join(decide)}{also}."


def _named(name: str, value: float) -> str:
    return f"{name.replace('_', ' ')} {value:g}"
