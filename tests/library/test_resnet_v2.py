"""ResNet-50 with norm and ReLU first: its published size, and its control."""

from __future__ import annotations

import pytest
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion import weights

torch.set_num_threads(1)


@pytest.mark.parametrize("package", [cp, pytest.param(ct, marks=pytest.mark.exhaustive)])
def test_resnet50_v2_has_the_published_size(package):
    arrays = weights.named_arrays(package.resnet50_v2(seed=0))
    # 25,613,800 in Keras's own summary, running statistics included.
    assert sum(a.size for a in arrays.values()) == 25_613_800
    plain = weights.named_arrays(package.resnet50_v2(residual=False, seed=0))
    assert plain.keys() < arrays.keys()
    assert all((plain[name] == arrays[name]).all() for name in plain)
