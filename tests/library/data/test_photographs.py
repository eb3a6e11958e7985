"""Photographs to denoise: that they are apart, and how they are cut and disturbed."""

from __future__ import annotations

import numpy as np
import pytest

from companion.data.photographs import add_gaussian_noise, photographs, random_patches


def rows(photographs):
    return {photograph.tobytes() for photograph in photographs}


def test_photographs_are_grey_whole_and_apart():
    p = photographs()
    assert [x.shape[:2] for x in p.x_test] == [(512, 512), (300, 451), (512, 512)]
    assert len(p.x_train) == len(p.names_train) == 6 and not set(p.names_train) & set(p.names_test)
    for x in p.x_train + p.x_test:
        assert x.dtype == np.float32 and x.ndim == 3 and x.shape[2] == 1
        assert 0 <= x.min() < 0.4 and 0.7 < x.max() <= 1 and len(np.unique(x)) > 100
    assert p.x_train[0].max() == p.x_test[0].max() == 1 and not rows(p.x_train) & rows(p.x_test)
    part = p.validation()
    assert part.names_test == p.names_train[:2] and part.names_train == p.names_train[2:]
    assert rows(part.x_test) == rows(p.x_train[:2]) and rows(part.x_train) == rows(p.x_train[2:])


def test_patches_come_from_every_place_alike():
    first = np.arange(12.0).reshape(3, 4, 1)  # squares of 2 fit in 6 places
    second = 100 + np.arange(25.0).reshape(5, 5, 1)  # and here in 16
    cut = random_patches([first, second], size=2, count=4400, seed=3)
    assert cut.shape == (4400, 2, 2, 1) and cut.dtype == first.dtype
    corners, counts = np.unique(cut[:, 0, 0, 0], return_counts=True)
    assert corners.tolist() == [0, 1, 2, 4, 5, 6] + [
        100 + 5 * i + j for i in range(4) for j in range(4)
    ]
    assert counts.min() > 140 and counts.max() < 260  # 200 each, up to four deviations
    wide = np.where(cut[:, 0, 0, 0] < 100, 4, 5)
    assert (cut[:, 0, 1, 0] - cut[:, 0, 0, 0] == 1).all()
    assert (cut[:, 1, 0, 0] - cut[:, 0, 0, 0] == wide).all()
    assert (random_patches([first, second], 2, 4400, seed=3) == cut).all()
    assert (random_patches([first, second], 2, 4400, seed=4) != cut).any()


def test_noise_on_photographs_is_in_grey_levels_and_unclipped():
    x = np.zeros((200, 200, 1), np.float32)
    y = add_gaussian_noise(x, 25, seed=1)
    assert y.dtype == np.float32 and y.shape == x.shape
    assert y.std() == pytest.approx(25 / 255, rel=0.02) and 0.48 < (y < 0).mean() < 0.52
    assert (add_gaussian_noise(x, 25, seed=1) == y).all() and (
        add_gaussian_noise(x, 25, seed=2) != y
    ).any()
    assert (add_gaussian_noise(x + 0.5, 0) == 0.5).all()


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: random_patches([], 2, 2), "images"),
        (lambda: random_patches([np.zeros((4, 4))], 2, 2), "dimensions"),
        (lambda: random_patches([np.zeros((9, 9, 1)), np.zeros((4, 9, 1))], 5, 2), "size .* 4 x 9"),
        (lambda: random_patches([np.zeros((4, 4, 1))], 0, 2), "size"),
        (lambda: random_patches([np.zeros((4, 4, 1))], 2, 0), "count"),
        (lambda: random_patches([np.zeros((4, 4, 1))], 2, 2, seed=-1), "seed"),
        (lambda: add_gaussian_noise(np.zeros(3), -1), "sigma"),
        (lambda: add_gaussian_noise(np.zeros(3), 1, seed=0.5), "seed"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, named):
    with pytest.raises(ValueError, match=named):
        call()
