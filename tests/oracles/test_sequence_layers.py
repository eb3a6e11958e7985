"""Layers for sequences against their papers and against torch.nn's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from companion import weights
from companion.weights.layer_weights import layer_weights

from .harness import (
    BOTH,
    Weights,
    batch_norm,
    build,
    check,
    dense,
    fill,
    layer_norm,
    near,
    normal,
    run,
)


def attention(w, x, heads, causal):
    """Vaswani et al. 2017, arXiv 1706.03762, eq. 1 and section 3.2.2, one head after the other."""
    width = x.shape[2] // heads
    q, k, v = (dense(x, w.at(name)) for name in ("query", "key", "value"))
    mixed = []
    for h in range(heads):
        own = slice(h * width, (h + 1) * width)
        scores = torch.einsum("ntc,nsc->nts", q[..., own], k[..., own]) / math.sqrt(width)
        if causal:
            steps = torch.arange(x.shape[1])
            scores = scores.masked_fill(steps[None, :] > steps[:, None], -torch.inf)
        mixed.append(torch.einsum("nts,nsc->ntc", scores.softmax(2), v[..., own]))
    return dense(torch.cat(mixed, 2), w.at("out"))


def lstm(w, x):
    """Hochreiter and Schmidhuber 1997 with the forget gate of Gers et al. 2000, step by step."""
    n = w("weight_hh").shape[1]
    h = c = x.new_zeros(len(x), n)
    steps = []
    for t in range(x.shape[1]):
        z = x[:, t] @ w("weight_ih").T + h @ w("weight_hh").T + w("bias")
        i, f, g, o = z.split(n, 1)
        c = torch.sigmoid(f) * c + torch.sigmoid(i) * torch.tanh(g)
        h = torch.sigmoid(o) * torch.tanh(c)
        steps.append(h)
    return torch.stack(steps, 1)


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(("heads", "causal"), [(1, False), (2, True), (3, False)])
def test_attention(framework, heads, causal):
    layer = build(framework, "Attention", 6, heads, causal)
    check(framework, layer, lambda w, training, x: attention(w, x, heads, causal), normal(2, 4, 6))


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize("causal", [True, False])
def test_attention_equals_pytorch_s_own(framework, causal):
    ours = fill(build(framework, "Attention", 8, 4, causal))
    theirs = torch.nn.MultiheadAttention(8, 4, batch_first=True).double()
    w = Weights.of_model(ours)
    with torch.no_grad():
        for name, mine in (("in_proj_weight", "weight"), ("in_proj_bias", "bias")):
            rows = [w(f"{part}.{mine}") for part in ("query", "key", "value")]
            getattr(theirs, name).copy_(torch.cat(rows))
        theirs.out_proj.weight.copy_(w("out.weight"))
        theirs.out_proj.bias.copy_(w("out.bias"))
    x = normal(2, 5, 8)
    tx = torch.from_numpy(x)
    mask = torch.ones(5, 5, dtype=torch.bool).triu(1) if causal else None
    near(run(framework, ours, x).y, theirs(tx, tx, tx, attn_mask=mask)[0].detach(), 1e-5)


@pytest.mark.parametrize("framework", BOTH)
def test_a_causal_token_sees_itself_and_earlier_ones_alone(framework):
    layer = fill(build(framework, "Attention", 4, 2, True))
    x = normal(1, 5, 4)
    before = run(framework, layer, x).y
    for t in range(5):
        moved = x.copy()
        moved[0, t] += 1
        changed = np.abs(run(framework, layer, moved).y - before)[0].max(1) > 1e-6
        assert changed.tolist() == [s >= t for s in range(5)]


@pytest.mark.parametrize("framework", BOTH)
def test_lstm(framework):
    layer = build(framework, "LSTM", 3, 4)
    check(framework, layer, lambda w, training, x: lstm(w, x), normal(2, 5, 3))


@pytest.mark.parametrize("framework", BOTH)
def test_lstm_equals_pytorch_s_own(framework):
    ours = fill(build(framework, "LSTM", 3, 4))
    theirs = torch.nn.LSTM(3, 4, batch_first=True).double()
    w = Weights.of_model(ours)
    with torch.no_grad():
        for name, p in theirs.named_parameters():
            mine = {"weight_ih_l0": "weight_ih", "weight_hh_l0": "weight_hh", "bias_ih_l0": "bias"}
            p.copy_(w(mine[name])) if name in mine else p.zero_()
    x = normal(2, 5, 3)
    near(run(framework, ours, x).y, theirs(torch.from_numpy(x))[0].detach(), 1e-5)


@pytest.mark.parametrize("framework", BOTH)
def test_a_fresh_lstm_step_by_hand(framework):
    # Zero weights: i = o = sigmoid(0), f = sigmoid(1) by Gers et al. 2000 and Jozefowicz et al.
    # 2015; a bias of 2 on the cell alone then gives c1 = 0.5 tanh 2, c2 = (0.7311 + 1) c1.
    layer = build(framework, "LSTM", 1, 1)
    for one in layer_weights(layer):
        bias = one.arrays["bias"].copy()
        assert bias.tolist() == [0, 1, 0, 0]
        one.assign("weight_ih", np.zeros_like(one.arrays["weight_ih"]))
        one.assign("weight_hh", np.zeros_like(one.arrays["weight_hh"]))
        one.assign("bias", bias + np.array([0, 0, 2, 0], bias.dtype))
    y = run(framework, layer, normal(1, 2, 1)).y.ravel()
    c = 0.5 * 0.9640275801
    np.testing.assert_allclose(y, 0.5 * np.tanh([c, 1.7310585786 * c]), rtol=1e-5)


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(("kernel", "dilation"), [(3, 1), (3, 4), (5, 2), (1, 1)])
def test_convolution_over_time(framework, kernel, dilation):
    layer = build(framework, "Conv1d", 2, 3, kernel, dilation)

    def oracle(w, training, x):
        """Yu and Koltun 2016, arXiv 1511.07122, eq. 2: the taps are ``dilation`` steps apart."""
        half, y = kernel // 2, 0
        for tap in range(kernel):
            shift = (tap - half) * dilation
            rolled = F.pad(x, (0, 0, max(0, -shift), max(0, shift)))
            rolled = rolled[:, max(0, shift) : max(0, shift) + x.shape[1]]
            y = y + rolled @ w("weight")[:, :, tap].T
        return y

    check(framework, layer, oracle, normal(2, 9, 2))


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize("shape", [(6, 3), (2, 5, 3)])
def test_batch_norm_of_vectors_and_sequences(framework, shape):
    layer = build(framework, "BatchNorm1d", 3)

    def oracle(w, training, x):
        return batch_norm(x.reshape(-1, 3), w, training).reshape(x.shape)

    x = normal(*shape)
    check(framework, layer, oracle, x)
    check(framework, layer, oracle, x, training=False)


@pytest.mark.parametrize("framework", BOTH)
def test_batch_norm_s_running_statistics(framework):
    # Algorithm 1, and 0.1 of the new batch: mean 2, variance 1 (biased), 4/3 (unbiased, n = 4).
    layer = build(framework, "BatchNorm1d", 1)
    run(framework, layer, np.array([[1.0], [1.0], [3.0], [3.0]]))
    arrays = weights.named_arrays(layer)
    mean, var = (next(a for k, a in arrays.items() if k.endswith(e)) for e in ("_mean", "_var"))
    variance = {"torch": 0.9 + 0.1 * 4 / 3, "tensorflow": 1.0}[framework]
    np.testing.assert_allclose([mean.item(), var.item()], [0.2, variance], rtol=1e-6)


@pytest.mark.parametrize("framework", BOTH)
def test_layer_norm(framework):
    layer = build(framework, "LayerNorm", 4)
    check(framework, layer, lambda w, training, x: layer_norm(x, w), normal(2, 3, 4))
    # eps is 1e-5: of (a, -a) with a^2 = 1e-5 the variance is 1e-5 too, and sqrt(2) is lost
    a = math.sqrt(1e-5)
    y = run(framework, build(framework, "LayerNorm", 2), np.array([[[a, -a]]])).y
    np.testing.assert_allclose(y[0, 0], [0.5**0.5, -(0.5**0.5)], rtol=1e-5)


@pytest.mark.parametrize("framework", BOTH)
def test_embedding_looks_up_rows(framework):
    layer = build(framework, "Embedding", 5, 3)
    tokens = np.array([[4, 0, 4], [1, 1, 2]])
    check(framework, layer, lambda w, training, t: w("weight")[t], tokens)


@pytest.mark.parametrize("framework", BOTH)
def test_positions(framework):
    # Vaswani et al. 2017, section 3.5: sin and cos of pos / 10000^(2 i / d), here sines first, then
    # cosines, all over sqrt(d / 2) so that their vector has length 1.
    d, x = 6, normal(2, 7, 6)
    y = run(framework, build(framework, "SinusoidalPositions", d), x).y - x
    for pos in range(7):
        for i in range(3):
            angle = pos / 10000 ** (2 * i / d)
            want = np.array([math.sin(angle), math.cos(angle)]) / math.sqrt(3)
            np.testing.assert_allclose(y[0, pos, [i, 3 + i]], want, atol=2e-6)
    np.testing.assert_allclose(y[0, 1, 0], 0.8414709848 / 1.7320508076, rtol=1e-5)  # sin 1
    np.testing.assert_allclose((y**2).sum(2), np.ones((2, 7)), rtol=1e-5)


@pytest.mark.parametrize("framework", BOTH)
def test_dense_layer(framework):
    check(framework, build(framework, "Dense", 3, 2), lambda w, t, x: dense(x, w), normal(4, 3))
