"""The experiments of chapter 2's second page do what they say, their runs what the page says."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from companion.book import results
from companion.book.experiments import expressivity, information, own_head
from companion.book.experiments.expressivity import Stacks


def test_labels_are_read_off():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(900, 6))
    labels = features[:, :3].argmax(1)
    assert information.classified(features, labels, 500, 200) > 0.9
    assert information.classified(rng.normal(size=(900, 6)), labels, 500, 200) < 0.5
    dead = np.concatenate([features, np.ones((900, 1))], 1)
    assert information.classified(dead, labels, 500, 200) > 0.9


def test_a_head_whose_norm_is_taken_anew_does_not_mind_the_scale():
    torch.manual_seed(0)
    head = information.network(True, 0).eval().head
    stream = torch.randn(30, 32, 2, 2)
    once = information.heads(head, stream, 20)
    larger = information.heads(head, 100 * stream, 20)
    assert once["head"].shape == once["head_renormed"].shape == (10, 10)
    torch.testing.assert_close(once["head_renormed"], larger["head_renormed"], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(once["head"], larger["head"], atol=0.1)
    assert float(head.norm.running_mean.abs().max()) == 0  # the network keeps its own


def test_the_streams_of_a_stack_end_in_its_logits():
    stack = own_head.stack(True, 0).eval()
    images = torch.rand(3, 1, 7, 7)
    found = own_head.streams(stack, images)
    assert len(found) == own_head.BLOCKS + 1
    logits = stack[1].dense(stack[1].relu(found[-1]))
    torch.testing.assert_close(logits, stack(images))


def disc(units: int = 24) -> Stacks:
    """A shallow residual stack that is 1 in the middle and falls in all directions."""
    angle = torch.arange(units) * (2 * torch.pi / units)
    w = torch.stack([angle.cos(), angle.sin()], 1)[None]
    # Beyond 1.2 in any direction 50 times the excess is taken from the first number.
    v = torch.zeros(1, 2, units)
    v[:, 0] = -50
    return Stacks([w], [torch.full((1, units), -1.2)], [v], torch.tensor([[1.0, 0.0, 5.0]]), True)


def test_a_disc_is_known_when_it_is_enclosed():
    found = expressivity.outcome(disc(), seed=0)
    assert found["encloses"] == [True] and found["accuracy"][0] > 0.99
    everywhere = Stacks([], [], [], torch.tensor([[0.0, 0.0, 1.0]]), False)
    half = Stacks([], [], [], torch.tensor([[1.0, 0.0, 0.0]]), False)
    for stack in (everywhere, half):
        assert expressivity.outcome(stack, seed=0)["encloses"] == [False]


def test_points_lie_in_the_disc_or_in_the_ring():
    points, labels = expressivity.disc_and_ring(500, seed=3)
    radius = points.norm(dim=1)
    assert float(labels.mean()) == 0.5
    assert bool((radius[labels == 1] <= 1).all())
    assert bool(((radius[labels == 0] >= 2) & (radius[labels == 0] <= 3.001)).all())


@pytest.mark.parametrize("arm", expressivity.ARMS)
def test_a_shortcut_is_all_that_an_arm_adds(arm):
    stream, hidden, residual = expressivity.ARMS[arm]
    stacks = expressivity.started(arm, 3, seed=0, count=5)
    assert stacks.w[0].shape == (5, hidden, stream) and len(stacks.v) == 3
    for v in stacks.v:
        torch.nn.init.zeros_(v)
    x = torch.randn(7, 2)
    says = stacks(x)
    head = stacks.head
    expected = head[:, -1:] + (head[:, :2] @ x.T if residual else 0)
    torch.testing.assert_close(says, expected.expand(5, 7))


def test_a_block_that_turns_a_half_plane_over_folds():
    w, b = torch.tensor([[[1.0, 0.0]]]), torch.zeros(1, 1)
    for slope, folds in {-3.0: 1, -0.5: 0, 2.0: 0}.items():
        v = torch.tensor([[[slope], [0.0]]])
        assert expressivity.folds(Stacks([w], [b], [v], torch.zeros(1, 3), True)) == [folds]
    # Of two units neither folds alone, and both together do: 1 - 0.6 - 0.6 is below zero.
    two, v = torch.tensor([[[1.0, 0.0], [1.0, 0.0]]]), torch.tensor([[[-0.6, -0.6], [0.0, 0.0]]])
    assert expressivity.folds(Stacks([two], [b], [v], torch.zeros(1, 3), True)) == [1]


def test_stacks_are_trained_apart():
    """One stack's training does not depend on those beside it."""
    alone = expressivity.started("residual, width 2", 2, seed=0, count=3)
    beside = expressivity.started("residual, width 2", 2, seed=0, count=3)
    for tensor in beside.parameters():
        with torch.no_grad():
            tensor[1:] *= 3
    expressivity.fit(alone, 0.01, seed=0, steps=3)
    expressivity.fit(beside, 0.01, seed=0, steps=3)
    x = torch.randn(5, 2)
    torch.testing.assert_close(alone(x)[0], beside(x)[0], rtol=1e-3, atol=1e-3)
    assert not torch.allclose(alone(x)[1], beside(x)[1], atol=1e-3)


def test_no_plain_stack_as_narrow_as_the_plane_encloses_the_disc():
    for depth in expressivity.DEPTHS:
        for row in results.runs("expressivity", part="run", depth=depth):
            assert len(row["encloses"]) == len(row["accuracy"]) == expressivity.STACKS
            if row["arm"] == "plain, width 2":
                assert not any(row["encloses"])
            if expressivity.ARMS[row["arm"]][2]:
                best = expressivity.drawn(row["arm"], depth)
                enclosed = expressivity.outcome(best, 100)["encloses"][0]
                assert expressivity.folds(best)[0] >= 1 or not enclosed


@pytest.mark.parametrize("arm", expressivity.ARMS)
def test_the_stack_that_is_drawn_is_the_best(arm):
    (row,) = results.runs("expressivity", part="run", arm=arm, depth=4)
    found = expressivity.outcome(expressivity.drawn(arm, 4), 100)["accuracy"]
    np.testing.assert_allclose(found, [max(row["accuracy"])], atol=0.002)


def percent(name: str, key: str, residual: bool, **which: object) -> np.ndarray:
    found = results.runs(name, residual=residual, trained=True, **which)
    return 100 * np.array([row[key] for row in found])


def test_the_own_head_reads_early_residual_streams_and_no_plain_one():
    heads = {r: percent("own_head", "head", r, part="run") for r in (True, False)}
    probes = percent("own_head", "label", False, part="run")
    assert heads[True][:, 3].min() > 70 and heads[False][:, :-1].max() < 30
    assert probes[:, 1:].min() > 80
    deep = {r: percent("information", "head", r, part="label") for r in (True, False)}
    assert deep[True][:, 11].min() > 80 and deep[False][:, :-1].mean() < 15


def test_a_deep_plain_network_loses_what_its_first_block_had():
    label = {r: percent("information", "label", r, part="label") for r in (True, False)}
    assert (label[False][:, 1] > label[False][:, -1]).all()
    assert (label[True][:, -1] > label[True][:, 1]).all()
