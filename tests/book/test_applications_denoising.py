"""The stored runs on denoising say what their page says of them."""

from __future__ import annotations

import numpy as np
import pytest

import companion.torch as ct
from companion.data import add_gaussian_noise
from tests.book.test_page_numbers import mean, runs

ZERO, IDENTITY = "residual, zero", "direct, identity"


def restored(arm, sigma, norm=False, epochs=1, framework="torch"):
    of = {"arm": arm, "sigma": sigma, "norm": norm, "epochs": epochs, "framework": framework}
    return mean("psnr", "denoising", **of)


def test_the_shortcut_gains_at_weak_noise_or_with_norm():
    assert restored(ZERO, 10) > restored("direct", 10) + 1
    assert abs(restored(ZERO, 50) - restored("direct", 50)) < 0.3
    assert restored(ZERO, 10, norm=True) > restored("direct", 10, norm=True) + 3


def test_the_start_alone_gains_as_much_without_a_norm_and_nothing_with_one():
    for sigma in (10, 25, 50):
        assert abs(restored(ZERO, sigma) - restored(IDENTITY, sigma)) < 0.5
        assert restored(ZERO, sigma, norm=True) > restored(IDENTITY, sigma, norm=True) + 1


def test_tensorflow_gains_the_same():
    for arm in ("direct", ZERO):
        here = [restored(arm, 10, framework=f) for f in ("torch", "tensorflow")]
        assert abs(here[0] - here[1]) < 0.5, (arm, here)


def test_every_arm_chose_its_rate_from_the_same_three():
    chosen = {r["learning_rate"] for r in runs("denoising") if "learning_rate" in r}
    assert chosen <= {0.003, 0.01, 0.03}


@pytest.mark.parametrize(("arm", "norm"), [(ZERO, False), (ZERO, True), (IDENTITY, False)])
def test_two_starts_are_the_identity(arm, norm, experiment):
    started = experiment("denoising").started
    # No pixel below black: the ReLUs of a direct network would cut it off.
    clean = np.random.default_rng(0).uniform(0.3, 1, (2, 24, 24, 1)).astype(np.float32)
    x = add_gaussian_noise(clean, 10)
    model = started(arm, norm, seed=0)
    assert np.allclose(ct.predict(model, x), x, atol=1e-6)
    assert not np.allclose(ct.predict(started("direct", norm, 0), x), x, atol=0.1)
