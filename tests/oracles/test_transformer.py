"""Transformers against torch.nn's own, and against the papers of each norm and merge."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from companion import weights
from companion.weights.layer_weights import layer_weights

from .harness import BOTH, Weights, build, check, dense, fill, layer_norm, near, normal, run
from .test_depth_attention import pooled
from .test_hyper_connections import doubly_stochastic
from .test_sequence_layers import attention

TOKENS = np.random.default_rng(5).integers(0, 7, (2, 5))


def gelu(x):
    """Hendrycks and Gimpel 2016, arXiv 1606.08415, section 2: x Phi(x), exactly."""
    return 0.5 * x * (1 + torch.erf(x / math.sqrt(2)))


def feed_forward(w, x):
    """Vaswani et al. 2017, section 3.3, four times as wide inside, GELU instead of ReLU."""
    return dense(gelu(dense(x, w.at("dense1"))), w.at("dense2"))


def norms_of(w):
    """The layer norms of one sublayer: vectors named weight beside no matrix, by name."""
    return {
        n.rsplit(".", 1)[0]: Weights({k: t for k, t in w.tensors.items() if k.startswith(n[:-6])})
        for n, t in w.tensors.items()
        if n.endswith(".weight") and t.ndim == 1
    }


def sublayer(w, x, function, norm, depth):
    own = norms_of(w)
    within = [v for k, v in own.items() if ".branch." in f".{k}."]
    after = [v for k, v in own.items() if ".activation." in f".{k}."]
    if norm == "pre":  # Xiong et al. 2020, arXiv 2002.04745, table 1
        return x + function(w, layer_norm(x, within[0]))
    if norm == "post":  # Vaswani et al. 2017, section 3.1
        return layer_norm(x + function(w, x), after[0])
    if norm == "sandwich":  # Ding et al. 2021, arXiv 2105.13290, section 2.4
        return x + layer_norm(function(w, layer_norm(x, within[0])), within[1])
    if norm == "deepnorm":  # Wang et al. 2022, arXiv 2203.00555, figure 2: a = (2 N)^(1/4)
        return layer_norm(math.sqrt(math.sqrt(2 * depth)) * x + function(w, x), after[0])
    return x + function(w, x)


def block(w, x, norm, heads, causal, depth):
    def attend(v, y):
        return attention(v.at("branch"), y, heads, causal)

    x = sublayer(w.at("attention"), x, attend, norm, depth)
    return sublayer(w.at("mlp"), x, feed_forward, norm, depth)


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize("norm", ["pre", "post", "sandwich", "deepnorm", "none"])
def test_block(framework, norm):
    layer = build(framework, "TransformerBlock", 4, 2, norm, norm == "pre", 8)
    check(
        framework,
        layer,
        lambda w, training, x: block(w, x, norm, 2, norm == "pre", 8),
        normal(2, 3, 4),
    )


@pytest.mark.parametrize("framework", BOTH)
def test_deepnorm_s_factor_by_hand(framework):
    # arXiv 2203.00555, figure 2, decoder-only of N = 8: a = (2 * 8)^(1/4) = 2. A branch that gives
    # F(x) = (0, 3) for any x: LN(2 x + F) of x = (1, 0) is LN(2, 3) = (-1, 1) but for eps, and with
    # a = 4, the square root, it would be LN(4, 3) = (1, -1).
    branch = build(framework, "Dense", 2, 2)
    for one in layer_weights(branch):
        one.assign("weight", np.zeros((2, 2), np.float32))
        one.assign("bias", np.array([0.0, 3.0], np.float32))
    layer = build(framework, "sublayer", branch, 2, "deepnorm", 8)
    y = run(framework, layer, np.array([[[1.0, 0.0]]])).y
    np.testing.assert_allclose(y, [[[-1, 1]]], rtol=1e-4)


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize("norm_first", [True, False])
def test_block_equals_pytorch_s_encoder_layer(framework, norm_first):
    ours = fill(build(framework, "TransformerBlock", 8, 2, "pre" if norm_first else "post", True))
    theirs = torch.nn.TransformerEncoderLayer(
        8, 2, 32, 0.0, "gelu", batch_first=True, norm_first=norm_first, dtype=torch.float64
    )
    w = Weights.of_model(ours)
    first, second = (next(iter(norms_of(w.at(part)).values())) for part in ("attention", "mlp"))
    with torch.no_grad():
        for key in ("weight", "bias"):
            rows = [w(f"{part}.{key}") for part in ("query", "key", "value")]
            getattr(theirs.self_attn, f"in_proj_{key}").copy_(torch.cat(rows))
            for mine, module in (
                (w(f"out.{key}"), theirs.self_attn.out_proj),
                (w(f"dense1.{key}"), theirs.linear1),
                (w(f"dense2.{key}"), theirs.linear2),
                (first(key), theirs.norm1),
                (second(key), theirs.norm2),
            ):
                getattr(module, key).copy_(mine)
    x = normal(2, 5, 8)
    mask = torch.nn.Transformer.generate_square_subsequent_mask(5, dtype=torch.float64)
    want = theirs.train()(torch.from_numpy(x), src_mask=mask, is_causal=True)
    near(run(framework, ours, x).y, want.detach(), 1e-5)


def test_gelu_is_not_the_tanh_approximation():
    for framework in BOTH:
        layer = build(framework, "feed_forward", 1)
        fill(layer)
        check(framework, layer, lambda w, t, x: feed_forward(w, x), normal(4, 3, 1), filled=False)
    x = torch.tensor(1.0, dtype=torch.float64)
    assert gelu(x).item() == pytest.approx(0.8413447461, abs=1e-9)  # Phi(1); by tanh 0.841192


def network(framework, merge="add", norm="pre", depth=2, **options):
    return build(framework, "transformer", 7, depth, 4, 2, norm, merge, **options)


def embedded(w, tokens):
    """Section 3.4 and 3.5; waves over sqrt(d / 2)."""
    x = w("embedding.weight")[tokens]
    t = torch.arange(x.shape[1], dtype=torch.float64)[:, None]
    angles = t / 10000 ** (torch.arange(2, dtype=torch.float64) * 2 / 4)
    return x + torch.cat([angles.sin(), angles.cos()], 1) / math.sqrt(2)


def logits(w, x):
    end = Weights({n: t for n, t in w.tensors.items() if n.split(".")[0] in ("norm", "dense")})
    return dense(layer_norm(x, end.at("norm")), end.at("dense"))


def merged(merge, w, x, function, index, total):
    own = {n: t for n, t in w.tensors.items() if ".branch." in f".{n}."}
    inside = norms_of(Weights(own))
    (norm,) = inside.values()

    def branch(v):
        return function(w, layer_norm(v, norm))

    if merge == "rezero":  # arXiv 2003.04887, eq. 1
        return x + w("scale") * branch(x)
    if merge == "layer_scale":  # arXiv 2103.17239
        return x + w("scale") * branch(x)
    if merge == "stochastic_depth":  # arXiv 1603.09382, eq. 4 and 5, p_L = 0.5
        return x + (1 - (index + 1) / total * 0.5) * branch(x)
    if merge == "highway":  # arXiv 1505.00387, eq. 3
        gate = torch.sigmoid(x @ w("merge.weight") + w("merge.bias"))
        return gate * branch(x) + (1 - gate) * x
    if merge == "depth_attention":
        return torch.cat([x, branch(pooled(w("query"), x))[:, :, None]], 2)
    names = [n for n in w.tensors if n.rsplit(".", 1)[-1] in ("static", "scale", "dynamic")]
    ours = Weights({n: w.tensors[n] for n in names})
    read, write = ours.at("read"), ours.at("write")
    rest = [n for n in names if n not in read.tensors and n not in write.tensors]
    mix = Weights({n: w.tensors[n] for n in rest})

    def weight(v):
        if merge == "hyper":
            normed = torch.nn.functional.layer_norm(x, x.shape[-1:])
            return v("static") + v("scale") * torch.tanh(normed @ v("dynamic"))
        flat = x.flatten(2)
        flat = flat / torch.sqrt((flat**2).mean(-1, keepdim=True) + 1e-6)
        return v("static") + v("scale") * (flat @ v("dynamic")).unflatten(2, v("static").shape)

    reads, mixes, writes = weight(read), weight(mix), weight(write)
    if merge == "manifold":
        reads, writes = torch.sigmoid(reads), 2 * torch.sigmoid(writes)
        mixes = doubly_stochastic(mixes)
    y = branch((reads * x).sum(2))
    return mixes.transpose(2, 3) @ x + writes * y[:, :, None]


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(
    "merge",
    [
        "add",
        "rezero",
        "layer_scale",
        "highway",
        "stochastic_depth",
        "hyper",
        "manifold",
        "depth_attention",
    ],
)
def test_network_with_each_merge(framework, merge):
    depth = 2 if framework == "torch" else 1  # Keras takes its time
    model = network(framework, merge, depth=depth)

    def attend(v, y):
        return attention(v.at("branch"), y, 2, True)

    def oracle(w, training, tokens):
        x = embedded(w, tokens)
        if merge in ("hyper", "manifold"):
            x = torch.stack([x] * 4, 2)
        if merge == "depth_attention":
            x = x[:, :, None]
        for i in range(depth):
            own = w.at("blocks", str(i))
            if merge == "add":
                x = block(own, x, "pre", 2, True, depth)
            else:
                x = merged(merge, own.at("attention"), x, attend, 2 * i, 2 * depth)
                x = merged(merge, own.at("mlp"), x, feed_forward, 2 * i + 1, 2 * depth)
        if merge in ("hyper", "manifold"):
            x = x.mean(2)
        if merge == "depth_attention":
            last = [t for n, t in w.tensors.items() if n.endswith("query") and "blocks" not in n]
            (query,) = last
            x = pooled(query, x)
        return logits(w, x)

    # the positions are made in float32
    slack = 1e4 if framework == "torch" else 4
    check(framework, model, oracle, TOKENS, training=False, slack=slack)


@pytest.mark.parametrize("framework", BOTH)
def test_network_without_the_mask_and_with_deepnorm(framework):
    model = network(framework, norm="deepnorm", depth=2, causal=False)

    def oracle(w, training, tokens):
        x = embedded(w, tokens)
        for i in range(2):
            x = block(w.at("blocks", str(i)), x, "deepnorm", 2, False, 2)
        return logits(w, x)

    slack = 1e4 if framework == "torch" else 4
    check(framework, model, oracle, TOKENS, slack=slack)


@pytest.mark.parametrize("framework", BOTH)
def test_deepnorm_s_start(framework):
    # arXiv 2203.00555, figure 2, decoder-only: b = (8 N)^(-1/4) for the value and output
    # projections and the feed-forward layers; N = 2 gives 1 / 2. Query and key keep gain 1.
    ours = weights.named_arrays(network(framework, norm="deepnorm", depth=2, seed=3))
    plain = weights.named_arrays(network(framework, norm="post", depth=2, seed=3))
    assert ours.keys() == plain.keys()
    scaled = 0
    for name, a in ours.items():
        if name.endswith("weight") and a.ndim == 2:
            small = name.split(".")[-2] in ("value", "out", "dense1", "dense2")
            np.testing.assert_allclose(a, (0.5 if small else 1) * plain[name], rtol=1e-6)
            scaled += small
    assert scaled == 8
    wide = build("torch", "transformer", 7, 2, 64, 2, "deepnorm", seed=0)
    for name, a in weights.named_arrays(wide).items():
        if name.endswith(("value.weight", "out.weight")):
            assert a.std() == pytest.approx(0.5 / 8, rel=0.05)  # b sqrt(1 / 64)
        if name.endswith(("query.weight", "key.weight")):
            assert a.std() == pytest.approx(1 / 8, rel=0.05)


@pytest.mark.parametrize("framework", ["torch"])
def test_each_merge_starts_where_its_paper_does(framework):
    starts = {"rezero": 0.0, "layer_scale": 0.1}  # CaiT, section 2: 0.1 up to 18 layers
    for merge, value in starts.items():
        arrays = weights.named_arrays(network(framework, merge))
        found = [a for k, a in arrays.items() if k.endswith("scale")]
        assert len(found) == 4 and all(np.allclose(a, value) for a in found)
    arrays = weights.named_arrays(network(framework, "highway"))
    found = [a for k, a in arrays.items() if k.endswith("merge.bias")]
    assert len(found) == 4 and all((a == -2).all() for a in found)
    arrays = weights.named_arrays(network(framework, "hyper", depth=3))
    read = [a for k, a in arrays.items() if ".read." in k and k.endswith("static")]
    assert [int(a.argmax()) for a in read] == [0, 1, 2, 3, 0, 1]  # index mod n, over all sublayers
