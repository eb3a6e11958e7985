"""Dates to translate: what is written, that no day is on both sides, and what a reader types."""

from __future__ import annotations

import datetime
from collections import defaultdict
from functools import cache

import numpy as np
import pytest
from babel.dates import format_date

from companion.data.dates import END, LOCALES, STYLES, UNKNOWN, dates, normalize_text

pairs = cache(dates)


@cache
def a_year():
    """Every day of a year as each locale writes it: the dates that each text may stand for."""
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(i) for i in range(366)]
    meant = {style: defaultdict(set) for style in (*STYLES, "short")}
    for style, texts in meant.items():
        for locale in LOCALES:
            for day in days:
                texts[normalize_text(format_date(day, style, locale=locale))].add(day)
    return meant


def test_no_written_date_has_two_meanings_but_short_ones():
    together = defaultdict(set)
    for style in STYLES:
        for text, days in a_year()[style].items():
            together[text] |= days
    assert len(set(LOCALES)) == 30 and all(len(days) == 1 for days in together.values())
    assert all("2024" in text for text in together)
    short = a_year()["short"]
    assert short["3/2/24"] == {datetime.date(2024, 3, 2), datetime.date(2024, 2, 3)}


def test_no_day_is_both_trained_and_tested_on():
    p = pairs()
    assert p.x_train.shape == (20000, 40) and p.y_train.shape == (20000, 12)
    assert p.x_test.shape == (2000, 40) and p.y_test.shape == (2000, 12)
    assert p.x_train.dtype == p.y_test.dtype == np.int64
    assert not set(p.iso_train) & set(p.iso_test)
    assert set(p.locales_train) == set(p.locales_test) == set(LOCALES)
    assert min(p.iso_train)[:4] >= "1950" and max(p.iso_train)[:4] == "2049"
    part = p.validation()
    assert not set(part.iso_train) & set(part.iso_test) and 1700 < len(part.x_test) < 2300
    assert len(part.x_train) + len(part.x_test) == 20000
    assert (part.decode(part.y_test) == part.iso_test).all()
    assert (part.encode(*part.texts_test) == part.x_test).all()
    assert not set(part.iso_test) & set(p.iso_test)


def test_dates_say_the_same_on_both_sides_and_repeat():
    p = pairs()
    for x, y, texts, iso in (
        (p.x_train, p.y_train, p.texts_train, p.iso_train),
        (p.x_test, p.y_test, p.texts_test, p.iso_test),
    ):
        assert (p.encode(*texts) == x).all() and (x != UNKNOWN).all()
        assert p.decode(y) == iso.tolist() == p.decode(y[:, 1:])
        assert (y[:, 0] == 1).all() and (y[:, -1] == END).all()
    english = [
        (text, iso)
        for text, iso, locale in zip(p.texts_test, p.iso_test, p.locales_test, strict=True)
        if locale == "en" and text[0] in "mtwfs" and text.count(",") == 2
    ]
    assert len(english) > 10 and (p.texts_train != p.iso_train).all()
    for text, iso in english:
        assert datetime.datetime.strptime(text, "%A, %B %d, %Y").date().isoformat() == iso
    for text, iso, locale in zip(p.texts_test[:300], p.iso_test, p.locales_test, strict=False):
        day = datetime.date.fromisoformat(iso)
        assert text in {
            normalize_text(format_date(day, style, locale=str(locale))) for style in STYLES
        }
    triples = zip(p.texts_train, p.iso_train, p.locales_train, strict=True)
    assert len(set(triples)) > 18_000  # a few formats of one locale coincide, as in May
    again, other = dates(300, seed=5), dates(300, seed=6)
    assert (dates(300, seed=5).x_train == again.x_train).all()
    assert (again.x_train != other.x_train).any() and len(again.x_train) == 300
    assert (again.x_test == p.x_test).all() and (other.texts_test == p.texts_test).all()
    assert again.source_vocabulary == p.source_vocabulary and p.target_vocabulary[4:] == tuple(
        "-0123456789"
    )


def test_a_reader_can_type_a_date_and_read_an_answer():
    p = pairs()
    typed = p.encode("  3 MARS\u202f1987 ", "3 mars 1987")
    assert (typed[0] == typed[1]).all() and typed.shape == (2, 40)
    assert "".join(p.source_vocabulary[t] for t in typed[0] if t) == "3 mars 1987"
    assert (p.encode("1 aou\u0302t\u200f") == p.encode("1 août")).all()
    assert (p.encode("3☃")[0, :3] == [p.source_vocabulary.index("3"), UNKNOWN, 0]).all()
    one, dash = p.target_vocabulary.index("1"), p.target_vocabulary.index("-")
    assert p.decode([[1, one, 0, dash, 3, one, END, one, END]]) == ["1-1"]


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: dates(0), "size"),
        (lambda: dates(2_958_571), "size must be at most 2958570"),
        (lambda: dates(10.0), "size"),
        (lambda: dates(10, seed=-1), "seed"),
        (lambda: pairs().encode(""), "from 1 to 40"),
        (lambda: pairs().encode("3" * 41), "from 1 to 40"),
        (lambda: pairs().encode(1987), "string"),
        (lambda: pairs().decode([1, 2]), "dimensions"),
        (lambda: pairs().decode([[1, 15]]), "from 0 to 14"),
        (lambda: pairs().decode([[-1, 2]]), "from 0 to 14"),
        (lambda: pairs().decode([[1.0, 2.0]]), "integers"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, named):
    with pytest.raises(ValueError, match=named):
        call()
