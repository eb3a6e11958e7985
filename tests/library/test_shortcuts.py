"""Options A, B and C: where they stand, what they carry, what they refuse."""

from __future__ import annotations

import pytest
import torch

import companion.torch as cp
from companion import weights
from tests.library.harness import refused_alike


@pytest.mark.parametrize("option", "ABC")
def test_zeroed_branches_leave_the_composed_shortcuts(option):
    network = cp.cifar_resnet(8, width=4, shortcut=option, seed=0).eval()
    for name, p in network.named_parameters():
        if ".branch.norm2." in name:
            torch.nn.init.zeros_(p)
    x = torch.randn(2, 4, 9, 8)
    expected = torch.relu(x)
    for stage in network.stages:
        for block in stage:
            expected = torch.relu(block.shortcut(expected))
    assert torch.equal(network.stages(torch.relu(x)), expected)


@pytest.mark.parametrize("option", "ABC")
def test_projections_stand_where_the_paper_has_them(option):
    names = [n for n in weights.named_arrays(cp.resnet50(shortcut=option)) if ".shortcut.conv" in n]
    per_block = {"A": 0, "B": 4, "C": 16}  # B: the first block of each stage, the first one too
    assert len(names) == per_block[option]


BAD = [
    ("ZeroPad", (8, 4), {}, "out_channels"),
    ("ZeroPad", (8, 8, 0), {}, "stride"),
    ("Projection", (0, 4), {}, "in_channels"),
    ("shortcut", ("E", 4, 4), {}, "shortcut"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)
