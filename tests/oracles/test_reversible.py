"""Reversible networks against Gomez et al. 2017 (arXiv 1707.04585), eq. 6 and 7."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from .harness import BOTH, batch_norm, build, check, conv, dense, fill, near, normal, run


def function(w, training, x, stride=1):
    """F of section 3.1 as He et al. 2016 have it: BN, ReLU, 3x3, twice."""
    own = w.at("branch")
    y = conv(torch.relu(batch_norm(x, own.at("norm1"), training)), own("conv1.weight"), stride)
    return conv(torch.relu(batch_norm(y, own.at("norm2"), training)), own("conv2.weight"))


def unit(first, second, training, x):
    """Eq. 6: y1 = x1 + F(x2), y2 = x2 + G(y1)."""
    x1, x2 = x.chunk(2, 1)
    y1 = x1 + function(first, training, x2)
    y2 = x2 + function(second, training, y1)
    return torch.cat([y1, y2], 1)


def stack(framework, recompute):
    named = [{"name": str(i)} if framework == "tensorflow" else {} for i in range(2)]
    blocks = [build(framework, "ReversibleBlock", 4, 4, **options) for options in named]
    return build(framework, "ReversibleSequential", *blocks, recompute=recompute)


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize("recompute", [True, False])
@pytest.mark.parametrize("training", [True, False])
def test_two_blocks_are_one_unit(framework, recompute, training):
    model = stack(framework, recompute)

    def oracle(w, training, x):
        return unit(w.at("0"), w.at("1"), training, x)

    check(framework, model, oracle, normal(3, 4, 4, 5), training=training)


@pytest.mark.parametrize("framework", BOTH)
def test_the_inverse(framework):
    # Eq. 7: x2 = y2 - G(y1), x1 = y1 - F(x2)
    blocks = [fill(build(framework, "ReversibleBlock", 4, 4), seed) for seed in (1, 2)]
    x = y = normal(2, 4, 4, 5)
    for block in blocks:
        y = run(framework, block, y, training=False).y
    assert np.abs(y - x).max() > 0.1
    for block in reversed(blocks):
        if framework == "torch":
            y = block.inverse(torch.from_numpy(y)).numpy()
        else:
            y = np.moveaxis(block.inverse(np.moveaxis(y, 1, -1).astype("float32")).numpy(), -1, 1)
    near(y, x, 1e-5)


@pytest.mark.parametrize("framework", BOTH)
def test_the_network(framework):
    # depth 14: one unit a stage; where the shape changes both halves are padded by option A.
    network = build(framework, "revnet_cifar", 14, 4, in_channels=2, num_classes=3)

    def padded(x, stride):
        x = x[:, :, ::stride, ::stride]
        return torch.cat([x, torch.zeros_like(x)], 1)

    def oracle(w, training, x):
        x = conv(x, w("stem.weight"))
        x = unit(w.at("stage0", "0"), w.at("stage0", "1"), training, x)
        for stage in (1, 2):
            x1, x2 = x.chunk(2, 1)
            y1 = padded(x1, 2) + function(w.at(f"widen{stage}"), training, x2, 2)
            y2 = padded(x2, 2)
            y2 = y2 + function(w.at(f"stage{stage}", "0"), training, y1)
            x = torch.cat([y1, y2], 1)
        own = type(w)({n: t for n, t in w.tensors.items() if n.startswith("norm.")})
        x = torch.relu(batch_norm(x, own, training)).mean((2, 3))
        return dense(x, w.at("dense"))

    check(framework, network, oracle, normal(3, 2, 8, 8), training=False)
