"""Pre-activation blocks against He et al. 2016 (arXiv 1603.05027), figure 1b and 4e."""

from __future__ import annotations

import pytest
import torch

from companion import weights

from .harness import ALL, BOTH, batch_norm, build, carry, check, conv, normal

IDENTITY = [("A", 4, 4, 1), ("B", 4, 4, 1), ("A", 4, 8, 2), ("A", 4, 4, 2)]
PROJECTED = [("B", 4, 8, 1), ("B", 4, 8, 2), ("B", 4, 4, 2), ("C", 4, 4, 1), ("C", 4, 8, 2)]


def preactivated(w, number, x, training):
    return torch.relu(batch_norm(x, w.at(f"norm{number}"), training))


def block_of(option, out_channels, stride, kernels, projects, residual=True):
    """BN, ReLU, convolution, as often as there are kernels; nothing after the sum.

    Where the shortcut is a projection it reads what the first BN and ReLU made, as in the authors'
    code, where the shortcut of a block whose shape changes starts behind them.
    """

    def oracle(w, training, x):
        own = w.without("shortcut")
        u = y = preactivated(own, 1, x, training)
        for i in range(1, kernels + 1):
            if i > 1:
                y = preactivated(own, i, y, training)
            strided = 1 if kernels == 2 else 2
            y = conv(y, own(f"conv{i}.weight"), stride if i == strided else 1)
        if not residual:
            return y
        return y + carry(w, u if projects else x, option, out_channels, stride, training, False)

    return oracle


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(("kind", "kernels"), [("Block", 2), ("BottleneckBlock", 3)])
@pytest.mark.parametrize(("option", "came", "goes", "stride"), IDENTITY)
def test_an_identity_or_padded_shortcut_carries_the_raw_stream(
    framework, kind, kernels, option, came, goes, stride
):
    # Eq. 7: x_{l+1} = x_l + F(f(x_l))
    block = build(framework, f"PreActivation{kind}", came, goes, stride, option)
    oracle = block_of(option, goes, stride, kernels, projects=False)
    check(framework, block, oracle, normal(3, came, 4, 5))


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(("kind", "kernels"), [("Block", 2), ("BottleneckBlock", 3)])
@pytest.mark.parametrize(("option", "came", "goes", "stride"), PROJECTED)
def test_a_projection_reads_what_the_first_norm_and_relu_made(
    framework, kind, kernels, option, came, goes, stride
):
    block = build(framework, f"PreActivation{kind}", came, goes, stride, option)
    oracle = block_of(option, goes, stride, kernels, projects=True)
    check(framework, block, oracle, normal(3, came, 4, 5))


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(("kind", "kernels"), [("Block", 2), ("BottleneckBlock", 3)])
def test_the_plain_control_is_the_branch_alone(framework, kind, kernels):
    block = build(framework, f"PreActivation{kind}", 4, 8, 2, "B", residual=False)
    oracle = block_of("B", 8, 2, kernels, projects=False, residual=False)
    check(framework, block, oracle, normal(3, 4, 4, 5), training=False)


@pytest.mark.parametrize("framework", BOTH)
def test_the_network_ends_its_stages_with_norm_and_relu(framework):
    # Section 4: after the last block an extra activation; and none in the stem.
    network = build(framework, "cifar_preact_resnet", 8, 4, in_channels=2, num_classes=3)

    def oracle(w, training, x):
        x = conv(x, w("stem.conv.weight"))
        for stage in range(3):
            goes, stride = 4 * 2**stage, 1 if stage == 0 else 2
            block = block_of("A", goes, stride, 2, projects=False)
            x = block(w.at("stages", str(stage), "0"), training, x)
        x = torch.relu(batch_norm(x, w.at("head", "norm"), training)).mean((2, 3))
        return x @ w("dense.weight").T + w("dense.bias")

    check(framework, network, oracle, normal(4, 2, 8, 8), training=False)


def test_resnet50_v2_has_the_published_number_of_weights(undrawn):
    # keras.applications.ResNet50V2: 25,613,800, of which 45,440 are statistics of its norms
    arrays = weights.named_arrays(build("torch", "resnet50_v2"))
    assert sum(a.size for a in arrays.values()) == 25_613_800
    assert sum(a.size for k, a in arrays.items() if "running_" in k) == 45_440
