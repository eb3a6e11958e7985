"""Blocks without norms: both frameworks alike, and what their control keeps."""

from __future__ import annotations

import numpy as np
import torch
from torch import nn

import companion.tensorflow as ct
import companion.torch as cp
from tests.library.harness import (
    IMAGES,
    networks_agree,
    networks_are_saved_whole,
    numbers,
    refused_alike,
)

NETWORKS = [("fixup_resnet", (8, 4), {}, IMAGES)]
test_networks_start_alike_and_agree = networks_agree(NETWORKS)
test_keras_networks_are_saved_whole = networks_are_saved_whole(NETWORKS)


BAD = [("fixup_resnet", (9,), {}, "depth")]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)


def test_the_fixup_control_keeps_its_multiplier():
    for residual in (True, False):
        block = cp.FixupBlock(4, 4, residual=residual)
        nn.init.constant_(block.branch.scale.scale, 3.0)
        x = torch.randn(2, 4, 5, 5)
        y = 3 * block.branch[:-1](x)
        torch.testing.assert_close(block(x), torch.relu(x + y if residual else y))


def test_the_fixup_control_keeps_its_multiplier_in_keras():
    for residual in (True, False):
        block = ct.FixupBlock(4, 4, residual=residual)
        x = numbers((2, 6, 8, 4))
        block(x)
        before = np.asarray(block.branch(x))
        block.branch.get_layer("scale").scale.assign([3.0])
        y = 3 * before
        expected = np.maximum(x + y if residual else y, 0)
        np.testing.assert_allclose(block(x), expected, rtol=1e-5, atol=1e-6)
