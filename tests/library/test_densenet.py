"""Dense layers that concatenate: both frameworks alike, the published size."""

from __future__ import annotations

import pytest

import companion.tensorflow as ct
import companion.torch as cp
from tests.library.harness import (
    IMAGES,
    agree_as_blocks,
    agree_as_networks,
    ids,
    refused_alike,
    saved_as_block,
    saved_as_network,
    trained_numbers,
)

BLOCKS = [("DenseLayer", (6, 4), {})]
SAVED = [("DenseLayer", (6, 4), {})]


@pytest.mark.parametrize(("name", "args", "options"), BLOCKS)
@pytest.mark.parametrize("training", [True, False])
@pytest.mark.parametrize("size", [7, 8])
def test_blocks_agree(name, args, options, training, size):
    agree_as_blocks(name, args, options, training, size)


@pytest.mark.parametrize(("name", "args", "options"), SAVED)
def test_keras_blocks_are_saved_whole(name, args, options, tmp_path):
    saved_as_block(name, args, options, tmp_path)


NETWORKS = [("densenet_cifar", (10, 4), {}, IMAGES)]


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=ids(NETWORKS))
def test_networks_start_alike_and_agree(name, args, options, x):
    agree_as_networks(name, args, options, x)


@pytest.mark.parametrize(("name", "args", "options", "x"), NETWORKS, ids=ids(NETWORKS))
def test_keras_networks_are_saved_whole(name, args, options, x, tmp_path):
    saved_as_network(name, args, options, x, tmp_path)


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


@pytest.mark.parametrize(("name", "args", "options", "named"), BAD)
def test_both_frameworks_refuse_in_the_same_words(name, args, options, named):
    refused_alike(name, args, options, named)
