"""The experiments of chapters 2 and 3 do what they say, their stored runs what the pages say."""

from __future__ import annotations

import numpy as np
import torch

from companion.book.experiments import convergence, detached, information
from companion.torch import probes
from tests.book.test_page_numbers import runs


def test_a_loss_crosses_its_target_between_two_epochs():
    assert convergence.crossing([0.2, 0.1]) == 1
    assert convergence.crossing([0.5, 0.3]) == 2
    np.testing.assert_allclose(convergence.crossing([1.0, 0.5, 0.1]), 2.5)
    assert convergence.crossing([1.0, 0.5, 0.4]) == 4  # one more than there are: never


def test_half_a_shortcut_leaves_the_other_half_as_it_was():
    torch.manual_seed(0)
    x = torch.rand(4, 1, 7, 7)
    nets = {arm: detached.network(arm, seed=0, depth=8) for arm in detached.ARMS}
    out = {arm: net(x) for arm, net in nets.items()}
    assert torch.equal(out["both"], out["forward only"])
    assert torch.equal(out["none"], out["backward only"])
    assert not torch.allclose(out["both"], out["none"], atol=1e-3)
    at = {}
    for arm, net in nets.items():
        block = probes.residual_blocks(net)["stages.0.0"].eval()
        torch.nn.init.zeros_(block.branch.norm2.weight)  # so only the shortcut can hand back
        u = torch.rand(2, 8, 7, 7, requires_grad=True)
        torch.nn.init.ones_(block.branch.norm2.bias)  # above zero, where the ReLU lets through
        block(u).sum().backward()
        at[arm] = float(u.grad.abs().sum())
    assert at["both"] == at["backward only"] > 0 == at["forward only"] == at["none"]


def test_what_can_be_read_off():
    rng = np.random.default_rng(0)
    pixels = rng.normal(size=(600, 5))
    mixed = pixels @ rng.normal(size=(5, 20))
    assert information.readable(mixed, pixels, 300, 100) > 0.99
    assert information.readable(rng.normal(size=(600, 20)), pixels, 300, 100) < 0.05
    half = np.concatenate([pixels[:, :3], np.zeros((600, 2))], 1)  # a channel that is dead
    assert 0.5 < information.readable(half, pixels, 300, 100) < 0.7


def test_epochs_are_counted_to_the_first_that_is_low_enough():
    assert convergence.epochs_needed([1.0, 0.3, 0.4]) == 2
    assert convergence.epochs_needed([1.0, 0.31]) == 3


def last(key: str, residual: bool, trained: bool = True) -> float:
    chosen = runs("information", part="run", residual=residual, trained=trained)
    return float(np.mean([r[key][-1] for r in chosen]))


def test_little_of_the_stream_is_the_input_and_much_of_the_input_can_be_read_off():
    assert last("share", True) < 0.05 and last("share_own", True) < 0.1
    for trained in (True, False):
        assert last("readable", True, trained) > last("readable", False, trained) + 0.3


def test_at_eight_layers_shortcuts_end_lower_in_every_seed():
    ends = {
        r: [x["loss"][-1] for x in runs("convergence", part=None, depth=8, residual=r)]
        for r in (True, False)
    }
    assert all(a < b for a, b in zip(ends[True], ends[False], strict=True))
