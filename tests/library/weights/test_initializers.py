"""Where the branches start, scheme by scheme."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

import companion.tensorflow as ctf
import companion.torch as cp
from companion import weights
from companion.weights import initializers

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


@pytest.mark.parametrize("framework", [cp, ctf])
def test_each_weight_is_drawn_once_when_a_network_is_built(framework, monkeypatch):
    drawn = []

    class Counted:
        def __init__(self, seed):
            self.generator = np.random.Generator(np.random.PCG64(seed))

        def standard_normal(self, out):
            drawn.append(out.size)
            return self.generator.standard_normal(out=out)

    def refused(*args, **options):
        raise AssertionError("weights are drawn by the framework too")

    monkeypatch.setattr(np.random, "default_rng", Counted)
    for name in ("normal_", "uniform_"):
        monkeypatch.setattr(torch.Tensor, name, refused)
    for name in ("RandomNormal", "VarianceScaling"):
        monkeypatch.setattr(getattr(keras.initializers, name), "__call__", refused)
    model = framework.cifar_resnet(8, seed=0)
    kernels = [v for v in weights.named_arrays(model).values() if v.ndim > 1]
    assert sum(drawn) == sum(kernel.size for kernel in kernels)


def test_a_kernel_larger_than_a_piece_is_what_it_is_in_one():
    layer = cp.Conv2d(70, 71)
    assert layer.weight.numel() > 2 * initializers._PIECE
    weights.initialize(layer, 3)
    rng = np.random.default_rng([3, 0])  # a layer without a name
    expected = rng.normal(0, np.sqrt(2 / (9 * 71)), (71, 70, 3, 3)).astype(np.float32)
    np.testing.assert_array_equal(layer.weight.detach(), expected)


def test_a_layer_by_itself_draws_its_weights_in_keras():
    kernel = keras.Sequential([keras.Input((8, 8, 3)), ctf.Conv2d(3, 64)]).layers[0].kernel
    assert abs(kernel.numpy().std() * (9 * 64 / 2) ** 0.5 - 1) < 0.1
