"""What a layer costs, counted by hand."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch
from torch import nn

import companion.tensorflow as ct
import companion.torch as cp
from companion import measures
from companion.tensorflow import costs as keras_costs
from companion.torch import costs as torch_costs
from tests.library.harness import stack


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
    assert torch_costs.peak_saved_bytes(tanh, x) == 2 * 10 * 20 * 4  # also without parameters
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


def test_transposed_and_shared_layers_are_counted():
    up = nn.ConvTranspose2d(8, 4, 2, stride=2, bias=False)
    (cost,) = torch_costs.layer_costs(up, torch.zeros(1, 8, 4, 4))
    assert cost.multiply_adds == 4 * 4 * 8 * 4 * 2 * 2
    conv = nn.Conv2d(2, 2, 1)
    twice = torch_costs.layer_costs(nn.Sequential(conv, conv), torch.zeros(1, 2, 3, 3))
    assert [c.parameters for c in twice] == [6, 0]
    assert [c.multiply_adds for c in twice] == [36, 36]


def test_keras_layers_of_other_kinds_are_counted_or_refused():
    model = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.DepthwiseConv2D(3)])
    (cost,) = keras_costs.layer_costs(model, np.zeros((1, 4, 4, 2), np.float32))
    assert cost.multiply_adds == 2 * 2 * 2 * 3 * 3
    model = keras.Sequential([keras.Input((4, 4, 2)), keras.layers.Conv2DTranspose(3, 2)])
    with pytest.raises(ValueError, match="multiply-adds are known"):
        keras_costs.layer_costs(model, np.zeros((1, 4, 4, 2), np.float32))
