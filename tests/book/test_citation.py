"""References to the book and to its pages, read as a reference manager reads them."""

from __future__ import annotations

import citation
import pytest
from citation import Book, bibtex, sentence
from pybtex.database import parse_string

BOOK = Book("Sums: All & Every", "The 3 % authors", "1.2.0", "2026-11-26")


def test_the_book_is_the_one_of_the_citation_file():
    text = citation.FILE.read_text("utf-8")
    told = citation.book()
    for value in (told.title, told.author, told.version, told.released):
        assert value in text
    assert told.year == told.released[:4] and ":" not in told.short_title


def test_a_page_is_cited_as_a_part_of_the_book():
    text = bibtex(BOOK, "book/04_scale", "Scale: a_1 & more", "https://example.org/x.html")
    entries = parse_string(text, "bibtex").entries
    (key,) = entries
    fields = entries[key].fields
    assert key == "residual_connections_04_scale" and entries[key].type == "incollection"
    assert fields["title"] == r"{Scale: a\_1 \& more}"
    assert fields["booktitle"] == r"{Sums: All \& Every}"
    assert (fields["year"], fields["version"]) == ("2026", "1.2.0")
    assert fields["url"] == "https://example.org/x.html"


def test_the_whole_book_is_cited_as_a_book():
    entries = parse_string(bibtex(BOOK), "bibtex").entries
    assert list(entries) == ["residual_connections"]
    entry = entries["residual_connections"]
    assert entry.type == "book" and {"booktitle", "url"}.isdisjoint(entry.fields)


@pytest.mark.parametrize("address", ["", "https://example.org/x.html"])
def test_a_sentence_has_an_address_only_where_one_is_known(address):
    found = sentence(BOOK, "Scale", address)
    assert found.startswith("The 3 % authors (2026). Scale. Sums: All & Every. v1.2.0.")
    assert found.endswith(address or ".") and ("http" in found) == bool(address)
