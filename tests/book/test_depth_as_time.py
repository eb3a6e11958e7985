"""Stacks with a step in front of their branches, and what was stored of them."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F

from companion.book.experiments import smoothness
from companion.book.experiments.steps import BATCH, Stack, forward, scores, train
from companion.data import mnist


@pytest.fixture(scope="module")
def few():
    tiny = mnist().downsampled(2)
    part = {"x_train": tiny.x_train[: 2 * BATCH], "y_train": tiny.y_train[: 2 * BATCH]}
    return replace(tiny, **part)


def alone(stack: Stack, data, seed: int, rate: float) -> list[torch.Tensor]:
    """The same training as one network, with the framework's optimizers."""
    weights = [torch.nn.Parameter(w) for w in stack.start(seed)]
    learned = weights if stack.ends else weights[1:-1]
    make = torch.optim.SGD if stack.optimizer == "sgd" else torch.optim.Adam
    optimizer = make(learned, rate)
    order = np.random.default_rng((seed, 0)).permutation(len(data.x_train))
    for at in order.reshape(-1, BATCH):
        x = torch.from_numpy(data.x_train[at]).flatten(1) @ weights[0]
        body = iter(weights[1:-1])
        for _ in range(stack.blocks):
            branch = F.rms_norm(x, x.shape[-1:], eps=1e-6) if stack.norm else x
            for layer in range(stack.layers):
                branch = (torch.relu(branch) if layer == stack.layers - 1 else branch) @ next(body)
            x = x + stack.blocks**-stack.power * branch
        x = F.rms_norm(x, x.shape[-1:], eps=1e-6) if stack.norm else x
        loss = F.cross_entropy(x @ weights[-1], torch.from_numpy(data.y_train[at]))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return [w.detach() for w in weights]


@pytest.mark.parametrize(
    "stack",
    [
        Stack(3),
        Stack(3, optimizer="adam", power=1.0),
        Stack(2, layers=2, ends=True),
        Stack(2, power=0.0, norm=True, optimizer="adam"),
    ],
)
def test_networks_side_by_side_learn_what_each_learns_alone(stack, few):
    rates = [0.1, 0.2, 0.1] if stack.optimizer == "sgd" else [0.001, 0.002, 0.001]
    before, after = train(stack, few, [0, 0, 1], rates, epochs=1)
    for i, (seed, rate) in enumerate(zip([0, 0, 1], rates, strict=True)):
        for start, mine, other in zip(before, after, alone(stack, few, seed, rate), strict=True):
            assert torch.allclose(mine[i], other, atol=2e-4)
            assert mine.shape == start.shape
    assert torch.equal(before[0], after[0]) != stack.ends


def test_a_diverged_network_leaves_its_neighbours_alone(few):
    _, after = train(Stack(2), few, [0, 0], [0.1, 1e9], epochs=1)
    (good, _), (bad, _) = scores(Stack(2), after, few.x_test, few.y_test)
    assert good < 3 and not bad < 3


def test_alike_blocks_start_alike_and_a_step_twice_as_long_skips_one():
    stack = Stack(4, tied=True, power=1.0)
    weights = stack.start(0)
    assert all(torch.equal(weights[1], w) for w in weights[1:-1])
    assert not torch.equal(*Stack(4).start(0)[1:3])
    x = torch.randn(5, 49)
    coarse = forward(Stack(2, tied=True, power=1.0), [weights[0], *weights[1:3], weights[-1]], x)
    assert torch.allclose(forward(stack, weights, x, every=2), coarse, atol=1e-5)


def test_apart_is_root_two_for_independent_matrices_and_falls_with_depth_for_smooth_ones():
    generator = torch.Generator().manual_seed(0)
    found = smoothness.apart(torch.randn(8, 64, 64, generator=generator))
    assert abs(found["near"] - 2**0.5) < 0.03 and abs(found["any_cosine"]) < 0.03
    a, b = torch.randn(2, 64, 64, generator=generator)
    turn = torch.linspace(0, 1, 33)[:, None, None]
    fine = smoothness.apart(torch.cos(turn) * a + torch.sin(turn) * b)["near"]
    coarse = smoothness.apart((torch.cos(turn) * a + torch.sin(turn) * b)[::2])["near"]
    assert abs(coarse / fine - 2) < 0.02


def test_merging_takes_the_mean_of_two_blocks():
    weights = [torch.full((1, 2, 2), float(i)) for i in range(6)]
    body = smoothness.merged(Stack(2, layers=2), weights)[1:-1]
    assert [float(w[0, 0, 0]) for w in body] == [2, 3, 3, 4]
