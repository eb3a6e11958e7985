"""Fixup against Zhang et al. 2019 (arXiv 1901.09321), section 3 and figure 1."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

from companion import weights

from .harness import BOTH, build, carry, check, conv, dense, normal


def fixup(option, out_channels, stride, residual=True):
    """Figure 1, right: bias, convolution, bias, ReLU, bias, convolution, times, sum, bias, ReLU."""

    def oracle(w, training, x):
        own = w.without("shortcut")
        y = conv(x + own("bias1.bias"), own("conv1.weight"), stride)
        y = torch.relu(y + own("bias2.bias")) + own("bias3.bias")
        y = conv(y, own("conv2.weight"))
        if residual:
            y = own("scale") * y + carry(w, x, option, out_channels, stride, training, norm=False)
        return torch.relu(y + own("activation.bias.bias"))

    return oracle


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(
    ("option", "came", "goes", "stride"),
    [("A", 4, 4, 1), ("A", 2, 4, 2), ("B", 2, 4, 2), ("C", 4, 4, 1)],
)
def test_fixup_block(framework, option, came, goes, stride):
    block = build(framework, "FixupBlock", came, goes, stride, option)
    check(framework, block, fixup(option, goes, stride), normal(2, came, 5, 4))


@pytest.mark.parametrize("framework", BOTH)
def test_fixup_network(framework):
    network = build(framework, "fixup_resnet", 8, 4, in_channels=2, num_classes=3)

    def oracle(w, training, x):
        x = torch.relu(conv(x, w("stem.conv.weight")))
        for stage in range(3):
            block = fixup("A", 4 * 2**stage, 1 if stage == 0 else 2)
            x = block(w.at("stages", str(stage), "0"), training, x)
        return dense(x.mean((2, 3)), w.at("head", "dense"))

    check(framework, network, oracle, normal(2, 2, 8, 8))


@pytest.mark.parametrize("framework", BOTH)
def test_fixup_start(framework):
    # Section 3: (1) the classifier and the last layer of each branch start at 0; (2) the others
    # at He's times L^(-1 / (2 m - 2)), with L branches of m = 2 layers: L^(-1/2); (3) biases at 0,
    # multipliers at 1. Depth 20 has L = 9 branches.
    arrays = weights.named_arrays(build(framework, "fixup_resnet", 20, 16, seed=0))
    first = []
    for name, a in arrays.items():
        if name.endswith("conv1.weight"):
            first.append(a.std() / np.sqrt(2 / (9 * a.shape[0])))
        elif name.endswith("scale"):
            assert (a == 1).all(), name
        elif name != "stem.conv.weight":
            assert (a == 0).all(), name
        else:
            assert a.std() == pytest.approx(np.sqrt(2 / (9 * 16)), rel=0.15)
    assert len(first) == 9
    assert np.mean(first) == pytest.approx(1 / 3, rel=0.02)


@pytest.mark.parametrize("framework", BOTH)
def test_fixup_scales_by_the_number_of_layers_in_a_branch(framework):
    # With m = 3 layers the exponent is -1/4: two Residuals of three dense layers each.
    def row(*layers):
        return torch.nn.Sequential(*layers) if framework == "torch" else keras.Sequential(layers)

    def branch():
        return row(*(build(framework, "Dense", 99, 99) for _ in range(3)))

    model = row(*(build(framework, "Residual", branch()) for _ in range(16)))
    if framework == "tensorflow":
        model.build((None, 99))
    weights.initialize(model, 0, "fixup")
    arrays = [a for k, a in weights.named_arrays(model).items() if k.endswith("weight")]
    factors = [a.std() * np.sqrt(99) for a in arrays]
    np.testing.assert_allclose(factors, [0.5, 0.5, 0] * 16, rtol=0.05)
