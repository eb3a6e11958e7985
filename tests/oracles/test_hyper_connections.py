"""Hyper-connections (arXiv 2409.19606) and manifold-constrained ones (arXiv 2512.24880)."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from companion.weights.layer_weights import layer_weights

from .harness import ALL, BOTH, Weights, build, check, dense, fill, near, normal, run

N, T, S, C = 2, 3, 3, 4


def branch(framework):
    """A dense layer without symmetries; the reference has none for tokens, so a ReLU there."""
    return build(framework, "ReLU") if framework == "reference" else build(framework, "Dense", C, C)


def parts(w):
    """Split the weights: for reading, for mixing, for writing, and the branch's own."""
    own = {n: t for n, t in w.tensors.items() if n.rsplit(".", 1)[-1] in ("weight", "bias")}
    ours = Weights({n: t for n, t in w.tensors.items() if n not in own})
    read, write = ours.at("read"), ours.at("write")
    mix = Weights(
        {n: t for n, t in ours.tensors.items() if n not in {**read.tensors, **write.tensors}}
    )
    return read, mix, write, Weights(own)


def around(framework, w, read, mix, write, x):
    """Eq. 2 to 5: the layer reads H^T A_m; the streams become B^T T(...) + A_r^T H."""
    vector = torch.einsum("ntsk,ntsc->ntc", read, x)
    y = torch.relu(vector) if framework == "reference" else dense(vector, w)
    return torch.einsum("ntji,ntjc->ntic", mix, x) + write * y[:, :, None]


def hyper(framework):
    def weight(w, x):
        """Eq. 10 to 13: static + s tanh(norm(H) W)."""
        normed = (x - x.mean(-1, keepdim=True)) / torch.sqrt(x.var(-1, correction=0) + 1e-5)[
            ..., None
        ]
        return w("static") + w("scale") * torch.tanh(normed @ w("dynamic"))

    def oracle(w, training, x):
        read, mix, write, own = parts(w)
        return around(framework, own, weight(read, x), weight(mix, x), weight(write, x), x)

    return oracle


def doubly_stochastic(logits, iterations=20):
    """Sinkhorn and Knopp 1967, plainly: columns, then rows, of the exponentials, in turn."""
    m = logits.exp()
    for _ in range(iterations):
        m = m / m.sum(-2, keepdim=True)
        m = m / m.sum(-1, keepdim=True)
    return m


def manifold(framework):
    def weight(w, x):
        """Section 4.2: all streams in one vector, RMSNorm, a linear map, times a, plus b."""
        flat = x.reshape(*x.shape[:2], -1)
        flat = flat / torch.sqrt((flat**2).mean(-1, keepdim=True) + 1e-6)
        moved = (flat @ w("dynamic")).reshape(*x.shape[:2], *w("static").shape)
        return w("static") + w("scale") * moved

    def oracle(w, training, x):
        read, mix, write, own = parts(w)
        return around(
            framework,
            own,
            torch.sigmoid(weight(read, x)),
            doubly_stochastic(weight(mix, x)),
            2 * torch.sigmoid(weight(write, x)),
            x,
        )

    return oracle


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(("kind", "oracle"), [("", hyper), ("Manifold", manifold)])
def test_read_mix_write(framework, kind, oracle):
    block = build(framework, f"{kind}HyperConnection", branch(framework), C, S)
    check(framework, block, oracle(framework), normal(N, T, S, C), streams=True)


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize("index", [0, 1, 4])
def test_hyper_connections_start_as_pre_norm_residuals(framework, index):
    # Eq. 14: B = 1, A_m = column (index mod n) of the identity, A_r = the identity.
    block = build(framework, "HyperConnection", branch(framework), C, S, index)
    for layer in layer_weights(block):
        if layer.kind == "own":
            assert layer.arrays["scale"].tolist() == pytest.approx([0.01])  # section 3: small
            assert (layer.arrays["dynamic"] == 0).all()
    w = Weights.of_model(block)
    read, mix, write, own = parts(w)
    assert read("static").detach()[:, 0].tolist() == np.eye(S)[index % S].tolist()
    assert mix("static").detach().tolist() == np.eye(S).tolist()
    assert write("static").detach().tolist() == [[1.0]] * S
    x = normal(N, T, S, C)
    got = run(framework, block, x, streams=True).y
    vector = torch.from_numpy(x[:, :, index % S])
    y = torch.relu(vector) if framework == "reference" else dense(vector, own)
    near(got, x + y.detach().numpy()[:, :, None], 1e-5)


@pytest.mark.parametrize("framework", ALL)
def test_manifold_hyper_connections_start_near_plain_addition(framework):
    # Reads 1 / n of each stream, writes 2 sigmoid(0) = 1, mixes near the identity.
    block = build(framework, "ManifoldHyperConnection", branch(framework), C, 4)
    read, mix, write, own = parts(Weights.of_model(block))
    near(torch.sigmoid(read("static")).detach(), np.full((4, 1), 0.25), 1e-6)
    near(2 * torch.sigmoid(write("static")).detach(), np.ones((4, 1)), 1e-6)
    kept = np.exp(4) / (np.exp(4) + 3)  # what exp(4 I) leaves on its diagonal: 0.948
    near(doubly_stochastic(mix("static")).diagonal().detach(), [kept] * 4, 1e-6)
    equal = np.repeat(normal(N, T, 1, C), 4, axis=2)
    vector = torch.from_numpy(equal[:, :, 0])
    y = torch.relu(vector) if framework == "reference" else dense(vector, own)
    near(run(framework, block, equal, streams=True).y, equal + y.detach().numpy()[:, :, None], 1e-5)


@pytest.mark.parametrize("framework", ALL)
def test_sinkhorn(framework):
    logits = normal(2, 4, 4)
    if framework == "reference":
        layer = build(framework, "Sinkhorn")
        got, once = layer.forward(logits), layer.forward(logits, 1)
    else:
        convert = torch.from_numpy if framework == "torch" else np.asarray
        got, once = (
            np.asarray(build(framework, "sinkhorn", convert(logits), *n)) for n in ((), (1,))
        )
    near(got, doubly_stochastic(torch.from_numpy(logits)), 1e-6)
    near(got.sum(-1), np.ones((2, 4)), 1e-6)
    near(got.sum(-2), np.ones((2, 4)), 1e-3)
    near(once, doubly_stochastic(torch.from_numpy(logits), 1), 1e-6)
    # [[2, 1], [1, 1]]: columns make [[2/3, 1/2], [1/3, 1/2]], rows [[4/7, 3/7], [2/5, 3/5]]
    two = np.log([[[2.0, 1.0], [1.0, 1.0]]])
    if framework == "reference":
        once = build(framework, "Sinkhorn").forward(two, 1)
    else:
        once = np.asarray(build(framework, "sinkhorn", convert(two), 1))
    near(once, [[[4 / 7, 3 / 7], [2 / 5, 3 / 5]]], 1e-6)


@pytest.mark.parametrize("framework", BOTH)
def test_expand_copies_and_reduce_takes_the_mean(framework):
    x = normal(N, T, C)
    wide = run(framework, build(framework, "ExpandStreams", S), x, streams=True).y
    near(wide, np.stack([x] * S, 2), 1e-6)
    streams = normal(N, T, S, C)
    reduced = run(framework, build(framework, "ReduceStreams"), streams, streams=True).y
    near(reduced, streams.mean(2), 1e-6)


def test_hyper_connections_equal_the_published_package():
    theirs_package = pytest.importorskip("hyper_connections", exc_type=ImportError)
    linear = torch.nn.Linear(C, C)
    ours = fill(build("torch", "HyperConnection", linear, C, S, 1)).double()
    theirs = theirs_package.HyperConnections(S, dim=C, branch=linear, layer_index=1).double()
    read, mix, write, _ = parts(Weights.of_model(ours))
    with torch.no_grad():
        theirs.static_alpha.copy_(torch.cat([read("static"), mix("static")], 1))
        theirs.dynamic_alpha_fn.copy_(torch.cat([read("dynamic"), mix("dynamic")], 1))
        theirs.static_beta.copy_(write("static")[:, 0])
        theirs.dynamic_beta_fn.copy_(write("dynamic")[:, 0])
        # theirs has one scale for reading and mixing, and an RMS norm that learns
        for name, t in ours.named_parameters():
            if name.endswith("scale"):
                t.fill_(0.37)
        theirs.dynamic_alpha_scale.fill_(0.37)
        theirs.dynamic_beta_scale.fill_(0.37)
    x = normal(N, T, S, C)
    x = (x - x.mean(-1, keepdims=True)) / x.std(-1, keepdims=True)  # both norms leave it alike
    flat = torch.from_numpy(x.transpose(0, 2, 1, 3).reshape(N * S, T, C))  # theirs: (b s) t c
    got = theirs(flat).reshape(N, S, T, C).permute(0, 2, 1, 3)
    near(ours(torch.from_numpy(x)).detach(), got.detach(), 1e-4)
