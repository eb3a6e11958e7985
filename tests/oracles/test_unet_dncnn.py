"""U-Net (arXiv 1505.04597) and DnCNN (arXiv 1608.03981) against networks written out anew."""

from __future__ import annotations

import pytest
import torch

from companion import weights

from .harness import BOTH, Weights, batch_norm, build, check, conv, normal
from .test_blocks import basic


def doubled(x):
    """Each pixel becomes two by two of its kind."""
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(("residual", "long_skips"), [(True, True), (True, False), (False, True)])
def test_unet(framework, residual, long_skips):
    levels = 2 if framework == "torch" else 1  # Keras takes its time
    network = build(
        framework,
        "residual_unet",
        2,
        3,
        levels=levels,
        channels=2,
        residual=residual,
        long_skips=long_skips,
    )

    def under(w, prefix):
        return Weights(
            {n.removeprefix(prefix): t for n, t in w.tensors.items() if n.startswith(prefix)}
        )

    def level(w, left, x, training):
        width = x.shape[1]
        if left == 0:
            return basic("B", width, 1, residual)(under(w, "0."), training, x)
        x = basic("B", width, 1, residual)(under(w, "left.0."), training, x)
        below = under(w, "across.branch.")
        y = basic("B", 2 * width, 2, residual)(under(below, "down."), training, x)
        y = doubled(level(under(below, "level."), left - 1, y, training))
        y = torch.relu(
            batch_norm(conv(y, below.tensors["conv.weight"]), under(below, "norm."), training)
        )
        y = torch.cat([x, y], 1) if long_skips else y
        return basic("B", width, 1, residual)(under(w, "right.0."), training, y)

    def oracle(w, training, x):
        x = conv(x, w("stem.weight"))
        x = torch.relu(batch_norm(x, under(w, "norm."), training))
        x = level(under(w, "level."), levels, x, training)
        return conv(x, w.tensors["conv.weight"])

    check(framework, network, oracle, normal(2, 2, 8, 12), training=False)


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(("norm", "residual"), [(True, True), (False, True), (True, False)])
def test_dncnn(framework, norm, residual):
    # Section III: Conv+ReLU, D - 2 times Conv+BN+ReLU, Conv; R(y) is the noise and x = y - R(y).
    network = build(framework, "dncnn", 4, 3, 2, norm, residual)

    def oracle(w, training, x):
        y = torch.relu(conv(x, w("conv1.weight")))
        for i in (2, 3):
            y = conv(y, w(f"conv{i}.weight"))
            y = torch.relu(batch_norm(y, w.at(f"norm{i}"), training) if norm else y)
        y = conv(y, w("conv4.weight"))
        return x - y if residual else y

    check(framework, network, oracle, normal(2, 2, 5, 6), training=False)
    check(framework, network, oracle, normal(3, 2, 5, 6))


def test_dncnn_s_size():
    # DnCNN-S: 17 layers of 64 maps; the paper's authors and KAIR count 0.56 million
    arrays = weights.named_arrays(build("torch", "dncnn"))
    count = sum(a.size for k, a in arrays.items() if "running_" not in k)
    assert count == 2 * 9 * 64 + 15 * (9 * 64 * 64 + 2 * 64) == 556_032
