"""How the book and each of its pages are cited: from CITATION.cff, as reference managers do."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import yaml

FILE = Path(__file__).resolve().parents[2] / "CITATION.cff"
#: Of text and figures; the code is under the licence that CITATION.cff names.
TEXT_LICENCE = "https://creativecommons.org/licenses/by/4.0/"
ESCAPED = {c: "\\" + c for c in "&%$#_{}"} | {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}"}


@dataclass(frozen=True)
class Book:
    """What a reference to the book has to say."""

    title: str
    author: str
    version: str
    released: str

    @property
    def year(self) -> str:
        """Return the year of this version."""
        return self.released[:4]

    @property
    def short_title(self) -> str:
        """Return the title without what stands behind its colon."""
        return re.split("[:：]", self.title, maxsplit=1)[0].strip()


def book() -> Book:
    """Return what CITATION.cff says."""
    told = yaml.safe_load(FILE.read_text("utf-8"))
    author = " and ".join(entry["name"] for entry in told["authors"])
    return Book(told["title"], author, str(told["version"]), str(told["date-released"]))


def escaped(text: str) -> str:
    """Return text that LaTeX sets as it stands."""
    return "".join(ESCAPED.get(c, c) for c in text)


def bibtex(cited: Book, page: str = "", title: str = "", address: str = "") -> str:
    """Return the entry for a page, or for the whole book.

    Parameters
    ----------
    cited: the book.
    page: the name of the page's document, ``book/02_idea``, of which the key is made.
    title: of the page.
    address: where the page is published; left out where no one knows it.
    """
    base = "residual_connections"
    key = f"{base}_{re.sub(r'[^a-z0-9]+', '_', page.removeprefix('book/').lower())}"
    fields = {"author": "{{" + escaped(cited.author) + "}}"}
    fields |= {"title": "{{" + escaped(title or cited.title) + "}}"}
    fields |= {"booktitle": "{{" + escaped(cited.title) + "}}"} if title else {}
    fields |= {"year": "{" + cited.year + "}", "version": "{" + cited.version + "}"}
    fields |= {"url": "{" + address + "}"} if address else {}
    lines = ",\n".join(f"  {name:<9} = {value}" for name, value in fields.items())
    kind = ("incollection", key) if title else ("book", base)
    return f"@{kind[0]}{{{kind[1]},\n{lines}\n}}"


def sentence(cited: Book, title: str = "", address: str = "") -> str:
    """Return a reference in words: author (year), page, book, version, address."""
    parts = [f"{cited.author} ({cited.year})", title, cited.title, f"v{cited.version}", address]
    return ". ".join(part for part in parts if part) + ("" if address else ".")
