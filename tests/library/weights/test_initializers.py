"""Where the branches start, scheme by scheme."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import companion.torch as cp
from companion import weights

torch.set_num_threads(1)


def test_starts_of_the_branches():
    network = cp.cifar_resnet(14, 4, seed=0)
    he = weights.named_arrays(network)
    weights.initialize(network, 0, "zero_gamma")
    zero = weights.named_arrays(network)
    ends = [name for name in he if name.endswith("branch.norm2.weight")]
    assert len(ends) == 6
    for name in he:
        np.testing.assert_array_equal(zero[name], 0 * he[name] if name in ends else he[name])
    weights.initialize(network, 0, "scaled")
    scaled = weights.named_arrays(network)
    for name in he:
        factor = 6**-0.5 if name in ends else 1
        np.testing.assert_allclose(scaled[name], factor * he[name], rtol=1e-6)
    fixup = weights.named_arrays(cp.fixup_resnet(14, 4, seed=0))
    for name, array in fixup.items():
        if name.endswith("branch.conv1.weight"):  # six branches of two layers: 6^(-1/2)
            fan_out = array[:, 0].size
            assert abs(array.std() * (fan_out / 2) ** 0.5 * 6**0.5 - 1) < 0.25
        if name.endswith(("branch.conv2.weight", "dense.weight")):
            assert not array.any()


def test_starts_that_do_not_suit_the_branches_change_nothing():
    for network, scheme, named in [
        (cp.cifar_preact_resnet(8, 4, seed=0), "zero_gamma", "last norm"),
        (cp.cifar_resnet(8, 4, seed=0), "fixup", "no norm"),
        (cp.Conv2d(3, 3), "scaled", "residual branches"),
        (cp.cifar_resnet(8, 4, seed=0), "best", "scheme"),
    ]:
        before = weights.named_arrays(network)
        with pytest.raises(ValueError, match=named):
            weights.initialize(network, 1, scheme)
        after = weights.named_arrays(network)
        assert all((before[name] == after[name]).all() for name in before)
