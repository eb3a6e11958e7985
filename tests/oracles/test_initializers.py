"""Fresh weights: the spread that each paper asks for, and how residual branches start."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import torch

from companion import weights

from .harness import ALL, BOTH, build

#: kind, arguments, key, standard deviation. Fan-out: He et al. 2015, arXiv 1502.01852, eq. 14,
#: sqrt(2 / (k^2 d)), d the number of filters; LeCun et al. 1998: sqrt(1 / fan-in).
SPREADS = [
    ("Conv2d", (32, 64, 3), "weight", math.sqrt(2 / (9 * 64))),
    ("Conv2d", (64, 32, 5), "weight", math.sqrt(2 / (25 * 32))),
    ("Conv2d", (64, 128, 1), "weight", math.sqrt(2 / 128)),
    ("Conv1d", (32, 96, 3), "weight", math.sqrt(2 / (3 * 96))),
    ("Dense", (80, 120), "weight", math.sqrt(1 / 80)),
    (
        "HiddenDense",
        (80, 120),
        "weight",
        math.sqrt(2 / 80),
    ),  # a ReLU before: arXiv 1502.01852, eq. 10
    ("Embedding", (200, 50), "weight", math.sqrt(1 / 50)),
    ("LSTM", (60, 80), "weight_ih", math.sqrt(1 / 60)),
    ("LSTM", (60, 80), "weight_hh", math.sqrt(1 / 80)),
]


def array(model, key):
    return next(a for k, a in weights.named_arrays(model).items() if k.endswith(key))


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(("kind", "arguments", "key", "std"), SPREADS)
def test_initialize(framework, kind, arguments, key, std):
    if framework == "reference" and kind not in ("Conv2d", "Dense"):
        pytest.skip("not in the reference")
    model = build(framework, kind, *arguments)
    weights.initialize(model, 0)
    a = array(model, key)
    assert a.std() == pytest.approx(std, rel=0.03)
    assert abs(a.mean()) < 0.05 * std
    # normal, not uniform nor cut off: 4.55 % are beyond two standard deviations
    assert np.mean(np.abs(a) > 2 * std) == pytest.approx(0.0455, abs=0.01)


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(("kind", "arguments", "key", "std"), SPREADS)
def test_a_layer_of_its_own_starts_alike(framework, kind, arguments, key, std):
    if framework == "reference" and kind not in ("Conv2d", "Dense"):
        pytest.skip("not in the reference")
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    a = array(build(framework, kind, *arguments), key)
    assert a.std() == pytest.approx(std, rel=0.03)


@pytest.mark.parametrize("framework", BOTH)
def test_grouped_convolutions_count_their_filters(framework):
    # k^2 d with all d filters, as PyTorch's kaiming_normal_(mode="fan_out") has it, by which
    # ResNeXt's authors and torchvision start
    model = build(framework, "Conv2d", 64, 64, 3, groups=8)
    assert array(model, "weight").shape == (64, 8, 3, 3)
    weights.initialize(model, 0)
    assert array(model, "weight").std() == pytest.approx(math.sqrt(2 / (9 * 64)), rel=0.03)


def last_norms(model):
    return {k: a for k, a in weights.named_arrays(model).items() if k.endswith("norm2.weight")}


@pytest.mark.parametrize("framework", BOTH)
def test_zero_gamma(framework):
    # Goyal et al. 2017, arXiv 1706.02677, section 5.1: g = 0 in the last norm of each block, so
    # that the block starts as its shortcut; all other norms start at 1.
    model = build(framework, "cifar_resnet", 14, 4)
    weights.initialize(model, 0, "zero_gamma")
    norms = {
        k: a for k, a in weights.named_arrays(model).items() if k.endswith("weight") and a.ndim == 1
    }
    zero = {k for k, a in norms.items() if (a == 0).all()}
    assert zero == set(last_norms(model)) and len(zero) == 6
    assert all((a == 1).all() for k, a in norms.items() if k not in zero)


@pytest.mark.parametrize("framework", BOTH)
def test_scaled(framework):
    # L branches of variance 1 add up to L: each is divided by sqrt(L), here L = 6, through its
    # last layer (Hanin and Rolnick 2018, arXiv 1803.01719; GPT-2's 1 / sqrt(N)).
    model = build(framework, "cifar_resnet", 14, 4)
    weights.initialize(model, 0, "scaled")
    norms = {
        k: a for k, a in weights.named_arrays(model).items() if k.endswith("weight") and a.ndim == 1
    }
    for name, a in norms.items():
        np.testing.assert_allclose(a, 6**-0.5 if name in last_norms(model) else 1.0, rtol=1e-6)
    plain, mlp = (build(framework, "residual_mlp", 40, 2, 4, 40, seed=0) for _ in range(2))
    weights.initialize(mlp, 0, "scaled")
    before, after = weights.named_arrays(plain), weights.named_arrays(mlp)
    for name, a in after.items():
        factor = 0.5 if name.endswith("dense2.weight") else 1.0
        np.testing.assert_allclose(a, factor * before[name], rtol=1e-6)


@pytest.mark.parametrize("framework", BOTH)
def test_he_is_the_start_of_networks(framework):
    arrays = weights.named_arrays(build(framework, "cifar_resnet", 8, 32, seed=1))
    for name, a in arrays.items():
        if a.ndim == 4:
            std = math.sqrt(2 / (a.shape[0] * a.shape[2] * a.shape[3]))
            assert a.std() == pytest.approx(std, rel=0.05), name
        elif a.ndim == 1:
            one = name.endswith(("weight", "running_var"))
            assert (a == one).all(), name


def test_he_keeps_the_variance_through_relu_layers():
    # Arxiv 1502.01852, section 2.2: 20 layers of width 100 from He's start keep the variance of a
    # backward signal within a factor, LeCun's would lose 2^20.
    ratios = []
    for seed in range(5):
        model = torch.nn.Sequential(
            *(
                m
                for _ in range(20)
                for m in (torch.nn.ReLU(), build("torch", "HiddenDense", 100, 100))
            )
        )
        weights.initialize(model, seed)
        x = torch.randn(200, 100, generator=torch.Generator().manual_seed(seed))
        ratios.append((model(x).var() / x.var()).item())
    assert 0.2 < np.exp(np.mean(np.log(ratios))) < 5
