"""How a verdict is written: with a sign that needs no colour, and formulas as formulas."""

from __future__ import annotations

import re

#: The three verdicts.
HOLDS, WITH_CONDITIONS, FAILS = "holds", "holds with conditions", "does not hold"
#: The sign of each; the book colours what stands in bold behind one of them.
SIGNS = {HOLDS: "✓", WITH_CONDITIONS: "◐", FAILS: "✗"}

_POWER = re.compile(r"(?<![\w$^])(\d+|[A-Za-z])\^(-?\d+(?:\.\d+)?|[A-Za-z])(?![\w^])")


def badge(word: str, capital: bool = False) -> str:
    """Return a verdict in Markdown, as **✓ holds**."""
    return f"**{SIGNS[word]} {word.capitalize() if capital else word}**"


def sentence(words: str) -> str:
    """Return words as a sentence: a capital at the start, a full stop at the end."""
    return f"{words[0].upper()}{words[1:]}."


def typeset(text: str) -> str:
    """Return the text in Markdown: powers, as 10^-9.1 and 2^L, become formulas."""
    return _POWER.sub(r"$\1^{\2}$", text)
