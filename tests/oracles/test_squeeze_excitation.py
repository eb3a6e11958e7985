"""Squeeze-and-excitation against Hu et al. 2018 (arXiv 1709.01507), eq. 2 to 5."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from companion import weights
from companion.weights.layer_weights import layer_weights

from .harness import BOTH, batch_norm, build, carry, check, conv, dense, normal


def gated(w, x):
    z = x.mean((2, 3))  # eq. 2
    s = torch.sigmoid(dense(torch.relu(dense(z, w.at("squeeze"))), w.at("excite")))  # eq. 3
    return s[:, :, None, None] * x  # eq. 4


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(
    ("channels", "options", "hidden"),
    [(32, {}, 2), (32, {"reduction": 8}, 4), (6, {"reduction": 2}, 3), (8, {}, 1)],
)
def test_the_gate(framework, channels, options, hidden):
    layer = build(framework, "SqueezeExcitation", channels, **options)
    assert weights.named_arrays(layer)["squeeze.weight"].shape == (hidden, channels)
    check(framework, layer, lambda w, training, x: gated(w, x), normal(3, channels, 3, 4))


@pytest.mark.parametrize("framework", BOTH)
def test_the_block_gates_its_branch_before_the_sum(framework):
    # Figure 3: scale, then +; the gate comes after the last norm and no ReLU is between.
    block = build(framework, "SEBottleneckBlock", 16, 32, 2)

    def oracle(w, training, x):
        b, y = w.at("branch"), x
        for i, stride in ((1, 1), (2, 2), (3, 1)):
            y = batch_norm(conv(y, b(f"conv{i}.weight"), stride), b.at(f"norm{i}"), training)
            y = torch.relu(y) if i < 3 else y
        gate = type(w)({n.split("branch.squeeze.", 1)[-1]: t for n, t in b.tensors.items()})
        return torch.relu(gated(gate, y) + carry(w, x, "B", 32, 2, training))

    check(framework, block, oracle, normal(3, 16, 4, 5))


@pytest.mark.parametrize("framework", BOTH)
def test_a_gate_by_hand(framework):
    # Two channels of means 1 and 3, one hidden unit of weights (1, 1) and bias -2: relu(2) = 2.
    # Excitation weights (1, -1), biases (0, 2): s = sigmoid(2), sigmoid(0) = 0.880797, 0.5.
    layer = build(framework, "SqueezeExcitation", 2)
    values = {
        "squeeze.weight": [[1.0, 1.0]],
        "squeeze.bias": [-2.0],
        "excite.weight": [[1.0], [-1.0]],
        "excite.bias": [0.0, 2.0],
    }
    for one in layer_weights(layer):
        for key, array in one.arrays.items():
            one.assign(key, np.asarray(values[f"{one.name}.{key}"], array.dtype))
    x = np.array([[[[0.0, 2.0]], [[3.0, 3.0]]]])
    y = check(framework, layer, lambda w, training, x: gated(w, x), x, filled=False).y
    want = [[[[0, 2 * 0.8807970779]], [[1.5, 1.5]]]]
    np.testing.assert_allclose(y, want, rtol=1e-6)


def test_the_network_has_the_parameters_that_the_paper_adds(undrawn):
    # Eq. 5: 2 / r times the sum over stages of N_s C_s^2, r = 16, which for ResNet-50 is about 2.5
    # million; biases of C + C / 16 numbers a block come on top of it.
    def count(name):
        arrays = weights.named_arrays(build("torch", name))
        return sum(a.size for k, a in arrays.items() if "running_" not in k)

    stages = ((3, 256), (4, 512), (6, 1024), (3, 2048))
    more = sum(n * c * c for n, c in stages) * 2 // 16
    assert more == 2_514_944
    biases = sum(n * (c + c // 16) for n, c in stages)
    # torchvision's ResNet-50 has 25,557,032, timm's seresnet50 28,088,024 parameters
    assert count("se_resnet50") == 25_557_032 + more + biases == 28_088_024
