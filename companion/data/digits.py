"""Small handwritten digits, 8 x 8 pixels: the 1,797 of scikit-learn, part of the package."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from companion.data.mnist import Dataset

_TEST_PER_CLASS = 36


def digits8() -> Dataset:
    """Load handwritten digits, 8 x 8 pixels, ten classes; a network trains on them in seconds.

    A pixel counts the dark points in 4 x 4 points of the scan, from 0 (paper) to 16, and is divided
    by 16 here. One fixed shuffle, then 36 images of each class test and the others train, the same
    split always. The 13 people who wrote these digits are in both parts (the file does not name
    them), so the test measures new images, not new hands; one image is 0.3 points.

    Source: E. Alpaydin, C. Kaynak (1998), Optical Recognition of Handwritten Digits, UCI Machine
    Learning Repository, doi:10.24432/C50P49; the test part, as shipped with scikit-learn.
    Licence: CC BY 4.0.

    Returns
    -------
    Dataset with x_train (1437, 8, 8, 1), 138 to 147 a class, and x_test (360, 8, 8, 1).
    """
    with np.load(Path(__file__).with_name("digits8.npz")) as stored:
        points, labels = stored["points"], stored["labels"]
    order = np.random.default_rng(0).permutation(len(labels))
    images = (points[order] / 16).astype(np.float32)[..., None]
    labels = labels[order].astype(np.int64)
    test = np.zeros(len(labels), dtype=bool)
    for digit in range(10):
        test[np.flatnonzero(labels == digit)[:_TEST_PER_CLASS]] = True
    return Dataset(
        images[~test],
        labels[~test],
        images[test],
        labels[test],
        name="Handwritten digits, 8 x 8",
        licence="CC BY 4.0",
        origin="E. Alpaydin, C. Kaynak (1998): Optical Recognition of Handwritten Digits, UCI "
        "Machine Learning Repository, doi:10.24432/C50P49; its test part, shipped with "
        "scikit-learn",
        num_classes=10,
    )
