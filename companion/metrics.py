"""Scores of predictions: Dice overlap, peak signal-to-noise ratio."""

from __future__ import annotations

import numpy as np

from companion import _checks


def dice(predicted: np.ndarray, labels: np.ndarray, num_classes: int) -> np.ndarray:
    """Return the Dice coefficient ``2 |A and B| / (|A| + |B|)`` of each class, at best 1.

    Dice 1945, Ecology 26 (3). A class that occurs in neither has 1.

    Parameters
    ----------
    predicted, labels: integers of one shape. num_classes: they run from 0 to one below.

    Raises
    ------
    ValueError: shapes that differ, or fewer than one class.
    """
    predicted, labels = np.asarray(predicted), np.asarray(labels)
    _checks.equal_shapes("predicted and labels", predicted.shape, labels.shape)
    scores = np.ones(_checks.positive_int("num_classes", num_classes))
    for c in range(num_classes):
        one, other = predicted == c, labels == c
        size = one.sum() + other.sum()
        if size:
            scores[c] = 2 * (one & other).sum() / size
    return scores


def psnr(clean: np.ndarray, restored: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio in decibels: 10 log10(1 / mean squared error).

    Parameters
    ----------
    clean, restored: of one shape, with 1 as the largest value that a pixel can have.

    Raises
    ------
    ValueError: shapes that differ, or two equal images, whose ratio is infinite.
    """
    clean, restored = np.asarray(clean, float), np.asarray(restored, float)
    _checks.equal_shapes("clean and restored", clean.shape, restored.shape)
    error = float(((clean - restored) ** 2).mean())
    if error == 0:
        raise ValueError("restored must differ from clean, got equal images")
    return float(-10 * np.log10(error))
