"""Nine speakers told apart by two vowels: the Japanese Vowels that ship with sktime."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from companion import _checks
from companion.data import _shipped

_STEPS, _CEPSTRA, _SPEAKERS = 29, 12, 9


@dataclass(frozen=True)
class SequenceDataset:
    """Sequences of unequal length, padded at the end, and labels, with their split.

    Attributes
    ----------
    x_train, x_test: (N, T, C) float32, zero from step ``lengths`` on. The steps that are real:
        ``np.arange(T) < lengths[:, None]``, (N, T).
    lengths_train, lengths_test: (N,) int64, in steps.
    y_train, y_test: (N,) int64 class labels from 0 to num_classes - 1.
    mean, std: (C,) float64, what was subtracted and divided by; computed on x_train alone.
    name, licence, origin: what it is, under which terms, and where it comes from.
    """

    x_train: np.ndarray
    lengths_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    lengths_test: np.ndarray
    y_test: np.ndarray
    mean: np.ndarray
    std: np.ndarray
    name: str
    licence: str
    origin: str
    num_classes: int

    def validation(self, size: int = 90) -> SequenceDataset:
        """Return the training part split again: its last ``size`` sequences become the test part.

        Choose settings on this. ``mean`` and ``std`` stay those of the whole training part.
        """
        size = _checks.positive_int("size", size)
        if size >= len(self.x_train):
            raise ValueError(
                f"size must be below the {len(self.x_train)} training sequences, got {size}"
            )
        return replace(
            self,
            x_train=self.x_train[:-size],
            lengths_train=self.lengths_train[:-size],
            y_train=self.y_train[:-size],
            x_test=self.x_train[-size:],
            lengths_test=self.lengths_train[-size:],
            y_test=self.y_train[-size:],
            name=f"{self.name}, validation split",
        )


def japanese_vowels() -> SequenceDataset:
    """Load utterances of the vowels /ae/ by nine men; the task is to tell who speaks.

    Each step is a frame of 25.6 ms, one every 6.4 ms, from sound sampled at 10 kHz, described by 12
    cepstrum coefficients of its linear prediction (LPC). An utterance has 7 to 29 frames. The split
    is the original one: 30 utterances a speaker train, 24 to 88 test, recorded on other occasions.
    The training part takes the speakers in turn, so that any multiple of nine at its end holds
    each alike. Each coefficient is normalised by mean and standard deviation over the real frames
    of the training part.

    Source: M. Kudo, J. Toyama, M. Shimbo (1999), Multidimensional curve classification using
    passing-through regions, Pattern Recognition Letters 20 (11-13), 1103-1111; UCI Machine Learning
    Repository, doi:10.24432/C5NS47. Licence: CC BY 4.0.

    Returns
    -------
    SequenceDataset with x_train (270, 29, 12) and x_test (370, 29, 12), nine classes.

    Raises
    ------
    ModuleNotFoundError: sktime is missing; ``pip install 'residual-companion[speech]'``.
    """
    train, test = (
        _shipped.file(
            "sktime",
            f"datasets/data/JapaneseVowels/JapaneseVowels_{part}.ts",
            "residual-companion[speech]",
        )
        for part in ("TRAIN", "TEST")
    )
    x_train, lengths_train, y_train = _read(train)
    x_test, lengths_test, y_test = _read(test)

    frames = x_train[_real(lengths_train)]  # (frames, C): padding must not count
    mean, std = frames.mean(0), frames.std(0)

    in_turn = np.argsort(y_train, kind="stable").reshape(_SPEAKERS, -1).T.ravel()
    x_train, lengths_train, y_train = x_train[in_turn], lengths_train[in_turn], y_train[in_turn]
    return SequenceDataset(
        _normalised(x_train, lengths_train, mean, std),
        lengths_train,
        y_train,
        _normalised(x_test, lengths_test, mean, std),
        lengths_test,
        y_test,
        mean,
        std,
        name="Japanese Vowels",
        licence="CC BY 4.0",
        origin="M. Kudo, J. Toyama, M. Shimbo (1999), UCI Machine Learning Repository, "
        "doi:10.24432/C5NS47; shipped with sktime",
        num_classes=_SPEAKERS,
    )


def _read(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Read a .ts file: a line an utterance, ``coefficient 1:...:coefficient 12:speaker``."""
    lines = [line for line in path.read_text("utf-8").splitlines() if line and line[0] not in "#@"]
    x = np.zeros((len(lines), _STEPS, _CEPSTRA))
    lengths, y = np.zeros(len(lines), np.int64), np.zeros(len(lines), np.int64)
    for i, line in enumerate(lines):
        *coefficients, speaker = line.split(":")
        series = np.array([row.split(",") for row in coefficients], dtype=float).T  # (steps, C)
        lengths[i], y[i] = len(series), int(speaker) - 1
        x[i, : len(series)] = series
    return x, lengths, y


def _real(lengths: np.ndarray) -> np.ndarray:
    return np.arange(_STEPS) < lengths[:, None]


def _normalised(
    x: np.ndarray, lengths: np.ndarray, mean: np.ndarray, std: np.ndarray
) -> np.ndarray:
    return np.where(_real(lengths)[..., None], (x - mean) / std, 0).astype(np.float32)
