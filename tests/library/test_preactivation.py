"""Norm and ReLU before the convolutions: three implementations, and what a projection reads."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import companion.reference as ref
import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from tests.library.harness import blocks_agree, blocks_are_saved_whole, numbers

KINDS = ["PreActivationBlock", "PreActivationBottleneckBlock"]
BLOCKS = [
    *((name, (8, 16, 2), {"shortcut": option}) for name in KINDS for option in "ABC"),
    *((name, (8, 8), {"residual": False}) for name in KINDS),
]
SAVED = [
    ("PreActivationBottleneckBlock", (8, 16, 2), {"shortcut": "B"}),
    ("PreActivationBlock", (8, 8), {"residual": False}),
]
test_blocks_agree = blocks_agree(BLOCKS)
test_keras_blocks_are_saved_whole = blocks_are_saved_whole(SAVED)


@pytest.mark.parametrize("name", ["PreActivationBlock", "PreActivationBottleneckBlock"])
@pytest.mark.parametrize("option", "ABC")
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("size", [6, 7])
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("residual", [True, False])
def test_pre_activation_blocks_equal_pytorch(name, option, stride, size, training, residual):
    """In float64, to 1e-9; above PyTorch is compared with Keras in float32."""
    options = {"shortcut": option, "residual": residual}
    here = getattr(cp, name)(4, 8, stride, **options).double().train(training)
    there = getattr(ref, name)(4, 8, stride, **options)
    rng = np.random.default_rng(0)
    for p in here.parameters():
        p.data += torch.from_numpy(rng.normal(0, 0.2, p.shape))
    weights.transfer(here, there)
    x = torch.from_numpy(rng.normal(size=(3, 4, size, size))).requires_grad_()
    y = here(x)
    dy = rng.normal(size=tuple(y.shape))
    y.backward(torch.from_numpy(dy))
    out = there.forward(x.detach().numpy(), training)
    np.testing.assert_allclose(out, y.detach().numpy(), atol=1e-9)
    np.testing.assert_allclose(there.backward(dy), x.grad.numpy(), atol=1e-9)
    layers = dict(there.named_layers())
    for name, p in here.named_parameters():
        layer, key = name.rsplit(".", 1)
        np.testing.assert_allclose(layers[layer].grads[key], p.grad.numpy(), atol=1e-9)


def test_a_projection_shares_the_first_norm_and_relu():
    block = ct.PreActivationBlock(4, 8, 2, "B")
    x = numbers((2, 6, 8, 4))
    y = block(x)
    names = [layer.name for layer in block.preactivation.layers]
    assert names == ["norm1", "relu1"] and block.branch.layers[0].name == "conv1"
    u = block.preactivation(x)
    np.testing.assert_allclose(y, block.shortcut(u) + block.branch(u), rtol=1e-5, atol=1e-6)
    raw = ct.PreActivationBlock(4, 8, 2, "A")
    assert raw.branch.layers[0].name == "norm1"
    np.testing.assert_allclose(raw(x), raw.shortcut(x) + raw.branch(x), rtol=1e-5, atol=1e-6)
    first, second = ct.resnet50_v2(seed=0).get_layer("stages").layers[0].layers[:2]
    (first,) = first.layers
    assert [layer.name for layer in first.preactivation.layers] == ["norm", "relu"]
    assert second.branch.layers[0].name == "norm"
