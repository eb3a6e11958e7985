"""Probes and costs on networks whose answers can be worked out."""

from __future__ import annotations

import itertools

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn

import companion.torch as cp
from companion.tensorflow import costs as keras_costs
from companion.tensorflow import probes as keras_probes
from companion.torch import costs, probes
from companion.torch.checkpointed import CheckpointedNetwork
from companion.weights.layer_weights import layer_weights

from .harness import BOTH, PACKAGES, build, fill, normal


class Times(nn.Module):
    def __init__(self, factor):
        super().__init__()
        self.factor = factor

    def forward(self, x):
        return self.factor * x


class Square(nn.Module):
    def forward(self, x):
        return x**2


def matrices(framework, *arrays):
    """Dense layers in a row with these weights; each in a Residual."""
    blocks = []
    for i, a in enumerate(arrays):
        dense = build(framework, "Dense", len(a), len(a))
        options = {"name": str(i)} if framework == "tensorflow" else {}
        blocks.append(build(framework, "Residual", dense, **options))
    if framework == "torch":
        model = nn.Sequential(*blocks)
    else:
        model = keras.Sequential([keras.Input((len(arrays[0]),)), *blocks])
    for layer, a in zip(layer_weights(model), arrays, strict=True):
        layer.assign("weight", np.asarray(a, np.float32))
    return model


A, B = np.array([[1.0, 2.0], [0.0, -1.0]]), np.array([[0.5, 0.0], [1.0, 3.0]])


def package(framework):
    return probes if framework == "torch" else keras_probes


def tensor(framework, x):
    return (torch.tensor if framework == "torch" else tf.constant)(np.asarray(x, np.float32))


@pytest.mark.parametrize("framework", BOTH)
def test_gradient_norms(framework):
    # L = sum(y), y = (I + B)(I + A) x: dL/dB = 1 (x') ^T with x' = (I + A) x, and
    # dL/dA = (I + B)^T 1 x^T. x = (1, 2): x' = (6, 0); (I + B)^T 1 = (2.5, 4).
    model = matrices(framework, A, B)
    x = tensor(framework, [[1.0, 2.0]])
    total = (lambda y: y.sum()) if framework == "torch" else tf.reduce_sum
    norms = package(framework).gradient_norms(model, lambda: total(model(x)))
    want = [np.linalg.norm(np.outer([2.5, 4], [1, 2])), np.linalg.norm(np.outer([1, 1], [6, 0]))]
    np.testing.assert_allclose(list(norms.values()), want, rtol=1e-5)


@pytest.mark.parametrize("framework", BOTH)
def test_activation_variances(framework):
    model = matrices(framework, A, B)
    x = normal(5, 2)
    variances = package(framework).activation_variances(model, tensor(framework, x))
    first = x @ (np.eye(2) + A).T
    want = {"0": first.var(), "1": (first @ (np.eye(2) + B).T).var()}
    assert variances.keys() == want.keys()
    np.testing.assert_allclose(list(variances.values()), list(want.values()), rtol=1e-5)


@pytest.mark.parametrize("framework", BOTH)
def test_block_jacobian_is_the_identity_and_the_branch_s(framework):
    # He et al. 2016, arXiv 1603.05027, eq. 5
    model = matrices(framework, A)
    block = model[0] if framework == "torch" else model.layers[0]
    jacobian = package(framework).block_jacobian(block, tensor(framework, [[3.0, -1.0]]))
    np.testing.assert_allclose(jacobian, np.eye(2) + A, rtol=1e-6)


def test_input_gradients():
    # sum over outputs of (I + A) x: column sums of I + A, at every example
    model = matrices("torch", A)
    found = probes.input_gradients(model, torch.tensor(normal(3, 2).astype(np.float32)))
    np.testing.assert_allclose(found, [(np.eye(2) + A).sum(0)] * 3, rtol=1e-6)


def test_path_gradients_are_symmetric_polynomials():
    # Veit et al. 2016, arXiv 1605.06431, eq. 6: the product of (1 + a_i) by number of factors
    factors = (0.5, -2.0, 3.0, 0.25)
    blocks = [cp.Residual(Times(a)) for a in factors]
    found = probes.path_gradients(
        blocks, torch.tensor([[1.0, 2.0]]), lambda y: (y * torch.tensor([3.0, 4.0])).sum()
    )
    want = [5 * abs(sum(np.prod(c) for c in itertools.combinations(factors, k))) for k in range(5)]
    np.testing.assert_allclose(found, want, rtol=1e-5)
    # of a branch that bends, x + x^2 twice: at x = 1 the first is 2, derivatives 2 and 4
    found = probes.path_gradients([cp.Residual(Square())] * 2, torch.ones(1, 1), lambda y: y.sum())
    np.testing.assert_allclose(found, [1, 6, 8])
    # and past the activation: relu kills a negative sum
    dead = cp.Residual(Times(-3.0), activation=nn.ReLU())
    assert probes.path_gradients([dead], torch.ones(1, 1), lambda y: y.sum()).tolist() == [0, 0]


def test_without_blocks_hands_on_the_shortcut():
    # Veit et al. 2016, section 4.1: x -> 3 x -> 12 x -> 72 x less one factor
    model = nn.Sequential(*(cp.Residual(Times(a)) for a in (2.0, 3.0, 5.0)))
    x = torch.ones(1, 1)
    for name, left in (("0", 24), ("1", 18), ("2", 12)):
        with probes.without_blocks(model, [name]):
            assert model(x).item() == left
    assert model(x).item() == 72
    relu = nn.Sequential(cp.Residual(Times(2.0), activation=nn.ReLU()))
    with probes.without_blocks(relu, ["0"]):
        assert relu(-x).item() == 0  # the activation stays
    plain = nn.Sequential(cp.Residual(Times(2.0), None), cp.Residual(Times(3.0)))
    with probes.without_blocks(plain, ["0"]):
        assert plain(x).item() == 4


def test_swapped_blocks():
    # 2 x + 1 after x^2 is not x^2 after 2 x + 1: x = 3 gives (3 + 9) 3 = 36 and 9 + 81 = 90
    model = nn.Sequential(cp.Residual(Square()), cp.Residual(Times(2.0)))
    x = torch.full((1, 1), 3.0)
    assert model(x).item() == 36
    with probes.swapped_blocks(model, "0", "1"):
        assert model(x).item() == 90
    assert model(x).item() == 36


def test_loss_surface_moves_by_the_filters_own_norms():
    # Li et al. 2018, arXiv 1712.09913, section 4: each row of a direction has the norm of the
    # weight's. The loss is the squared length of the move, for one filter (3, 4) of norm 5:
    # |a d + b e|^2 = 25 (a^2 + b^2 + 2 a b cos).
    model = nn.Linear(2, 1)
    model.weight.data.copy_(torch.tensor([[3.0, 4.0]]))
    bias = model.bias.detach().clone()

    def moved():
        assert torch.equal(model.bias, bias)
        return (model.weight - torch.tensor([[3.0, 4.0]])).square().sum()

    surface = probes.loss_surface(model, moved, radius=2.0, steps=3)
    assert surface[1, 1] == 0
    np.testing.assert_allclose(
        [surface[0, 1], surface[2, 1], surface[1, 0], surface[1, 2]], 100, rtol=1e-5
    )
    np.testing.assert_allclose(surface[0, 0] + surface[0, 2], 400, rtol=1e-5)


def test_operation_graph_of_a_block():
    # He et al. 2015, figure 2: two layers, a ReLU between, the input added, a ReLU.
    block = cp.BasicBlock(4, 4)
    found = probes.operation_graph(block, torch.randn(2, 4, 5, 5))
    kinds = [o.kind for o in found]
    assert kinds == ["3x3 conv", "batch norm", "ReLU", "3x3 conv", "batch norm", "+", "ReLU"]
    (plus,) = [o for o in found if o.kind == "+"]
    assert "x" in plus.inputs and found[0].inputs == ("x",)
    pre = [
        o.kind for o in probes.operation_graph(cp.PreActivationBlock(4, 4), torch.randn(2, 4, 5, 5))
    ]
    assert pre == ["batch norm", "ReLU", "3x3 conv"] * 2 + ["+"]


@pytest.mark.parametrize("framework", BOTH)
def test_residual_blocks_are_the_outermost(framework):
    model = build(framework, "cifar_resnet", 8, 2)
    assert list(package(framework).residual_blocks(model)) == [f"stages.{i}.0" for i in range(3)]


COSTS = [
    # k^2 in out H W / groups: 3 3 4 6 (3 2 pixels after the stride)
    (("Conv2d", 4, 6, 3, 2), (1, 4, 5, 4), 9 * 4 * 6 * 3 * 2, 9 * 4 * 6),
    (("Conv2d", 4, 6, 3, 1, 2), (1, 4, 5, 4), 9 * 2 * 6 * 20, 9 * 2 * 6),
    (("Conv1d", 3, 5, 3, 2), (1, 7, 3), 3 * 3 * 5 * 7, 45),
    (("Dense", 3, 4), (1, 3), 12, 16),
    (("Dense", 3, 4), (1, 6, 3), 6 * 12, 16),  # at each of six steps
    (("LSTM", 3, 2), (1, 5, 3), 5 * 4 * 2 * (3 + 2), 4 * 2 * (3 + 2 + 1)),
    (("BatchNorm2d", 3), (1, 3, 2, 2), 0, 6),
]


@pytest.mark.parametrize("framework", BOTH)
@pytest.mark.parametrize(("made", "shape", "products", "parameters"), COSTS)
def test_layer_costs(framework, made, shape, products, parameters):
    layer = build(framework, *made)
    x = np.zeros((2, *shape[1:]), np.float32)  # costs are for one of the two
    if framework == "torch":
        found = costs.layer_costs(layer, torch.from_numpy(x))
    else:
        found = keras_costs.layer_costs(layer, np.moveaxis(x, 1, -1) if x.ndim == 4 else x)
    assert [(c.multiply_adds, c.parameters) for c in found] == [(products, parameters)]


@pytest.mark.parametrize("framework", BOTH)
def test_a_shortcut_costs_one_addition_for_each_number(framework):
    # He et al. 2015, section 3.2: "except for the negligible element-wise addition"
    block = build(framework, "BasicBlock", 4, 4)
    shape = (2, 4, 5, 6) if framework == "torch" else (2, 5, 6, 4)
    module = costs if framework == "torch" else keras_costs
    found = module.layer_costs(block, tensor(framework, np.zeros(shape)))
    assert sum(c.additions for c in found) == 4 * 5 * 6
    assert sum(c.multiply_adds for c in found) == 2 * 9 * 16 * 30
    assert sum(c.parameters for c in found) == 2 * 9 * 16 + 16


def test_multiply_adds_without_those_of_the_padding():
    # 3x3 on 7x7: of 9 * 49 = 441 products those of the border's zeros go: (3 * 7 - 2)^2 = 361
    model = nn.Sequential(cp.Conv2d(2, 5), cp.GlobalAveragePool(), cp.Dense(5, 3))
    found = costs.effective_multiply_adds(model, torch.zeros(2, 2, 7, 7))
    assert found == 2 * (361 * 2 * 5 + 15)
    strided = cp.Conv2d(4, 4, 3, 2, groups=2)  # rows 0, 2, 4, 6: 2 + 3 + 3 + 2 = 10
    assert costs.effective_multiply_adds(strided, torch.zeros(1, 4, 7, 7)) == 100 * 4 * 2


def test_saved_bytes():
    # exp keeps its result; x * y of two intermediates keeps both; 4 bytes a number
    class Exp(nn.Module):
        def forward(self, x):
            return x.exp()

    class Exps(nn.Module):
        def forward(self, x):
            return x.exp() * x.sin()

    x = torch.randn(3, 5)
    assert costs.saved_bytes(Exp(), x) == 60
    assert costs.saved_bytes(nn.Sequential(Exp(), Exp()), x) == 120
    assert costs.saved_bytes(Exps(), x) == 120
    assert costs.saved_bytes(nn.Sequential(Times(2.0), Times(3.0)), x) == 0
    # an addition keeps nothing: the shortcut is free
    assert costs.saved_bytes(cp.Residual(Exp()), x) == 60
    small = torch.randn(3, 5, requires_grad=True)
    # three results of 60 bytes; and the gradient goes back through them one by one
    assert costs.peak_saved_bytes(nn.Sequential(Exp(), Exp(), Exp()), 0.1 * small) == 180


def test_checkpoints_keep_less_and_change_nothing():
    # Chen et al. 2016, arXiv 1604.06174, section 4: sqrt n segments
    blocks = nn.Sequential(*(cp.MLPBlock(8, "layer") for _ in range(9)))
    fill(blocks)
    before = nn.Sequential(cp.Dense(8, 8))
    after = nn.Sequential(cp.Dense(8, 2))
    model = CheckpointedNetwork(before, blocks, after, 3)
    x = torch.from_numpy(normal(16, 8).astype(np.float32))
    plain = nn.Sequential(before, blocks, after)
    gradients = []
    for one in (model, plain):
        one.zero_grad()
        one(x).square().sum().backward()
        gradients.append([p.grad.clone() for p in plain.parameters()])
    assert all(torch.allclose(a, b, rtol=1e-5) for a, b in zip(*gradients, strict=True))
    assert costs.peak_saved_bytes(model, x) < 0.6 * costs.peak_saved_bytes(plain, x)


@pytest.mark.parametrize("framework", BOTH)
def test_block_time_times_both(framework):
    block = build(framework, "BasicBlock", 2, 2)
    module = costs if framework == "torch" else keras_costs
    shape = (1, 2, 4, 4) if framework == "torch" else (1, 4, 4, 2)
    timing = module.block_time(block, tensor(framework, np.ones(shape)), repetitions=2)
    assert [len(t) for t in (timing.first, timing.second, timing.again)] == [2, 2, 2]
    assert min(*timing.first, *timing.second, *timing.again) > 0


@pytest.mark.parametrize("framework", BOTH)
def test_predict_is_inference(framework):
    # running statistics, not the batch's: a norm that has seen nothing hands on x / sqrt(1 + 1e-5)
    layer = build(framework, "BatchNorm2d", 2)
    model = (
        nn.Sequential(layer)
        if framework == "torch"
        else keras.Sequential([keras.Input((3, 4, 2)), layer])
    )
    x = normal(5, 3, 4, 2).astype(np.float32)
    y = PACKAGES[framework].predict(model, x, batch_size=2)
    np.testing.assert_allclose(y, x / np.sqrt(1 + 1e-5), rtol=1e-6)
