"""Dense layers that concatenate: both frameworks alike, the published size."""

from __future__ import annotations

import pytest

import companion.tensorflow as ct
import companion.torch as cp
from tests.library.harness import (
    IMAGES,
    blocks_agree,
    blocks_are_saved_whole,
    networks_agree,
    networks_are_saved_whole,
    refused_alike,
    trained_numbers,
)

BLOCKS = [("DenseLayer", (6, 4), {})]
SAVED = [("DenseLayer", (6, 4), {})]
test_blocks_agree = blocks_agree(BLOCKS)
test_keras_blocks_are_saved_whole = blocks_are_saved_whole(SAVED)


NETWORKS = [("densenet_cifar", (10, 4), {}, IMAGES)]
test_networks_start_alike_and_agree = networks_agree(NETWORKS)
test_keras_networks_are_saved_whole = networks_are_saved_whole(NETWORKS)


@pytest.mark.parametrize("package", [cp, pytest.param(ct, marks=pytest.mark.exhaustive)])
@pytest.mark.parametrize(("name", "args", "count"), [("densenet_cifar", (100, 12), 769_162)])
def test_sizes_are_the_published_ones(name, args, count, package):
    # DenseNet-BC-100-12: 0.8M in table 2 of the paper.
    assert trained_numbers(getattr(package, name)(*args)) == count


BAD = [
    ("DenseLayer", (8, 0), {}, "growth"),
    ("densenet_cifar", (12,), {}, "depth"),
    ("densenet_cifar", (10, 0), {}, "growth"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)
