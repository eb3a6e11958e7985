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
