"""The stored runs on denoising say what their page says of them."""

from __future__ import annotations

import numpy as np
import pytest

import companion.torch as ct
from companion.book import results
from companion.data import add_gaussian_noise
from tests.book.test_page_numbers import runs

ARMS = ("direct", "residual", "residual, zero", "direct, identity")
ZERO, IDENTITY = "residual, zero", "direct, identity"


def restored(arm, sigma, norm=False, epochs=1, framework="torch"):
    of = {"arm": arm, "sigma": sigma, "norm": norm, "epochs": epochs, "framework": framework}
    six = sigma != 25 and epochs == 1 and framework == "torch"
    assert len(runs("denoising", **of)) == (6 if six else 3)
    return results.column("denoising", "psnr", **of)


def gain(arm, *setting, over="direct"):
    return results.difference(restored(arm, *setting), restored(over, *setting))


def test_a_random_start_gains_at_weak_noise_and_a_zero_start_with_norm():
    for norm in (False, True):
        random = gain("residual", 10, norm)
        assert random.ahead == 6 and random.mean > max(1, 4 * random.error)
        assert gain(ZERO, 10, norm).mean > random.mean
    for sigma in (10, 25, 50):
        zero = gain(ZERO, sigma, True)
        assert zero.sure and zero.mean > 4 * zero.error
    assert abs(gain(ZERO, 50).mean) < 0.5


def test_the_start_alone_gains_as_much_without_a_norm_and_nothing_with_one():
    for sigma in (10, 25, 50):
        assert abs(gain(ZERO, sigma, over=IDENTITY).mean) < 0.5
        assert gain(ZERO, sigma, True, over=IDENTITY).mean > 1


def test_four_times_the_steps_close_most_of_the_gap_without_a_norm():
    assert 0 < gain(ZERO, 10, False, 4).mean < 0.5 * gain(ZERO, 10).mean
    assert 0.5 * gain(ZERO, 10, True).mean < gain(ZERO, 10, True, 4).mean
    assert gain("residual", 10, True, 4).mean > 1


def test_tensorflow_gains_the_same():
    for arm in ("direct", ZERO):
        here, there = (restored(arm, 10, framework=f)[:3] for f in ("torch", "tensorflow"))
        assert abs(here.mean() - there.mean()) < 0.5, (arm, here, there)


def test_every_rate_comes_from_one_search_with_as_many_steps():
    search = results.runs("denoising", part="search")
    for row in results.runs("denoising", framework="torch"):
        keys = ("arm", "sigma", "norm", "epochs")
        tried = [s for s in search if all(s[k] == row[k] for k in keys)]
        scores = {}
        for s in tried:
            scores.setdefault(s["learning_rate"], []).append(s["score"] or [-np.inf])
        means = {rate: np.mean(found) for rate, found in scores.items()}
        assert max(means, key=means.__getitem__) == row["learning_rate"], row
        assert {0.001, 0.003, 0.01, 0.03} <= set(means)
        assert min(means) < row["learning_rate"] < max(means), row


@pytest.mark.parametrize(("arm", "norm"), [(ZERO, False), (ZERO, True), (IDENTITY, False)])
def test_two_starts_are_the_identity(arm, norm, experiment):
    started = experiment("denoising").started
    # No pixel below black: the ReLUs of a direct network would cut it off.
    clean = np.random.default_rng(0).uniform(0.3, 1, (2, 24, 24, 1)).astype(np.float32)
    x = add_gaussian_noise(clean, 10)
    model = started(arm, norm, seed=0)
    assert np.allclose(ct.predict(model, x), x, atol=1e-6)
    assert not np.allclose(ct.predict(started("direct", norm, 0), x), x, atol=0.1)
