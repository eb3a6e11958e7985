"""Dates as thirty locales write them, and in ISO 8601: a small, real translation task."""

from __future__ import annotations

import datetime
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from companion import _checks
from companion.data import _shipped

_CODES = (
    "bg cs da de el en en_GB es et fi fr he hi hr hu id it ja ko lv nl pl pt ro ru sv tr uk vi zh"
)
LOCALES = tuple(_CODES.split())
STYLES = ("full", "long", "medium")
PAD, START, END, UNKNOWN = range(4)

_SPECIAL = ("<pad>", "<start>", "<end>", "<unknown>")
_FIRST_DAY, _DAYS = datetime.date(1950, 1, 1).toordinal(), 36_525  # to 31 December 2049
_TEST_PAIRS, _WIDTH = 2000, 40  # the longest written date has 38 characters


@dataclass(frozen=True)
class DatePairs:
    """Dates in words and in ISO 8601, as text and as tokens, with their split.

    Attributes
    ----------
    x_train, x_test: (N, 40) int64, the characters of the written date, then 0 (``<pad>``).
    y_train, y_test: (N, 12) int64, ``<start>``, the ten characters of the ISO date, ``<end>``. A
        decoder's inputs are ``y[:, :-1]``, its labels ``y[:, 1:]``.
    texts_train, iso_train, locales_train, and for test: (N,) str, the written dates after
        ``companion.data.dates.normalize_text``, the same as ``1987-06-05``, and the locale of each,
        such as ``pt``.
    source_vocabulary, target_vocabulary: the character of each token; the first four are special.
    name, licence, origin: what it is, under which terms, and where it comes from.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    texts_train: np.ndarray
    texts_test: np.ndarray
    iso_train: np.ndarray
    iso_test: np.ndarray
    locales_train: np.ndarray
    locales_test: np.ndarray
    source_vocabulary: tuple[str, ...]
    target_vocabulary: tuple[str, ...]
    name: str
    licence: str
    origin: str

    def encode(self, *texts: str) -> np.ndarray:
        """Return the tokens (N, 40) int64 of dates that somebody typed; they are normalized first.

        Characters that no locale writes become ``<unknown>``. ValueError: a text that is no string,
        empty, or longer than 40 characters.
        """
        return _tokens([normalize_text(text) for text in texts], self.source_vocabulary)

    def decode(self, tokens: np.ndarray) -> list[str]:
        """Return the texts of target tokens (N, T): up to ``<end>``, other special ones left out.

        ValueError: another rank, or a token outside the target vocabulary.
        """
        tokens = np.asarray(tokens)
        _checks.rank("tokens", tokens.shape, 2, "(N, T)")
        size = len(self.target_vocabulary)
        if tokens.dtype.kind not in "iu" or tokens.min() < 0 or tokens.max() >= size:
            raise ValueError(f"tokens must be integers from 0 to {size - 1}")
        left_out = ((tokens == END).cumsum(1) > 0) | (tokens < len(_SPECIAL))
        rows = np.where(left_out, PAD, tokens)
        return ["".join(self.target_vocabulary[t] for t in row if t != PAD) for row in rows]

    def validation(self) -> DatePairs:
        """Return the training part split again: a tenth of its days become the test part.

        Choose settings on this. Which days is fixed, and no day is in both parts.
        """
        days = (datetime.date.fromisoformat(iso).toordinal() for iso in self.iso_train)
        held_out = np.array([day % 10 == 0 for day in days])
        changes: dict[str, Any] = {"name": f"{self.name}, validation split"}
        for field in ("x", "y", "texts", "iso", "locales"):
            whole = getattr(self, f"{field}_train")
            changes |= {f"{field}_train": whole[~held_out], f"{field}_test": whole[held_out]}
        return replace(self, **changes)


def normalize_text(text: str) -> str:
    """Return text in lower case, Unicode form NFC, with single spaces and no format characters."""
    if not isinstance(text, str):
        raise ValueError(f"text must be a string, got {text!r}")
    text = unicodedata.normalize("NFC", text.lower())
    # CLDR writes narrow and unbreakable spaces, which nobody types; split() knows them.
    return " ".join("".join(c for c in text if unicodedata.category(c) != "Cf").split())


def dates(size: int = 20_000, seed: int = 0) -> DatePairs:
    """Write dates from 1950 to 2049 as 30 locales do, each beside its ISO 8601 form.

    The formats are CLDR's full, long and medium ones of each locale ("Saturday, 2 March 2024", "2
    March 2024", "2 Mar 2024"), through Babel's ``format_date``. Within these, no text stands for
    two dates (a test writes out a year). Left out are:

    - CLDR's short format: in 14 of the 30 locales it has two digits for the year, and "3/2/24" is
      March 2 in en, 3 February in es.
    - Locales that date by another calendar or in other digits than Babel writes (th, fa, ar, bn),
      and lt, whose medium format is ISO 8601 already.

    The split is by day: 3,652 days, always the same ones, are for testing in every locale and
    style, and the 2,000 test pairs depend on neither argument. Training pairs (day, locale, style)
    are drawn at random without replacement. The vocabularies are always the same.

    Source: Unicode CLDR, as shipped with Babel; another version of Babel may write other texts.
    Licence: Unicode License V3.

    Parameters
    ----------
    size: how many training pairs, up to 2,958,570.
    seed: of the training pairs, an integer of at least 0.

    Returns
    -------
    DatePairs with x_train (size, 40), y_train (size, 12), x_test (2000, 40), y_test (2000, 12).

    Raises
    ------
    ValueError: size or seed that are no integers in their range.
    ModuleNotFoundError: Babel is missing; ``pip install 'residual-companion[language]'``.
    """
    size = _checks.positive_int("size", size)
    seed = _checks.positive_int("seed", seed, minimum=0)
    fixed = np.random.default_rng(0)
    test_days, train_days = np.split(_FIRST_DAY + fixed.permutation(_DAYS), [_DAYS // 10])
    ways = len(LOCALES) * len(STYLES)  # to write a day
    most = len(train_days) * ways
    if size > most:
        raise ValueError(f"size must be at most {most}, got {size}")
    _shipped.folder("babel", "residual-companion[language]")
    picks = np.random.default_rng(seed).choice(most, size, replace=False)
    texts, iso, locales = _written(train_days, picks)
    picks = fixed.choice(len(test_days) * ways, _TEST_PAIRS, replace=False)
    texts_test, iso_test, locales_test = _written(test_days, picks)
    # Twelve days, 31 apart, meet every month and every weekday: all that the formats can write.
    every, _, _ = _written(_FIRST_DAY + 31 * np.arange(12), np.arange(12 * ways))
    source = (*_SPECIAL, *sorted(set("".join(every)) | set("0123456789")))
    target = (*_SPECIAL, "-", *"0123456789")
    return DatePairs(
        x_train=_tokens(texts, source),
        y_train=_framed(iso, target),
        x_test=_tokens(texts_test, source),
        y_test=_framed(iso_test, target),
        texts_train=texts,
        texts_test=texts_test,
        iso_train=iso,
        iso_test=iso_test,
        locales_train=locales,
        locales_test=locales_test,
        source_vocabulary=source,
        target_vocabulary=target,
        name="Dates of 30 locales",
        licence="Unicode License V3",
        origin="Unicode CLDR, shipped with Babel",
    )


def _written(days: np.ndarray, picks: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return written dates, ISO dates and locales; a pick numbers a day, a locale and a style."""
    from babel.dates import format_date  # late: the module imports without Babel

    which_day, which_locale, style = np.unravel_index(picks, (len(days), len(LOCALES), len(STYLES)))
    chosen = [datetime.date.fromordinal(int(day)) for day in days[which_day]]
    texts = [
        normalize_text(format_date(date, STYLES[s], locale=LOCALES[w]))
        for date, s, w in zip(chosen, style, which_locale, strict=True)
    ]
    iso = np.array([date.isoformat() for date in chosen])
    return np.array(texts), iso, np.array(LOCALES)[which_locale]


def _tokens(texts: Sequence[str] | np.ndarray, vocabulary: tuple[str, ...]) -> np.ndarray:
    index = {character: token for token, character in enumerate(vocabulary)}
    tokens = np.full((len(texts), _WIDTH), PAD, np.int64)
    for row, text in zip(tokens, texts, strict=True):
        if not 0 < len(text) <= _WIDTH:
            raise ValueError(f"a date must have from 1 to {_WIDTH} characters, got {text!r}")
        row[: len(text)] = [index.get(character, UNKNOWN) for character in text]
    return tokens


def _framed(iso: np.ndarray, vocabulary: tuple[str, ...]) -> np.ndarray:
    characters = _tokens(iso, vocabulary)[:, :10]
    return np.pad(characters, ((0, 0), (1, 1)), constant_values=((0, 0), (START, END)))
