"""The article's section 7 and its references: look-ups."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS


@claim(
    "O1",
    section="7",
    kind="cited",
    statement="the book Deep Learning (Goodfellow, Bengio, Courville) explains residual "
    "connections in detail",
    notebook="07_tools",
    test="tests/book/test_resources.py::test_what_the_book_has_is_in_its_entry",
    examples={
        HOLDS: {"sections_on_residual_networks": 1, "sections_on_skip_connections": 3},
        FAILS: {"sections_on_residual_networks": 0, "sections_on_skip_connections": 3},
    },
)
def the_book(sections_on_residual_networks: int, *, sections_on_skip_connections: int) -> Verdict:
    if sections_on_residual_networks > 0:
        return Verdict(HOLDS, f"it has {sections_on_residual_networks} section or more on them")
    return Verdict(
        FAILS,
        "it has no section on residual networks; it speaks of skip connections in "
        f"{sections_on_skip_connections} places, briefly, and in one of them they run through time",
    )


@claim(
    "R1",
    section="reference 3",
    kind="cited",
    statement="DnCNN is at pages 3146-3157 of the IEEE Transactions on Image Processing 26(7)",
    notebook="07_tools",
    test="tests/book/test_resources.py::test_the_corrected_references_are_the_bibliographys",
    examples={
        HOLDS: {"first_page": 3146, "last_page": 3157, "volume": 26, "number": 7},
        FAILS: {"first_page": 3142, "last_page": 3155, "volume": 26, "number": 7},
    },
)
def dncnn(first_page: int, last_page: int, volume: int, number: int) -> Verdict:
    if (first_page, last_page, volume, number) == (3146, 3157, 26, 7):
        return Verdict(HOLDS, "as the article gives it")
    return Verdict(FAILS, f"it is at pages {first_page}-{last_page} of {volume}({number})")


@claim(
    "R2",
    section="reference 5",
    kind="cited",
    statement="Squeeze-and-Excitation Networks is by Huang, Liu, Maaten, Weinberger "
    "and Freeman, 2019",
    notebook="07_tools",
    test="tests/book/test_resources.py::test_the_corrected_references_are_the_bibliographys",
    examples={
        HOLDS: {
            "authors": 5,
            "authors_that_the_article_names": 5,
            "year": 2019,
            "first_page": 7132,
            "last_page": 7141,
        },
        FAILS: {
            "authors": 3,
            "authors_that_the_article_names": 0,
            "year": 2018,
            "first_page": 7132,
            "last_page": 7141,
        },
    },
)
def squeeze(
    authors: int, authors_that_the_article_names: int, year: int, *, first_page: int, last_page: int
) -> Verdict:
    if authors == authors_that_the_article_names and year == 2019:
        return Verdict(HOLDS, "as the article gives it")
    named = authors_that_the_article_names or "none"
    return Verdict(
        FAILS,
        f"of its {authors} authors (Hu, Shen and Sun) the article names {named}, and the year is "
        f"{year}; the pages, {first_page}-{last_page}, are right",
    )
