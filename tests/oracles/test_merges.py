"""Merges against their equations: values, both gradients, and the parameters' gradients."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

from companion import architectures
from companion.weights.layer_weights import layer_weights

from .harness import ALL, build, check, cotangent, near, normal, run


def channels_last(x):
    return x.movedim(1, -1)


#: name: arguments, and merge(w, shortcut, branch) on channels-last tensors, from the paper.
EQUATIONS = {
    # He et al. 2015, arXiv 1512.03385, eq. 1
    "Add": ((), lambda w, s, b: s + b),
    # Zhang et al. 2017, arXiv 1608.03981, section III: x = y - R(y)
    "Subtract": ((), lambda w, s, b: s - b),
    # Bachlechner et al. 2020, arXiv 2003.04887, eq. 1: x + a F(x)
    "ScaledAdd": ((0.3,), lambda w, s, b: s + w("scale") * b),
    # Touvron et al. 2021, arXiv 2103.17239, section 2: x + diag(l_1, ..., l_d) F(x)
    "LayerScale": ((3, 0.3), lambda w, s, b: s + w("scale") * b),
    # Srivastava et al. 2015, arXiv 1505.00387, eq. 3: H T + x (1 - T), T = sigmoid(W^T x + b)
    "Highway": (
        (3,),
        lambda w, s, b: (
            b / (1 + torch.exp(-(s @ w("weight") + w("bias"))))
            + s / (1 + torch.exp(s @ w("weight") + w("bias")))
        ),
    ),
    # Huang et al. 2017, arXiv 1608.06993, eq. 2: [x_0, ..., x_{l-1}], the earlier ones first
    "Concatenate": ((), lambda w, s, b: torch.cat([s, b], -1)),
}


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize("name", EQUATIONS)
def test_merges_of_images(framework, name):
    arguments, equation = EQUATIONS[name]

    def oracle(w, training, shortcut, branch):
        y = equation(w, channels_last(shortcut), channels_last(branch))
        return y.movedim(-1, 1)

    merge = build(framework, name, *arguments)
    check(framework, merge, oracle, normal(2, 3, 3, 4), normal(2, 3, 3, 4, seed=2))


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize("shape", [(5, 3), (2, 4, 3), (2, 3, 3, 3)])
@pytest.mark.parametrize("name", ["LayerScale", "Highway", "Concatenate"])
def test_merges_of_last_axes(framework, name, shape):
    arguments, equation = EQUATIONS[name]
    merge = build(framework, name, *arguments, axis=-1)

    def oracle(w, training, shortcut, branch):
        return equation(w, shortcut, branch)

    x, f = normal(*shape), normal(*shape, seed=2)
    check(framework, merge, oracle, x, f, streams=True)


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize(
    ("name", "arguments", "y"),
    [
        # shortcut 2, branch 10, at the value that each design starts from
        ("Add", (), 12.0),
        ("Subtract", (), -8.0),
        ("ScaledAdd", (), 2.0),  # ReZero, arXiv 2003.04887: a = 0
        ("ScaledAdd", (1.0,), 12.0),
        ("LayerScale", (1,), 2.001),  # CaiT, arXiv 2103.17239: 1e-4 in networks of many layers
        ("Highway", (1,), 2 + 8 / (1 + np.exp(2))),  # T = sigmoid(-2) = 0.1192
        ("Highway", (1, 0.0), 6.0),  # T = 1 / 2
    ],
)
def test_merges_start_where_their_papers_do(framework, name, arguments, y):
    merge = build(framework, name, *arguments)
    got = run(framework, merge, np.full((1, 1, 1, 1), 2.0), np.full((1, 1, 1, 1), 10.0))
    np.testing.assert_allclose(got.y, np.full((1, 1, 1, 1), y), rtol=1e-6)


@pytest.mark.parametrize("framework", ALL)
@pytest.mark.parametrize("survival", [0.25, 0.8, 1.0])
def test_stochastic_depth_multiplies_by_its_survival_at_test_time(framework, survival):
    # Huang et al. 2016, arXiv 1603.09382, eq. 5: ReLU(p f(H) + H); its ReLU is the block's.
    merge = build(framework, "StochasticDepth", survival)
    shortcut, branch = normal(3, 2, 2, 2), normal(3, 2, 2, 2, seed=2)
    got = run(framework, merge, shortcut, branch, training=False)
    near(got.y, shortcut + survival * branch, 1e-6)
    near(got.dx[1], survival * got.dx[0], 1e-6)


@pytest.mark.parametrize("framework", ALL)
def test_stochastic_depth_keeps_or_drops_a_whole_example_in_training(framework):
    # Eq. 2: b f(H) + H with b in {0, 1}: never divided by the survival.
    merge = build(framework, "StochasticDepth", 0.8)
    shortcut, branch = np.zeros((1000, 2, 1, 1)), np.full((1000, 2, 1, 1), 3.0)
    torch.manual_seed(0)
    keras.utils.set_random_seed(0)
    got = run(framework, merge, shortcut, branch).y[:, :, 0, 0]
    assert set(np.unique(got).round(6).tolist()) == {0.0, 3.0}
    assert (got[:, 0] == got[:, 1]).all()
    # 800 of 1000 in the mean, standard deviation 12.6; five of these are 63
    assert abs((got[:, 0] > 0).sum() - 800) < 64


def test_survival_falls_linearly():
    # Huang et al. 2016, eq. 4: p_l = 1 - l / L (1 - p_L), l from 1, p_L = 0.5 where not said.
    np.testing.assert_allclose(architectures.linear_decay(4), [0.875, 0.75, 0.625, 0.5])
    np.testing.assert_allclose(architectures.linear_decay(5, 0.2), [0.84, 0.68, 0.52, 0.36, 0.2])
    # section 3: with L = 54 the expected number of active blocks is about 3 L / 4: 40 of 54
    assert round(sum(architectures.linear_decay(54))) == 40


@pytest.mark.parametrize("framework", ALL)
def test_the_gradient_of_a_residual_stack_has_the_identity_in_it(framework):
    # He et al. 2016, arXiv 1603.05027, eq. 5: dE/dx_l = dE/dx_L (1 + d/dx_l sum of F): two blocks
    # whose branches are 3 x and 5 x give 4 * 6 = 24.
    y = np.full((1, 1, 1, 1), 2.0)
    gradient = 1.0
    for factor in (3.0, 5.0):
        block = build(framework, "Residual", build(framework, "Conv2d", 1, 1, 1))
        for layer in layer_weights(block):
            layer.assign("weight", np.full((1, 1, 1, 1), factor, layer.arrays["weight"].dtype))
        got = run(framework, block, y)
        y, gradient = got.y, gradient * (got.dx[0] / cotangent((1, 1, 1, 1))).item()
    assert y.item() == pytest.approx(48) and gradient == pytest.approx(24)
