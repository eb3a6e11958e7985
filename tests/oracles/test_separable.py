"""Depthwise separable convolutions against Chollet 2017 (arXiv 1610.02357), figure 4."""

from __future__ import annotations

import pytest
import torch

from companion import weights

from .harness import BOTH, batch_norm, build, carry, check, conv, normal


def depthwise(x, weight, stride=1):
    """Each channel by itself, written without the groups of a convolution."""
    maps = [conv(x[:, i : i + 1], weight[i : i + 1], stride) for i in range(x.shape[1])]
    return torch.cat(maps, 1)


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(
    ("option", "came", "goes", "stride"), [("B", 4, 4, 1), ("B", 3, 6, 2), ("A", 3, 6, 2)]
)
@pytest.mark.parametrize("residual", [True, False])
def test_separable_block(framework, option, came, goes, stride, residual):
    # A 3x3 of each channel by itself, then 1x1; norms after the 1x1, one ReLU between the two
    # convolutions, none between depthwise and 1x1 (section 2: "the absence of non-linearities").
    block = build(framework, "SeparableBlock", came, goes, stride, option, residual)

    def oracle(w, training, x):
        b = w.at("branch")
        y = conv(depthwise(x, b("depth1.weight"), stride), b("point1.weight"))
        y = torch.relu(batch_norm(y, b.at("norm1"), training))
        y = conv(depthwise(y, b("depth2.weight")), b("point2.weight"))
        y = batch_norm(y, b.at("norm2"), training)
        if residual:
            y = y + carry(w, x, option, goes, stride, training)
        return torch.relu(y)

    check(framework, block, oracle, normal(3, came, 5, 4))


@pytest.mark.parametrize("framework", BOTH)
def test_a_separable_convolution_has_nine_c_and_c_squared_weights(framework):
    arrays = weights.named_arrays(build(framework, "SeparableBlock", 24, 24))
    assert sum(a.size for a in arrays.values() if a.ndim == 4) == 2 * (9 * 24 + 24 * 24)
