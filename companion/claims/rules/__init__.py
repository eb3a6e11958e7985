"""The article's claims, section by section, each with the rule that turns numbers into a verdict.

Bounds stand where a measurement could be taken either way: what would count, said beforehand.
"""

from companion.claims.rules import (
    algorithm,
    background,
    concept,
    language,
    mathematics,
    program,
)

__all__ = ["algorithm", "background", "concept", "language", "mathematics", "program"]
