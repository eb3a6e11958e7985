"""Measures and metrics on arrays whose answers are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from companion import measures, metrics


def test_autocorrelation_by_hand():
    # 1, 2, 3, 4 less 2.5: -1.5, -0.5, 0.5, 1.5, squares 5; lag 1: 0.75 - 0.25 + 0.75 = 1.25;
    # lag 2: -0.75 - 0.75 = -1.5; lag 3: -2.25. Box and Jenkins 1976, section 2.1.5: all over 5.
    want = [1, 0.25, -0.3, -0.45]
    np.testing.assert_allclose(measures.autocorrelation(np.arange(1.0, 5), 3), want, rtol=1e-12)
    # two columns: covariances are added up before dividing; the second, doubled, alternates:
    # squares 16, lag 1: -12
    two = np.column_stack([np.arange(1.0, 5), [2, -2, 2, -2]])
    np.testing.assert_allclose(measures.autocorrelation(two, 1), [1, (1.25 - 12) / 21], rtol=1e-12)


def test_white_noise_has_no_autocorrelation_and_a_walk_has():
    # Balduzzi et al. 2017, arXiv 1702.08591, section 1: gradients like white or like brown noise
    noise = np.random.default_rng(0).normal(size=(2000, 3))
    assert np.abs(measures.autocorrelation(noise, 5)[1:]).max() < 0.05
    assert measures.autocorrelation(noise.cumsum(0), 5)[5] > 0.9


def test_effective_rank_by_hand():
    # Roy and Vetterli 2007, eq. 4: exp of the entropy of the singular values' shares
    assert measures.effective_rank(np.diag([2.0, 2.0, 2.0])) == pytest.approx(3)
    assert measures.effective_rank(np.outer([1.0, 2], [3.0, 4, 5])) == pytest.approx(1)
    entropy = -(0.75 * math.log(0.75) + 0.25 * math.log(0.25))
    assert measures.effective_rank(np.diag([3.0, -1.0])) == pytest.approx(math.exp(entropy))


def test_rank_one_residual_by_hand():
    # Dong et al. 2021, arXiv 2103.03404, section 2: X - 1 x^T. Tokens (3, 0) and (1, 0): the mean
    # (2, 0) leaves (1, 0) and (-1, 0), of norm sqrt 2, over sqrt 10.
    assert measures.rank_one_residual(np.array([[3.0, 0], [1, 0]])) == pytest.approx(0.2**0.5)
    assert measures.rank_one_residual(np.full((4, 3), 7.0)) == 0


def test_timing():
    timing = measures.Timing((2.0, 3.0, 8.0), (1.0, 1.0, 2.0), (2.0, 2.5, 10.0))
    assert timing.ratio == 3  # of 2, 3, 4
    assert timing.noise == pytest.approx(0)  # of 1, 1.2, 0.8
    slow = measures.Timing((1.0,), (1.0,), (2.0,))
    assert slow.noise == 0.5


def test_dice_by_hand():
    # Dice 1945: 2 |A and B| / (|A| + |B|)
    predicted, labels = np.array([[0, 1, 1, 2]]), np.array([[0, 1, 2, 2]])
    scores = metrics.dice(predicted, labels, 4)
    np.testing.assert_allclose(scores, [1, 2 / 3, 2 / 3, 1])
    assert metrics.dice(np.array([1, 1]), np.array([0, 0]), 2).tolist() == [0, 0]


def test_dice_is_the_f1_score():
    sklearn = pytest.importorskip("sklearn.metrics")
    rng = np.random.default_rng(0)
    a, b = rng.integers(0, 3, (2, 50))
    np.testing.assert_allclose(metrics.dice(a, b, 3), sklearn.f1_score(b, a, average=None))


def test_psnr_by_hand():
    # 10 log10(1 / mse): errors of 0.1 everywhere are 20 dB
    clean = np.full((2, 3), 0.5)
    assert metrics.psnr(clean, clean + 0.1) == pytest.approx(20)
    assert metrics.psnr(clean, clean * 0) == pytest.approx(10 * math.log10(4))
    one = clean.copy()
    one[0, 0] += 0.6
    mse = torch.nn.functional.mse_loss(torch.tensor(one), torch.tensor(clean)).item()
    assert metrics.psnr(clean, one) == pytest.approx(-10 * math.log10(mse))


def test_programs_timed_in_turns_are_told_apart(monkeypatch):
    # By a clock that each program moves by so much, the ratio is theirs: 3 seconds over 1.
    clock = [0.0]
    monkeypatch.setattr(measures.time, "process_time", lambda: clock[0])

    def moves(seconds):
        return lambda: clock.__setitem__(0, clock[0] + seconds)

    found = measures.time_in_turns(moves(3.0), moves(1.0), repetitions=3)
    assert found.ratio == pytest.approx(3) and found.noise == pytest.approx(0)
