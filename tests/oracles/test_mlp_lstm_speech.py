"""Perceptrons, stacked LSTMs, and the network for speech."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from companion import weights
from companion.weights.layer_weights import layer_weights

from .harness import BOTH, Weights, batch_norm, build, check, dense, fill, layer_norm, normal, run
from .test_sequence_layers import lstm


def mlp_block(norm, merge, residual=True):
    def oracle(w, training, x):
        b, y = w.at("branch"), x
        for i in (1, 2):
            if norm == "batch":
                y = batch_norm(y, b.at(f"norm{i}"), training)
            if norm == "layer":
                y = layer_norm(y, b.at(f"norm{i}"))
            y = dense(torch.relu(y), b.at(f"dense{i}"))
        if not residual:
            return y
        if merge in ("rezero", "layer_scale"):
            y = w("scale") * y
        if merge == "highway":
            gate = torch.sigmoid(x @ w("merge.weight") + w("merge.bias"))
            return gate * y + (1 - gate) * x
        return x + y

    return oracle


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(
    ("norm", "merge"),
    [
        ("none", "add"),
        ("batch", "rezero"),
        ("layer", "highway"),
        ("none", "layer_scale"),
    ],
)
def test_mlp_block(framework, norm, merge):
    block = build(framework, "MLPBlock", 4, norm, merge)
    check(framework, block, mlp_block(norm, merge), normal(6, 4))


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize("residual", [True, False])
def test_residual_mlp(framework, residual):
    network = build(framework, "residual_mlp", 3, 2, 2, 4, "layer", "add", residual)

    def oracle(w, training, x):
        x = dense(x, w.at("stem"))
        for i in range(2):
            x = mlp_block("layer", "add", residual)(w.at("blocks", str(i)), training, x)
        end = Weights({n: t for n, t in w.tensors.items() if n.startswith("dense.")})
        return dense(torch.relu(x), end)

    check(framework, network, oracle, normal(5, 3))


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize("residual", [True, False])
def test_residual_lstm(framework, residual):
    # Wu et al. 2016, arXiv 1609.08144, eq. 6: the input of a layer is added to its output.
    network = build(framework, "residual_lstm", 5, 2, 3, residual)

    def oracle(w, training, tokens):
        x = w("embedding.weight")[tokens]
        for i in range(2):
            y = lstm(w.at("layers", str(i)), x)
            x = x + y if residual else y
        return dense(x, w.at("dense"))

    check(framework, network, oracle, np.random.default_rng(0).integers(0, 5, (2, 4)))


def temporal(w, x, dilation, training, residual=True):
    b, y = w.at("branch"), x
    for i in (1, 2):
        kernel = b(f"conv{i}.weight")
        y = torch.nn.functional.conv1d(
            y.transpose(1, 2), kernel, padding=dilation, dilation=dilation
        )
        y = batch_norm(y, b.at(f"norm{i}"), training).transpose(1, 2)
        y = torch.relu(y) if i == 1 else y
    return torch.relu(x + y if residual else y)


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(("dilation", "residual"), [(1, True), (3, True), (2, False)])
def test_temporal_block(framework, dilation, residual):
    block = build(framework, "TemporalBlock", 3, dilation, residual)
    check(
        framework,
        block,
        lambda w, training, x: temporal(w, x, dilation, training, residual),
        normal(2, 9, 3),
    )


@pytest.mark.parametrize("framework", BOTH)
def test_speech_network(framework):
    network = build(framework, "speech_resnet", 9, 2, 3, 4)

    def oracle(w, training, x):
        y = torch.nn.functional.conv1d(x.transpose(1, 2), w("stem.weight"), padding=1)
        own = Weights({n: t for n, t in w.tensors.items() if n.startswith("norm.")})
        x = torch.relu(batch_norm(y, own, training)).transpose(1, 2)
        for i, dilation in enumerate((1, 2, 4, 1)):
            x = temporal(w.at("blocks", str(i)), x, dilation, training)
        return dense(x.mean(1), w.at("dense"))

    check(framework, network, oracle, normal(2, 12, 2), training=False)


@pytest.mark.parametrize(
    ("framework", "depth", "reach"),
    [
        *(("torch", *case) for case in ((3, 3), (5, 7), (7, 15), (9, 17), (13, 29))),
        ("tensorflow", 9, 17),
    ],
)
def test_receptive_field_of_the_speech_network(framework, depth, reach):
    # A kernel of 3 dilated by d reaches d steps to each side: 1 in the stem, then twice 1, 2, 4, 1,
    # 2, 4, ... All weights are positive, so that nothing that is reached is lost; what is before
    # the pooling is looked at.
    network = build(framework, "speech_resnet", depth, 1, 2, 1)
    for layer in layer_weights(network):
        if layer.kind == "conv":
            layer.assign("weight", np.ones_like(layer.arrays["weight"]))
    steps = 71
    x = np.zeros((2, steps, 1), np.float32)
    x[1, 35] = 1

    if framework == "torch":
        y = torch.from_numpy(x)
        network.eval()
        for name in ("stem", "norm", "relu", "blocks"):
            y = network.get_submodule(name)(y)
        y = y.detach().numpy()
    else:
        y = x
        for layer in network.layers:
            if layer.name in ("stem", "norm", "relu", "blocks"):
                y = layer(y, training=False)
        y = np.asarray(y)
    moved = np.flatnonzero(np.abs(y[1] - y[0]).max(1) > 1e-9) - 35
    assert moved.tolist() == list(range(-reach, reach + 1))


@pytest.mark.parametrize("framework", BOTH)
def test_numbers_of_parameters(framework):
    # LSTM: 4 (in C + C C + C); the embedding V C; the classifier C V + V
    arrays = weights.named_arrays(build(framework, "residual_lstm", 11, 3, 8))
    assert sum(a.size for a in arrays.values()) == 3 * 4 * (64 + 64 + 8) + 11 * 8 + 8 * 11 + 11
    model = fill(build(framework, "residual_mlp", 3, 2, 2, 4))
    assert run(framework, model, normal(5, 3)).y.shape == (5, 2)
    assert sum(a.size for a in weights.named_arrays(model).values()) == 16 + 2 * 2 * 20 + 10


@pytest.mark.parametrize("framework", BOTH)
def test_a_temporal_block_reads_neighbours_unless_it_is_told_to(framework):
    # Two convolutions of kernel 3 and dilation 1 reach two steps to either side.
    layer = fill(build(framework, "TemporalBlock", 4))
    x = normal(1, 9, 4)
    moved = x.copy()
    moved[0, 4] += 1

    def out(values):  # by running statistics: a batch's own would mix all steps
        return run(framework, layer, values, training=False).y

    differs = np.abs(out(moved) - out(x)).max((0, 2))
    assert np.flatnonzero(differs > 1e-6).tolist() == [2, 3, 4, 5, 6]
