"""What a claim is, how numbers give its verdict, and where they are stored."""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from importlib import resources
from typing import Any

from companion import _checks
from companion.book.claims.wording import badge, sentence, typeset

#: Under which key the metadata of a cell's output hold the numbers that it recorded.
KEY = "companion-claim"

Number = float | int
Numbers = dict[str, Number]


@dataclass(frozen=True)
class Verdict:
    """One of the three verdicts, and the reason, which contains the numbers."""

    word: str
    reason: str


@dataclass(frozen=True)
class Claim:
    """A claim of the source article, and the rule that turns numbers into a verdict.

    Attributes
    ----------
    id: as "C4": a letter for the article's section, and a number.
    section: of the article, as "2.3, 3.3".
    kind: ``"measured"``, ``"derived"`` (it follows from definitions or a proof) or ``"cited"`` (a
        look-up).
    statement: the claim in our words, with its own "much", "can" and "may".
    notebook: whose cell, tagged ``claim-`` and the id, settles it.
    test: that guards the evidence, as "tests/library/test_probes.py::test_name".
    rule: takes the numbers by name, returns the verdict. What decides are its ordinary parameters;
        what only accompanies are those that it takes by name alone, behind a ``*``. The rule of a
        derived claim decides nothing: it returns the reason, and all its numbers accompany.
    examples: for every word that the rule can say, numbers that lead to it. None for a derived one.
    word: the verdict of a derived claim; ``None`` for all others.
    """

    id: str
    section: str
    kind: str
    statement: str
    notebook: str
    test: str
    rule: Callable[..., Any]
    examples: Mapping[str, Mapping[str, Number]] = field(default_factory=dict)
    word: str | None = None

    @property
    def deciding(self) -> tuple[str, ...]:
        """The numbers that the verdict depends on, by name; none of a derived claim."""
        if self.word is not None:
            return ()
        parameters = inspect.signature(self.rule).parameters.values()
        return tuple(p.name for p in parameters if p.kind is not p.KEYWORD_ONLY)

    def verdict(self, **numbers: Number) -> Verdict:
        """Return the verdict that the numbers lead to.

        Raises
        ------
        ValueError: other names than the rule's, or a number that is not finite.
        """
        names = set(inspect.signature(self.rule).parameters)
        if set(numbers) != names:
            raise ValueError(f"{self.id} needs the numbers {sorted(names)}, got {sorted(numbers)}")
        for name, value in numbers.items():
            _checks.finite_number(name, value)
        found = self.rule(**numbers)
        return found if self.word is None else Verdict(self.word, found)


#: Every claim by its id.
CLAIMS: dict[str, Claim] = {}


def claim(id: str, **facts: Any) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated rule as that of a claim; ``facts`` are :class:`Claim`'s fields."""

    def register(rule: Callable[..., Any]) -> Callable[..., Any]:
        CLAIMS[id] = Claim(id=id, rule=rule, **facts)
        return rule

    return register


def rounded(value: Number, digits: int) -> Number:
    """Return a count as it is, and a measurement rounded to so many significant digits."""
    if isinstance(value, int):
        return value
    return float(f"{float(value):.{digits}g}")


@dataclass(frozen=True)
class Entry:
    """The numbers recorded for a claim, as they are printed, and the verdict that follows."""

    claim: Claim
    numbers: Numbers

    @property
    def verdict(self) -> Verdict:
        """Recomputed from the numbers at every call."""
        return self.claim.verdict(**self.numbers)


_RECORDED: dict[str, Entry] = {}


def record(id: str, *, digits: int = 2, **numbers: Number) -> None:
    """Show the verdict on a claim that these numbers lead to, and keep it for :func:`table`.

    Parameters
    ----------
    id: of the claim.
    digits: significant ones, to which measurements are rounded before the rule sees them, default
        2; counts are not. One is enough for what depends on training.
    numbers: what was measured, under the names of the claim's rule.

    Raises
    ------
    ValueError: an unknown claim, other names than the rule's, or a number that is not finite.
    """
    found = _known(id)
    bad = [name for name, value in numbers.items() if not math.isfinite(value)]
    if bad:
        raise ValueError(f"{bad[0]} must be finite, got {numbers[bad[0]]!r}")
    digits = _checks.positive_int("digits", digits)
    entry = Entry(found, {name: rounded(value, digits) for name, value in numbers.items()})
    bundle = shown(entry)
    _RECORDED[id] = entry
    from IPython.display import display  # a notebook has it

    display(bundle, metadata={KEY: {"id": id, "numbers": entry.numbers}}, raw=True)


def shown(entry: Entry) -> dict[str, str]:
    """Return a verdict as the cell that settles it shows it."""
    claim, verdict = entry.claim, entry.verdict
    statement = typeset(sentence(claim.statement))
    return {
        "text/markdown": f"> **Claim {claim.id}.** *{statement}* {badge(verdict.word, True)}: "
        f"{typeset(verdict.reason)}.{_about(verdict.reason)}",
        "text/plain": f"Claim {claim.id} {verdict.word}: {verdict.reason}.",
    }


def _about(reason: str) -> str:
    """Say what ± means, where there is one: tables of pages have spreads and standard errors."""
    return " (± is the margin of error, 95 %.)" if "±" in reason else ""


def table(*ids: str) -> None:
    """Show claims that this notebook has recorded, one in a row, each with a link to its cell.

    Raises
    ------
    ValueError: an unknown claim, or one that no cell has recorded yet.
    """
    missing = [id for id in ids if _known(id).id not in _RECORDED]
    if missing:
        raise ValueError(f"ids must be recorded in a cell before, got {', '.join(missing)}")
    from IPython.display import display

    display(tabled([_RECORDED[id] for id in ids]), raw=True)


def tabled(entries: Iterable[Entry]) -> dict[str, str]:
    """Return verdicts as the table at the end of a page."""
    rows, plain = ["| claim | what the article says | verdict |", "|---|---|---|"], []
    for entry in entries:
        id, verdict = entry.claim.id, entry.verdict
        reason = f"{badge(verdict.word)}: {typeset(verdict.reason)}{_about(verdict.reason)}"
        link = f'<a href="#claim-{id}">{id}</a>'
        rows.append(f"| {link} | {typeset(entry.claim.statement)} | {reason} |")
        plain.append(f"{id}: {verdict.word}")
    return {"text/markdown": "\n".join(rows), "text/plain": "\n".join(plain)}


def ledger() -> dict[str, Entry]:
    """Return every claim that the notebooks have recorded, by id, with the stored numbers."""
    stored = resources.files(__package__).joinpath("measured.json").read_text("utf-8")
    return {id: Entry(CLAIMS[id], numbers) for id, numbers in json.loads(stored).items()}


def _known(id: str) -> Claim:
    if id not in CLAIMS:
        raise ValueError(f"id must be one of {', '.join(sorted(CLAIMS))}, got {id!r}")
    return CLAIMS[id]
