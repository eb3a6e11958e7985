"""The stored runs on medical images say what their page says of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

import companion.torch as ct
from companion.book import results
from companion.book.experiments import common, medical
from tests.book.test_page_numbers import runs

NETWORKS = [(blocks, residual) for blocks in (1, 4) for residual in (True, False)]


def dice(blocks, residual, long_skips, norm="batch", part="test", framework="torch"):
    """Mean Dice of grey and white matter, one number a seed."""
    of = {"blocks": blocks, "residual": residual, "long_skips": long_skips, "norm": norm}
    found = runs("medical", part=part, framework=framework, **of)
    assert [r["seed"] for r in found] == list(range(len(found)))
    return np.array([(r["grey"] + r["white"]) / 2 for r in found])


def gain(blocks, long_skips, norm="batch"):
    pair = (dice(blocks, residual, long_skips, norm) for residual in (True, False))
    return results.difference(*pair)


def test_shortcuts_gain_where_long_skips_are_missing():
    deep, shallow = gain(4, False), gain(1, False)
    assert deep.pairs == shallow.pairs == 6
    assert deep.mean > 0.1 and deep.sure
    assert 0.01 < shallow.mean < 0.1


@pytest.mark.parametrize("norm", ["batch", "instance"])
def test_beside_long_skips_shortcuts_gain_in_the_deep_network(norm):
    deep, shallow = gain(4, True, norm), gain(1, True, norm)
    assert deep.pairs == shallow.pairs == 6
    assert deep.mean > 0.02 and deep.ahead >= 5
    assert 0 < shallow.mean < 0.03


def test_with_instance_norm_seeds_agree_where_there_are_shortcuts():
    assert np.ptp(dice(4, True, True, "instance")) < 0.02
    assert np.ptp(dice(4, True, True)) > 0.05
    white = [r["white"] for r in runs("medical", part="test", norm="instance", blocks=4)]
    assert sum(score < 0.1 for score in white) == 1  # a plain one that failed


def test_long_skips_gain_at_every_depth_with_every_block():
    for blocks, residual in NETWORKS:
        assert dice(blocks, residual, True).mean() > dice(blocks, residual, False).mean() + 0.02


def test_three_times_the_epochs_help_the_deep_plain_network():
    longer = dice(4, False, True, part="longer")
    assert longer.mean() > dice(4, False, True)[:3].mean() + 0.02


def test_another_processor_moves_a_seed_as_far_as_the_effect_is_large():
    moved = np.abs(dice(1, True, True) - dice(1, True, True, part="again"))
    assert moved.max() > gain(1, True).mean


def test_tensorflow_shows_the_same_in_the_shallow_network():
    for residual in (True, False):
        pair = [dice(1, residual, True, framework=f).mean() for f in ("torch", "tensorflow")]
        assert abs(pair[0] - pair[1]) < 0.05, (residual, pair)


def test_every_rate_has_the_best_score_of_its_search():
    places = {tuple((k, r[k]) for k in KEYS) for r in results.runs("medical", part="test")}
    for place in places:
        of = {**dict(place), "framework": "torch"}
        tried = {r["learning_rate"]: [] for r in results.runs("medical", part="search", **of)}
        for row in results.runs("medical", part="search", **of):
            tried[row["learning_rate"]].append(row["score"][0])
        best = max(tried, key=lambda rate: np.mean(tried[rate]))
        if of["norm"] == "instance":
            assert set(common.SGD_RATES) <= set(tried) and min(tried) < best < max(tried), of
        assert set(common.SGD_RATES[1:]) <= set(tried), of
        assert {r["learning_rate"] for r in results.runs("medical", part="test", **of)} == {best}


KEYS = ("norm", "blocks", "residual", "long_skips")


def test_instance_norm_takes_the_place_of_every_batch_norm():
    before, after = (ct.residual_unet(1, 3, 2, 8, seed=0) for _ in range(2))
    assert medical.instance_norm(after) is after
    kinds = [type(m) for m in after.modules()]
    norms = [m for m in before.modules() if isinstance(m, nn.BatchNorm2d)]
    assert norms and not any(issubclass(kind, nn.BatchNorm2d) for kind in kinds)
    assert kinds.count(nn.GroupNorm) == len(norms)
    assert all(map(torch.equal, before.parameters(), after.parameters()))
    x = torch.randn(2, 1, 16, 16).double()
    whole = after.double().eval()(x)
    assert torch.allclose(whole[:1], after.train()(x[:1]))  # each slice by itself
    layer = nn.Sequential(nn.BatchNorm2d(8))
    y = torch.randn(2, 8, 6, 6)
    expected = nn.InstanceNorm2d(8, affine=True)(y)
    assert torch.allclose(medical.instance_norm(layer)(y), expected, atol=1e-5)


def test_group_norm_of_four_channels_takes_four_of_one_slice():
    layer = nn.Sequential(nn.BatchNorm2d(8))
    y = torch.randn(2, 8, 6, 6)
    found = medical.group_norm(layer, 4)(y)
    groups = y.view(2, 2, -1)
    expected = (groups - groups.mean(-1, keepdim=True)) / groups.std(-1, keepdim=True, correction=0)
    assert torch.allclose(found.view(2, 2, -1), expected, atol=1e-4)


NORMS = [(n, b, r) for n in ("batch", "group", "instance") for b in (2, 8) for r in (True, False)]


@pytest.mark.parametrize("norm, batch_size, residual", NORMS)
def test_every_cell_of_norms_has_ten_seeds_and_its_best_rate(norm, batch_size, residual):
    of = {"norm": norm, "batch_size": batch_size, "residual": residual}
    found = runs("medical_norms", part="test", **of)
    assert [row["seed"] for row in found] == list(range(10))
    searched = results.runs("medical_norms", part="search", **of)
    tried = {row["learning_rate"]: row["score"] or [-1] for row in searched}
    assert len(tried) >= 4
    assert {max(tried, key=tried.get)} == {row["learning_rate"] for row in found}


def test_warm_up_and_place_of_the_norm_have_rates_of_their_own():
    tests = [row for row in results.runs("warmup") if row["part"] == "test"]
    arms = {(row["norm"], row["share"]) for row in tests}
    assert len(arms) == 6 and len(tests) == 18
    for norm, share in arms:
        of = {"norm": norm, "share": share}
        searched = results.runs("warmup", part="search", **of)
        tried = {row["learning_rate"]: row["score"] or [-1] for row in searched}
        mine = {r["learning_rate"] for r in tests if (r["norm"], r["share"]) == (norm, share)}
        assert len(tried) >= 4 and mine == {max(tried, key=tried.get)}
