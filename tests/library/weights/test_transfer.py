"""Weights move from one framework to another whole, or not at all."""

from __future__ import annotations

import keras
import numpy as np
import pytest
import torch

import companion.reference as ref
import companion.tensorflow as ct
import companion.torch as cp
from companion import weights

torch.set_num_threads(1)


def test_transfer_there_and_back_is_exact():
    source, middle = cp.cifar_resnet(8, seed=0), ct.cifar_resnet(8, seed=1)
    back = cp.cifar_resnet(8, seed=2)
    weights.transfer(source, middle)
    weights.transfer(middle, back)
    a, b = weights.named_arrays(source), weights.named_arrays(back)
    assert all((a[name] == b[name]).all() for name in a)


def test_transfer_refuses_another_shape_and_changes_nothing():
    source, target = cp.cifar_resnet(8, seed=0), cp.cifar_resnet(8, width=8, seed=1)
    before = weights.named_arrays(target)
    with pytest.raises(ValueError, match=r"stem\.conv"):
        weights.transfer(source, target)
    after = weights.named_arrays(target)
    assert all((before[name] == after[name]).all() for name in before)


@pytest.mark.parametrize(
    ("source", "target", "named"),
    [
        (lambda: cp.BasicBlock(4, 4), lambda: ref.BottleneckBlock(4, 4), "branch"),
        (lambda: cp.BasicBlock(4, 4), lambda: ct.BasicBlock(4, 8), "branch.conv1"),
        (lambda: cp.BasicBlock(4, 8), lambda: ref.BasicBlock(4, 8, residual=False), "shortcut"),
        (lambda: cp.BasicBlock(4, 4).double(), lambda: ct.BasicBlock(4, 4), "float64"),
        (lambda: cp.BasicBlock(4, 4), lambda: "a string", "str"),
        (lambda: torch.nn.LSTM(3, 3), lambda: cp.BasicBlock(4, 4), "LSTM"),
    ],
)
def test_transfer_refuses_and_changes_nothing(source, target, named):
    source, target = source(), target()
    before = None if isinstance(target, str) else weights.named_arrays(target)
    with pytest.raises(ValueError, match=named):
        weights.transfer(source, target)
    if before:
        after = weights.named_arrays(target)
        assert all((before[name] == after[name]).all() for name in before)


def test_a_layer_of_the_reference_that_names_no_parameters_is_unknown():
    layer = ref.Identity()
    layer.params["weight"] = np.ones(2)
    with pytest.raises(ValueError, match="Identity"):
        weights.named_arrays(ref.Sequential(part=layer))


def test_no_weights_move_while_keras_is_unbuilt_or_layers_are_unknown():
    with pytest.raises(ValueError, match="unbuilt"):
        weights.named_arrays(keras.Sequential([keras.layers.Dense(3)]))
