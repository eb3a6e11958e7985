"""The transformer with each merge and each place of the norm: both frameworks alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion.torch.transformer import MERGES, NORMS
from tests.library.harness import (
    TOKENS,
    near,
    networks_agree,
    networks_are_saved_whole,
    refused_alike,
    to_numpy,
)

NETWORKS = [
    *(("transformer", (9, 2, 8), {"merge": merge}, TOKENS) for merge in MERGES),
    *(("transformer", (9, 2, 8), {"norm": norm}, TOKENS) for norm in NORMS[1:]),
    ("transformer", (9, 2, 8), {"norm": "post", "residual": False, "causal": False}, TOKENS),
]
#: The others place their norms otherwise, which tests/oracles asks of each, or add a factor.
KEPT = ("add", "highway", "stochastic_depth", "hyper", "depth_attention")
test_networks_start_alike_and_agree = networks_agree(
    NETWORKS, lambda case: case[2].get("merge") in KEPT or case[2].get("norm") == "sandwich"
)


#: The merges and norms differ in what is saved: one of each kind.
SAVED = ({"merge": "layer_scale"}, {"merge": "manifold"}, {"norm": "sandwich"})
test_keras_networks_are_saved_whole = networks_are_saved_whole(
    NETWORKS, lambda case: case[2] in SAVED
)


def test_attention_is_causal():
    for package in (cp, ct):
        model = package.transformer(9, 2, 8, seed=0)
        other = TOKENS.copy()
        other[:, 4:] = (other[:, 4:] + 1) % 9
        outputs = []
        for tokens in (TOKENS, other):
            y = model(torch.from_numpy(tokens) if package is cp else tokens)
            outputs.append(to_numpy(y) if package is cp else y.numpy())
        near(outputs[0][:, :4], outputs[1][:, :4], 1e-6)
        assert np.abs(outputs[0][:, 4:] - outputs[1][:, 4:]).max() > 0.1


@pytest.mark.parametrize("package", [cp, ct], ids=["torch", "tensorflow"])
def test_a_block_of_its_own_sees_later_tokens_unless_it_is_causal(package):
    x = np.random.default_rng(0).normal(size=(1, 5, 8)).astype(np.float32)
    other = x.copy()
    other[:, -1] = 0
    for options, seen in (({}, True), ({"causal": True}, False)):
        block = package.TransformerBlock(8, 2, **options)
        pair = [block(torch.from_numpy(a) if package is cp else a) for a in (x, other)]
        first, second = (to_numpy(y) if package is cp else y.numpy() for y in pair)
        assert (np.abs(first[:, 0] - second[:, 0]).max() > 1e-4) == seen


BAD = [
    ("transformer", (9, 2, 10), {}, "channels"),
    ("transformer", (9, 2), {"norm": "batch"}, "norm"),
    ("transformer", (9, 2), {"merge": "sum"}, "merge"),
    ("transformer", (9, 2), {"merge": "hyper", "norm": "post"}, "merge"),
    ("transformer", (9, 2), {"merge": "hyper", "residual": False}, "merge"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)
