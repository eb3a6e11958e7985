"""The network that takes any block, any shortcut and any merge, one's own among them."""

from __future__ import annotations

import inspect

import keras
import numpy as np
import pytest
import torch
from torch import nn

import companion.tensorflow as ct
import companion.torch as cp
from companion import architectures, weights
from companion.tensorflow.probes import residual_blocks
from tests.library.harness import numbers, unique_paths


class OwnBlock(cp.Residual):
    """A student's block: no class attributes, no merge argument."""

    def __init__(self, in_channels, out_channels, stride=1, shortcut="B", residual=True):
        branch = nn.Sequential(
            cp.Conv2d(in_channels, out_channels, 3, stride), cp.BatchNorm2d(out_channels)
        )
        carry = cp.shortcut(shortcut, in_channels, out_channels, stride)
        super().__init__(branch, carry if residual else None, activation=nn.ReLU())


class OwnPreActivation(cp.PreActivationBlock):
    pass


class OwnFixup(cp.FixupBlock):
    pass


@pytest.mark.parametrize("block", [OwnBlock, OwnPreActivation, OwnFixup])
@pytest.mark.parametrize("residual", [True, False])
def test_a_network_of_ones_own_blocks(block, residual):
    network = cp.cifar_resnet(8, 4, "B", residual, seed=0, block=block)
    final = block is OwnPreActivation
    assert all(type(b) is block for stage in network.stages for b in stage)
    assert list(dict(network.head.named_children()))[:1] == (["norm"] if final else ["pool"])
    assert hasattr(network.stem, "norm") == (block is OwnBlock)
    assert network.eval()(torch.randn(2, 3, 8, 8)).shape == (2, 10)
    twin = cp.cifar_resnet(8, 4, "B", True, seed=0, block=block)
    a, b = weights.named_arrays(network), weights.named_arrays(twin)
    assert all((a[name] == b[name]).all() for name in a)
    assert (a.keys() == b.keys()) == residual


def test_networks_take_a_merge_and_a_shortcut_of_ones_own():
    def pooled(in_channels, out_channels, stride):
        if in_channels == out_channels and stride == 1:
            return cp.Identity()
        return nn.Sequential(nn.AvgPool2d(stride), cp.Conv2d(in_channels, out_channels, 1))

    network = cp.cifar_resnet(8, 4, pooled, seed=0, merge=cp.Highway)
    assert [m.channels for m in network.modules() if isinstance(m, cp.Highway)] == [4, 8, 16]
    assert isinstance(network.stages[1][0].shortcut[0], nn.AvgPool2d)
    assert network(torch.randn(2, 3, 8, 8)).shape == (2, 10)
    network = cp.cifar_preact_resnet(14, 4, pooled, seed=0, merge=lambda c: cp.LayerScale(c, 1))
    assert isinstance(network.stages[1][0].preactivation, nn.Sequential)
    assert isinstance(network.stages[1][1].preactivation, nn.Identity)


def test_every_network_of_blocks_takes_block_and_merge():
    names = [n for n in cp.__all__ if inspect.isfunction(getattr(cp, n)) and "resnet" in n]
    names = [n for n in names if n not in ("resnet50_v2", "speech_resnet")]
    for name in [*names, "residual_network"]:
        parameters = list(inspect.signature(getattr(cp, name)).parameters)
        assert parameters[-1] == "options" or parameters[-2:] == ["block", "merge"], name


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"block": "basic"}, "block must be a class"),
        ({"merge": "rezero"}, "merge must be None or make"),
        ({"merge": lambda c: c}, "merge must be None or make"),
        ({"shortcut": "D"}, "shortcut must be one of 'A', 'B', 'C'"),
        ({"shortcut": lambda i, o, s: None}, "shortcut must make a module"),
    ],
)
def test_what_cannot_be_a_part_is_refused(options, named):
    with pytest.raises(ValueError, match=named):
        cp.cifar_resnet(8, 4, **{"shortcut": "B", **options})


def test_an_unknown_block_is_refused_with_the_known_ones():
    table = architectures.imagenet_resnet(18, "mine")
    with pytest.raises(ValueError, match=r"architecture.block must be one of 'basic', .*'mine'"):
        cp.ResNet(table)


@keras.saving.register_keras_serializable("test_resnet")
class OwnKerasBlock(ct.Residual):
    """A student's block: no class attributes, no merge argument, no name."""

    def __init__(self, in_channels, out_channels, stride=1, shortcut="B", residual=True):
        conv = ct.Conv2d(in_channels, out_channels, 3, stride, name="conv")
        branch = keras.Sequential([conv, ct.BatchNorm2d(out_channels, name="norm")])
        carry = ct.shortcut(shortcut, in_channels, out_channels, stride)
        super().__init__(branch, carry if residual else None, activation=keras.layers.ReLU())

    def get_config(self):
        config = super().get_config()
        return {k: config[k] for k in config if k not in ("name", "trainable", "dtype")}


class OwnKerasPreActivation(ct.PreActivationBlock):
    """What the network asks is inherited."""


@keras.saving.register_keras_serializable("test_resnet")
def pooled(in_channels, out_channels, stride):
    if in_channels == out_channels and stride == 1:
        return ct.Identity()
    pool = keras.layers.AveragePooling2D(stride, padding="same")
    return keras.Sequential([pool, ct.Conv2d(in_channels, out_channels, 1)])


@pytest.mark.parametrize("block", [OwnKerasBlock, OwnKerasPreActivation])
@pytest.mark.parametrize("residual", [True, False])
def test_a_keras_network_of_ones_own_blocks(block, residual, tmp_path):
    model = ct.cifar_resnet(8, 4, pooled, residual, seed=0, block=block)
    blocks = [b for stage in model.get_layer("stages").layers for b in stage.layers]
    assert all(type(b) is block for b in blocks)
    final = block is OwnKerasPreActivation
    assert (model.get_layer("head").layers[0].name == "norm") == final
    assert ("norm" in [x.name for x in model.get_layer("stem").layers]) != final
    unique_paths(model)
    x = numbers((2, 8, 8, 3))
    model.save(tmp_path / "own.keras")
    own = {} if block is OwnKerasBlock else {"OwnKerasPreActivation": OwnKerasPreActivation}
    again = keras.models.load_model(tmp_path / "own.keras", custom_objects=own)
    np.testing.assert_array_equal(model(x), again(x))
    assert len(residual_blocks(model)) == 3


def test_a_class_that_keras_does_not_know_is_refused_when_loaded(tmp_path):
    ct.cifar_resnet(8, 4, "B", seed=0, block=OwnKerasPreActivation).save(tmp_path / "own.keras")
    with pytest.raises(TypeError, match="Could not locate class 'OwnKerasPreActivation'"):
        keras.models.load_model(tmp_path / "own.keras")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"block": "basic"}, "block must be a class"),
        ({"merge": "rezero"}, "merge must be None or make"),
        ({"merge": ct.Add()}, "merge must be None or make"),
        ({"merge": lambda c: c}, "merge must be None or make"),
        ({"shortcut": "D"}, "shortcut must be one of 'A', 'B', 'C'"),
        ({"shortcut": lambda i, o, s: None}, "shortcut must make a layer"),
    ],
)
def test_keras_refuses_what_cannot_be_a_part(options, named):
    with pytest.raises(ValueError, match=named):
        ct.cifar_resnet(8, 4, **{"shortcut": "B", **options})


def test_keras_refuses_an_unknown_block_with_the_known_ones():
    table = architectures.imagenet_resnet(18, "mine")
    with pytest.raises(ValueError, match=r"architecture.block must be one of 'basic', .*'mine'"):
        ct.ResNet(table)
