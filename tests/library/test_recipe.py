"""What both frameworks take from the recipe: shifted images and the learning rate."""

from __future__ import annotations

import numpy as np
import pytest

from companion import recipe


def test_shifting_moves_an_image_and_brings_in_zeros():
    x = np.zeros((200, 5, 5, 1), np.float32)
    x[:, 2, 2] = 1
    moved = recipe.shifted(x, 2, np.random.default_rng(0))
    assert moved.shape == x.shape and (moved.sum((1, 2, 3)) == 1).all()
    assert {tuple(np.argwhere(image)[0][:2]) for image in moved} == {
        (i, j) for i in range(5) for j in range(5)
    }


def test_the_learning_rate_makes_one_cycle():
    rates = [recipe.Recipe(learning_rate=0.2).rate(step, 100) for step in range(100)]
    assert rates[0] == pytest.approx(0.02) and max(rates) == rates[25] == pytest.approx(0.2)
    assert rates[-1] < 0.001 and rates[26:] == sorted(rates[26:], reverse=True)
