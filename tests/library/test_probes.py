"""Every probe on a case whose answer is known in closed form."""

from __future__ import annotations

import math

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn

import companion.tensorflow as ct
import companion.torch as cp
from companion import weights
from companion.tensorflow import probes as in_keras
from companion.torch import probes as in_torch
from tests.library.harness import stack


def test_gradient_norms_of_a_linear_network():
    # y = a b c x, loss = y: each weight's gradient is the product of the others times x.
    model = nn.Sequential(*[nn.Linear(1, 1, bias=False) for _ in range(3)])
    for layer, value in zip(model, (2.0, 3.0, 5.0), strict=True):
        nn.init.constant_(layer.weight, value)
    norms = in_torch.gradient_norms(model, lambda: model(torch.full((1, 1), 7.0)).sum())
    np.testing.assert_allclose(list(norms.values()), [105, 70, 42], rtol=1e-6)
    twin = keras.Sequential(
        [keras.Input((1,))] + [keras.layers.Dense(1, use_bias=False, name=str(i)) for i in range(3)]
    )
    weights.transfer(model, twin)
    norms = in_keras.gradient_norms(twin, lambda: tf.reduce_sum(twin(tf.fill((1, 1), 7.0))))
    np.testing.assert_allclose(list(norms.values()), [105, 70, 42], rtol=1e-6)


def test_variance_doubles_in_each_block_of_orthogonal_branches():
    # The branch turns every vector by a right angle: |x + Qx|^2 = 2 |x|^2, exactly.
    channels, depth = 64, 6
    half = np.eye(channels // 2)
    turn = np.block([[0 * half, -half], [half, 0 * half]])
    blocks, twins = [], []
    for i in range(depth):
        linear = nn.Linear(channels, channels, bias=False)
        linear.weight.data.copy_(torch.from_numpy(turn))
        blocks.append(cp.Residual(linear))
        dense = keras.layers.Dense(channels, use_bias=False)
        twins.append(ct.Residual(dense, name=str(i)))
    model = nn.Sequential(*blocks)
    x = np.random.default_rng(9).normal(size=(400, channels))
    x = (x / x.std()).astype(np.float32)
    found = in_torch.activation_variances(model, torch.from_numpy(x))
    assert list(found) == [str(i) for i in range(depth)]
    expected = 2.0 ** np.arange(1, depth + 1)
    np.testing.assert_allclose(list(found.values()), expected, rtol=0.01)
    twin = keras.Sequential([keras.Input((channels,)), *twins])
    weights.transfer(model, twin)
    again = in_keras.activation_variances(twin, x)
    np.testing.assert_allclose(list(again.values()), list(found.values()), rtol=1e-4)
    np.testing.assert_array_equal(twin(x), twin(x))  # the watched layers are themselves again


def test_input_gradients_of_a_quadratic():
    class Square(nn.Module):
        def forward(self, x):
            return x.square()

    x = torch.linspace(-1, 1, 5)[:, None]
    np.testing.assert_allclose(in_torch.input_gradients(Square(), x), 2 * x.numpy())


def test_jacobian_of_a_block_is_identity_plus_the_branch():
    linear = nn.Linear(4, 4)
    x = torch.randn(1, 4)
    expected = np.eye(4) + linear.weight.detach().numpy()
    found = in_torch.block_jacobian(cp.Residual(linear), x)
    np.testing.assert_allclose(found, expected, atol=1e-6)
    dense = keras.layers.Dense(4)
    dense.build((None, 4))
    weights.transfer(linear, dense)
    found = in_keras.block_jacobian(ct.Residual(dense), x.numpy())
    np.testing.assert_allclose(found, expected, atol=1e-6)
    with pytest.raises(ValueError, match="one example"):
        in_torch.block_jacobian(linear, torch.randn(2, 4))


def test_path_lengths_are_binomial():
    # L branches a x: paths of length k carry C(L, k) a^k of the gradient.
    depth, a = 7, 0.5
    x = torch.randn(3, 5)
    found = in_torch.path_gradients(list(stack(*[a] * depth)), x, lambda y: y.sum())
    whole = math.sqrt(15)
    expected = [math.comb(depth, k) * a**k * whole for k in range(depth + 1)]
    np.testing.assert_allclose(found, expected, rtol=1e-5)


def test_paths_sum_to_the_gradient_of_a_real_network():
    torch.manual_seed(0)
    blocks = [cp.BasicBlock(4, 4).eval() for _ in range(3)]
    x = torch.randn(2, 4, 6, 6)
    paths = in_torch.path_gradients(blocks, x, lambda y: y.square().sum())
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(nn.Sequential(*blocks)(x).square().sum(), x)
    assert paths.shape == (4,)
    assert paths.sum() >= float(gradient.norm()) >= paths.max() - (paths.sum() - paths.max())
    with pytest.raises(ValueError, match="shortcut"):
        in_torch.path_gradients([cp.BasicBlock(4, 4, residual=False)], x, lambda y: y.sum())


def test_loss_surface_of_a_quadratic():
    # loss = sum of squared weights of one filter: |w + a d + b e|^2 with |d| = |e| = |w|.
    model = nn.Linear(3, 1, bias=False)
    norm = float(model.weight.norm())
    before = model.weight.detach().clone()
    surface = in_torch.loss_surface(model, lambda: model.weight.square().sum(), 1.0, 3, seed=1)
    assert torch.equal(before, model.weight)
    assert surface[1, 1] == pytest.approx(norm**2, rel=1e-5)
    for opposite in ((surface[0, 1], surface[2, 1]), (surface[1, 0], surface[1, 2])):
        # (1 - c) + (1 + c), twice: the directions have the filter's own norm.
        assert sum(opposite) == pytest.approx(4 * norm**2, rel=1e-5)
    for settings in ({"steps": 4}, {"radius": -1}, {"seed": -1}):
        with pytest.raises(ValueError, match=next(iter(settings))):
            in_torch.loss_surface(model, lambda: model.weight.sum(), **settings)


def test_blocks_are_found_by_the_same_names():
    here, there = cp.cifar_resnet(14, 4), ct.cifar_resnet(14, 4)
    names = list(in_torch.residual_blocks(here))
    assert names == list(in_keras.residual_blocks(there))
    assert len(names) == 6 and names[0] == "stages.0.0"
