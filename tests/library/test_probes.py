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
from companion import measures, weights
from companion.tensorflow import costs as keras_costs
from companion.tensorflow import probes as in_keras
from companion.torch import costs as torch_costs
from companion.torch import probes as in_torch

torch.set_num_threads(1)


class Times(nn.Module):
    """x times a constant: a branch with a known derivative."""

    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


def stack(*factors):
    return nn.Sequential(*[cp.Residual(Times(a)) for a in factors])


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


def test_autocorrelation_of_known_series():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=20_000)
    assert np.abs(measures.autocorrelation(noise, 5)[1:]).max() < 0.03  # four standard deviations
    walk = np.zeros(20_000)
    for t in range(1, len(walk)):
        walk[t] = 0.8 * walk[t - 1] + noise[t]
    np.testing.assert_allclose(measures.autocorrelation(walk, 4), 0.8 ** np.arange(5), atol=0.05)
    for bad, lag in ((np.ones(9), 1), (noise[:5], 5), (np.array([0, np.nan]), 1), (noise, -1)):
        with pytest.raises(ValueError, match="series|max_lag"):
            measures.autocorrelation(bad, lag)


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


def test_lesions_and_swaps_are_undone():
    model = stack(1.0, 2.0, 4.0)  # factors 2, 3, 5
    x = torch.ones(1, 2)
    assert model(x).tolist() == [[30, 30]]
    with in_torch.without_blocks(model, ["1"]):
        assert model(x).tolist() == [[10, 10]]
    with in_torch.swapped_blocks(model, "0", "2"):
        assert [block.branch.factor for block in model] == [4, 2, 1]
    assert [block.branch.factor for block in model] == [1, 2, 4]
    assert model(x).tolist() == [[30, 30]]
    plain = nn.Sequential(cp.Residual(Times(3.0), None, activation=nn.ReLU()))
    with in_torch.without_blocks(plain, ["0"]):
        assert plain(-x).tolist() == [[-1, -1]]
    with pytest.raises(ValueError, match="residual"), in_torch.without_blocks(model, ["7"]):
        pass


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


@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_costs_are_counted_by_hand(framework):
    if framework == "torch":
        block = cp.BasicBlock(4, 8, 2)
        costs = torch_costs.layer_costs(block, torch.zeros(2, 4, 6, 6))
    else:
        block = ct.BasicBlock(4, 8, 2)
        costs = keras_costs.layer_costs(block, np.zeros((2, 6, 6, 4), np.float32))
    by_name = {cost.name: cost for cost in costs}
    pixels = 9
    assert by_name["branch.conv1"].multiply_adds == 9 * 4 * 8 * pixels
    assert by_name["branch.conv2"].multiply_adds == 9 * 8 * 8 * pixels
    assert by_name["shortcut.conv"].multiply_adds == 4 * 8 * pixels
    assert by_name["merge"].additions == 8 * pixels
    assert by_name["branch.norm1"].parameters == 16
    assert sum(c.parameters for c in costs) == 9 * 4 * 8 + 9 * 8 * 8 + 4 * 8 + 3 * 16


def test_resnet50_costs_what_the_paper_says():
    costs = torch_costs.layer_costs(cp.resnet50(version="v1"), torch.zeros(1, 3, 224, 224))
    # He et al. 2015, table 1: 3.8e9 for 50 layers, multiply-adds.
    assert sum(c.multiply_adds for c in costs) == pytest.approx(3.8e9, rel=0.03)
    assert sum(c.parameters for c in costs) == 25_557_032


def test_needed_multiply_adds_leave_the_padding_out():
    conv, x = cp.Conv2d(4, 6), torch.randn(2, 4, 7, 7)
    # Of the 3 x 7 rows that the kernel's three reach for, the outermost two are padding.
    assert torch_costs.effective_multiply_adds(conv, x) == 2 * 4 * 6 * (3 * 7 - 2) ** 2
    (cost,) = torch_costs.layer_costs(conv, x)
    assert cost.multiply_adds == 4 * 6 * (3 * 7) ** 2
    grouped = nn.Sequential(cp.Conv2d(4, 6, 1, stride=2, groups=2), nn.Flatten(), nn.Linear(96, 5))
    assert torch_costs.effective_multiply_adds(grouped, x) == 2 * (16 * 6 * 2 + 96 * 5)
    for other in (nn.Conv1d(4, 6, 3), nn.Conv2d(4, 6, 3, padding=1, padding_mode="reflect")):
        with pytest.raises(ValueError, match="zero-padded"):
            torch_costs.effective_multiply_adds(nn.Sequential(other), x)


def test_saved_bytes_of_known_layers():
    x = torch.zeros(10, 20)
    tanh = nn.Sequential(nn.Tanh(), nn.Tanh())  # each keeps its output
    assert torch_costs.saved_bytes(tanh, x) == 2 * 10 * 20 * 4
    assert torch_costs.saved_bytes(nn.Linear(20, 5), x) == 0  # keeps the input, which exists anyway
    assert torch_costs.saved_bytes(stack(1.0, 1.0), x) == 0  # an addition keeps nothing


def test_reversible_networks_keep_no_more_when_they_grow():
    x = torch.zeros(2, 3, 16, 16)
    sizes = [torch_costs.saved_bytes(cp.revnet_cifar(d, 8), x) for d in (14, 38)]
    stored = [torch_costs.saved_bytes(cp.revnet_cifar(d, 8, recompute=False), x) for d in (14, 38)]
    assert sizes[1] == sizes[0] < stored[0] < stored[1] / 2


@pytest.mark.parametrize("training", [False, True])
def test_times_are_taken_in_turns(training):
    x = np.random.default_rng(0).normal(size=(4, 16, 16, 8)).astype(np.float32)
    here = torch_costs.block_time(
        cp.BasicBlock(8, 8), torch.from_numpy(x).permute(0, 3, 1, 2), 5, training
    )
    there = keras_costs.block_time(ct.BasicBlock(8, 8), x, 5, training)
    for timing in (here, there):
        assert len(timing.first) == len(timing.second) == len(timing.again) == 5
        assert min(timing.first + timing.second) > 0
    known = measures.Timing((2.0, 4.0, 9.0), (1.0, 2.0, 3.0), (2.0, 4.0, 10.0))
    assert known.ratio == 2 and known.noise == 0


def test_ranks_of_known_matrices():
    assert measures.effective_rank(np.outer(np.arange(1, 5), np.ones(3))) == pytest.approx(1)
    assert measures.effective_rank(np.eye(6)) == pytest.approx(6)
    assert measures.rank_one_residual(np.ones((5, 3))) == 0
    assert measures.rank_one_residual(np.array([[1.0], [-1.0]])) == pytest.approx(1)
    for bad in (np.zeros((3, 3)), np.ones(3), np.array([[np.nan]])):
        with pytest.raises(ValueError, match="tokens"):
            measures.effective_rank(bad)


def test_blocks_are_found_by_the_same_names():
    here, there = cp.cifar_resnet(14, 4), ct.cifar_resnet(14, 4)
    names = list(in_torch.residual_blocks(here))
    assert names == list(in_keras.residual_blocks(there))
    assert len(names) == 6 and names[0] == "stages.0.0"


def test_a_graph_shows_what_read_what():
    x = torch.randn(2, 4, 8, 8)
    kinds = {
        "A": ["1 in 4 pixels", "pad with zeros"],
        "B": ["1 in 4 pixels", "1x1 conv", "batch norm"],
    }
    for option, beside in kinds.items():
        recorded = in_torch.operation_graph(cp.BasicBlock(4, 8, 2, shortcut=option), x)
        by_name = {operation.name: operation for operation in recorded}
        assert len(by_name) == len(recorded)
        (addition,) = (operation for operation in recorded if operation.kind == "+")
        shortcut, branch = (way_back(by_name, name) for name in addition.inputs)
        assert shortcut == beside
        assert branch == ["3x3 conv", "batch norm", "ReLU", "3x3 conv", "batch norm"]
    plain = in_torch.operation_graph(cp.BasicBlock(4, 4, residual=False), x)
    assert "+" not in [operation.kind for operation in plain]
    assert all(len(operation.inputs) == 1 for operation in plain)
    identity = in_torch.operation_graph(cp.BasicBlock(4, 4), x)
    assert next(o for o in identity if o.kind == "+").inputs[0] == "x"
    concatenated = in_torch.operation_graph(cp.DenseLayer(4), x)
    assert concatenated[-1].kind == "concatenate" and "x" in concatenated[-1].inputs
    kinds = [
        operation.kind for operation in in_torch.operation_graph(lambda x: torch.relu(x[:, :2]), x)
    ]
    assert kinds == ["crop", "ReLU"]
    for unused in (lambda x: torch.ones(2, requires_grad=True) * 2, lambda x: torch.ones(2)):
        with pytest.raises(ValueError, match="must use x"):
            in_torch.operation_graph(unused, x)


def way_back(by_name, name):
    """Kinds of the operations between the input and ``name``, along first inputs."""
    kinds = []
    while name != "x":
        kinds.insert(0, by_name[name].kind)
        name = by_name[name].inputs[0]
    return kinds
