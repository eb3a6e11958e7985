"""Chapter 8, without shortcuts: the starts, the activations, shaped attention, the fold."""

from __future__ import annotations

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import nn

import companion.torch as ct
from companion.book import results
from companion.book.experiments import folding, skipless, without


@pytest.mark.parametrize("slope", [0.0, 0.3, 0.8])
@pytest.mark.parametrize("cosine", [-0.5, 0.0, 0.7])
def test_the_cosine_after_a_leaky_relu_is_what_the_formula_says(slope, cosine):
    u, v = np.random.default_rng(0).standard_normal((2, 1_000_000))
    v = cosine * u + np.sqrt(1 - cosine**2) * v
    u, v = (np.where(z < 0, slope * z, z) for z in (u, v))
    found = (u * v).mean() / ((1 + slope**2) / 2)
    assert without.cosine_map(cosine, slope) == pytest.approx(found, abs=0.005)


def test_the_tailored_slope_leaves_two_inputs_at_the_target():
    for layers in (20, 31, 500):
        slope = without.tailored_slope(layers)
        assert 0 < slope < 1 and without.end_cosine(slope, layers) == pytest.approx(0.9)
    assert without.tailored_slope(3) == 0  # ReLU does less than that
    assert without.end_cosine(1, 100) == pytest.approx(0)


def images() -> torch.Tensor:
    return torch.randn(6, 1, 8, 8, generator=torch.Generator().manual_seed(0))


def test_a_stack_that_looks_linear_is_linear():
    model = without.network(without.ARMS["plain, looks linear"], 20, 0)
    inner, x = nn.Sequential(model.stem, model.stages), images()
    with torch.no_grad():
        both = inner(x[:3]) + inner(x[3:])
        assert torch.allclose(inner(x[:3] + x[3:]), both, atol=1e-5)
        usual = without.network(without.ARMS["plain, He's weights"], 20, 0)
        assert model.stages[0][0].branch.conv1.weight.shape == (8, 8, 3, 3)
        assert torch.equal(model.head.dense.weight, usual.head.dense.weight)


def test_arms_differ_from_the_control_in_what_they_say():
    control = without.network(without.ARMS["plain, He's weights"], 8, 1)
    before = dict(control.named_parameters())
    for name, arm in without.ARMS.items():
        model = without.network(arm, 8, 1)
        norms = any(isinstance(m, nn.BatchNorm2d) for m in model.modules())
        relus = sum(isinstance(m, nn.ReLU) for m in model.modules())
        assert norms == arm.norm and (relus > 0) == (arm.activation == "relu"), name
        for key, parameter in model.named_parameters():
            if key in before and key.endswith("weight"):
                same = torch.equal(parameter, before[key])
                kept = arm.start == "he" or not key.startswith("stages")
                assert same == kept or (arm.start == "looks_linear" and "stem" in key), (name, key)


def test_near_the_identity_each_layer_hands_on_what_it_is_given():
    model = without.network(without.ARMS["plain, near the identity"], 20, 0)
    x = torch.rand(4, 8, 8, 8)
    with torch.no_grad():
        y = model.stages[0][2].branch.conv1(x)
    assert 0.02 < float((y - x).norm() / x.norm()) < 0.3


@pytest.mark.parametrize("causal", [False, True])
def test_with_shaped_attention_each_token_reads_itself_alone_at_first(causal):
    torch.manual_seed(0)
    usual = ct.Attention(8, 2, causal)
    shaped = skipless.ShapedAttention(ct.Attention(8, 2, causal), identity=True)
    x = torch.randn(2, 5, 8)
    with torch.no_grad():
        assert torch.allclose(shaped(x), x, atol=1e-6)
        assert not torch.allclose(usual(x), x, atol=0.1)
        # Of the three factors, A alone is the usual attention.
        shaped = skipless.ShapedAttention(usual)
        shaped.query.weight.normal_()
        shaped.mix.copy_(torch.tensor([0.0, 1.0, 0.0]).view(3, 1, 1, 1).expand(3, 2, 1, 1))
        assert torch.allclose(shaped(x), usual(x), atol=1e-6)


def test_skipless_arms_have_the_shortcuts_that_they_say():
    for name, arm in skipless.ARMS.items():
        model = skipless.transformer(arm, 20, 0, blocks=2)
        shortcuts = sum(isinstance(m, ct.Residual) and m.merge is not None for m in model.modules())
        assert shortcuts == 2 * (arm.attention + arm.mlp), name
        assert model(torch.zeros(1, 4, dtype=torch.long)).shape == (1, 4, 20)


def test_the_fold_computes_what_the_branches_do():
    x = images()
    for name in ("three branches", "3x3 alone"):
        model = folding.network(folding.ARMS[name], 0)
        model.train()(x)  # averages that are not 0 and 1
        assert folding.same(model, x) < 1e-5
    plain = folding.fold_of_start(0, x)
    assert sum(isinstance(m, nn.BatchNorm2d) for m in plain.modules()) == 0
    block = folding.Branches(4, 8, 2, ("point", "identity"))
    assert block.own_norm is None and block(torch.randn(2, 4, 6, 6)).shape == (2, 8, 3, 3)
    kernel, bias = block.eval().folded()
    z = torch.randn(2, 4, 6, 6)
    assert torch.allclose(F.relu(F.conv2d(z, kernel, bias, 2, 1)), block(z), atol=1e-5)


def test_what_the_page_says_of_the_stored_runs():
    of = {"part": "test"}
    right = {a: results.column("without", "accuracy", arm=a, **of) for a in without.ARMS}
    assert all(len(found) == 5 for found in right.values())
    scaled, tanh = right["residual, branches × 1/√L"], right["plain, delta-orthogonal, tanh"]
    assert not results.difference(scaled, tanh).sure
    assert results.difference(right["residual, batch norm"], tanh).sure
    for arm in without.ARMS:
        best = results.column("without", "learning_rate", arm=arm, **of)[0]
        tried = results.column("without", "learning_rate", part="search", arm=arm)
        inside = min(tried) < best < max(tried)
        assert inside or arm == "plain, He's weights", arm  # which learns at no rate
    arms = {a: results.column("skipless", "accuracy", arm=a, **of) for a in skipless.ARMS}
    assert arms["none"].max() < 0.2 < 0.8 < arms["none, parallel, shaped, identity"].min()
    folds = {a: results.column("folding", "accuracy", arm=a, **of) for a in folding.ARMS}
    assert folds["folded, the fold's start"].max() < 0.4 < 0.85 < folds["3x3 alone"].min()
