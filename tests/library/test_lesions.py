"""Blocks that are taken out or swapped, and put back."""

from __future__ import annotations

import pytest
import torch
from torch import nn

import companion.torch as cp
from companion.torch import lesions
from tests.library.harness import Times, stack


def test_lesions_and_swaps_are_undone():
    model = stack(1.0, 2.0, 4.0)  # factors 2, 3, 5
    x = torch.ones(1, 2)
    assert model(x).tolist() == [[30, 30]]
    with lesions.without_blocks(model, ["1"]):
        assert model(x).tolist() == [[10, 10]]
    with lesions.swapped_blocks(model, "0", "2"):
        assert [block.branch.factor for block in model] == [4, 2, 1]
    assert [block.branch.factor for block in model] == [1, 2, 4]
    assert model(x).tolist() == [[30, 30]]
    plain = nn.Sequential(cp.Residual(Times(3.0), None, activation=nn.ReLU()))
    with lesions.without_blocks(plain, ["0"]):
        assert plain(-x).tolist() == [[-1, -1]]
    with pytest.raises(ValueError, match="residual"), lesions.without_blocks(model, ["7"]):
        pass
