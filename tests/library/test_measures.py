"""Measures of known series and matrices."""

from __future__ import annotations

import numpy as np
import pytest

from companion import measures


def test_autocorrelation_of_known_series():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=20_000)
    assert np.abs(measures.autocorrelation(noise, 5)[1:]).max() < 0.03  # four standard deviations
    walk = np.zeros(20_000)
    for t in range(1, len(walk)):
        walk[t] = 0.8 * walk[t - 1] + noise[t]
    np.testing.assert_allclose(measures.autocorrelation(walk, 4), 0.8 ** np.arange(5), atol=0.05)
    for bad, lag in ((np.ones(9), 1), (noise[:5], 5), (np.array([0, np.nan]), 1), (noise, -1)):
        with pytest.raises(ValueError, match="series|max_lag"):
            measures.autocorrelation(bad, lag)


def test_ranks_of_known_matrices():
    assert measures.effective_rank(np.outer(np.arange(1, 5), np.ones(3))) == pytest.approx(1)
    assert measures.effective_rank(np.eye(6)) == pytest.approx(6)
    assert measures.rank_one_residual(np.ones((5, 3))) == 0
    assert measures.rank_one_residual(np.array([[1.0], [-1.0]])) == pytest.approx(1)
    for bad in (np.zeros((3, 3)), np.ones(3), np.array([[np.nan]])):
        with pytest.raises(ValueError, match="tokens"):
            measures.effective_rank(bad)


def test_participation_ratio_of_known_matrices():
    rng = np.random.default_rng(0)
    rotation = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    assert measures.participation_ratio(1e-200 * rotation) == pytest.approx(6)
    some = rotation @ np.diag([3.0, 2, 1, 0, 0, 0]) @ rotation.T  # (9 + 4 + 1)^2 / (81 + 16 + 1)
    assert measures.participation_ratio(some.T) == pytest.approx(2)
    assert measures.participation_ratio(some) == pytest.approx(2)
    assert measures.participation_ratio(np.outer(np.arange(1, 4), np.ones(5))) == pytest.approx(1)
    # A large square matrix of independent normal numbers: squares with variance 1 about mean 1.
    assert measures.participation_ratio(rng.normal(size=(400, 400))) == pytest.approx(200, rel=0.03)
    for bad in (np.ones(3), np.zeros((2, 2)), np.full((2, 2), np.nan), np.ones((0, 3))):
        with pytest.raises(ValueError, match="matrix must"):
            measures.participation_ratio(bad)
