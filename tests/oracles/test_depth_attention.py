"""Attention over depth against arXiv 2603.15031: softmax(w . RMSNorm(v)) v over earlier outputs."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from companion.weights.layer_weights import layer_weights

from .harness import ALL, build, check, dense, near, normal, run


def pooled(query, x):
    keys = x / torch.sqrt((x**2).mean(-1, keepdim=True) + 1e-6)
    weights = torch.softmax((keys * query).sum(-1), 2)
    return torch.einsum("ntl,ntlc->ntc", weights, x)


@pytest.mark.parametrize("framework", ALL)
def test_depth_pooling(framework):
    pool = build(framework, "DepthPooling", 4)
    x = normal(2, 3, 5, 4)
    # the query starts at zero, so that all outputs weigh alike
    near(run(framework, pool, x, streams=True).y, x.mean(2), 1e-6)
    check(framework, pool, lambda w, training, x: pooled(w("query"), x), x, streams=True)


@pytest.mark.parametrize("framework", ALL)
def test_the_weights_by_hand(framework):
    # Two outputs (3, 4) and (1, 0): over their roots of mean squares (12.5, 0.5) they are
    # (0.8485, 1.1314) and (1.4142, 0); with w = (1, 0) the logits are 0.8485 and 1.4142.
    pool = build(framework, "DepthPooling", 2)
    for layer in layer_weights(pool):
        layer.assign("query", np.array([1.0, 0.0], layer.arrays["query"].dtype))
    y = run(framework, pool, np.array([[[[3.0, 4.0], [1.0, 0.0]]]]), streams=True).y
    first = 1 / (1 + np.exp(1.4142136 - 0.8485281))
    np.testing.assert_allclose(y[0, 0], [3 * first + 1 - first, 4 * first], rtol=1e-5)


@pytest.mark.parametrize("framework", ALL)
def test_the_block_appends_what_its_branch_makes_of_the_pooled(framework):
    simple = framework == "reference"
    branch = build(framework, "ReLU") if simple else build(framework, "Dense", 4, 4)
    block = build(framework, "DepthAttentionBlock", branch, 4)

    def oracle(w, training, x):
        vector = pooled(w("query"), x)
        if simple:
            y = torch.relu(vector)
        else:
            own = {n: t for n, t in w.tensors.items() if not n.endswith("query")}
            y = dense(vector, type(w)(own))
        return torch.cat([x, y[:, :, None]], 2)

    got = check(framework, block, oracle, normal(2, 3, 5, 4), streams=True)
    assert got.y.shape == (2, 3, 6, 4)
