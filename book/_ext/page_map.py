"""Which page needs which, and where one goes on: the file ``book/map.toml``."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from pathlib import Path

MAP = Path(__file__).resolve().parents[1] / "map.toml"
FOLDER = "book/"


@dataclass(frozen=True)
class Place:
    """The pages that lead to a page, and those to go on with; names of documents."""

    needs: tuple[str, ...]
    next: tuple[str, ...]


def page_map(text: str | None = None) -> dict[str, Place]:
    """Return the place of every chapter's page, by the name of its document.

    Parameters
    ----------
    text: in the place of the file.

    Raises
    ------
    ValueError: an entry lacks a key or has one more, names a page that has no entry, or one twice.
    """
    entries = tomllib.loads(MAP.read_text("utf-8") if text is None else text)
    for name, entry in entries.items():
        if set(entry) != {"needs", "next"}:
            raise ValueError(f"map.toml: {name} must have needs and next, got {sorted(entry)}")
        named = [*entry["needs"], *entry["next"]]
        if unknown := sorted(set(named) - set(entries)):
            raise ValueError(f"map.toml: {name} names {unknown}, which have no entry")
        if len(named) != len(set(named)):
            raise ValueError(f"map.toml: {name} names a page twice")
    return {
        FOLDER + name: Place(
            tuple(FOLDER + other for other in entry["needs"]),
            tuple(FOLDER + other for other in entry["next"]),
        )
        for name, entry in entries.items()
    }
