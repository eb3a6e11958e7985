"""DenseNet-BC against Huang et al. 2017 (arXiv 1608.06993), section 3 and table 2."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from companion import weights

from .harness import BOTH, batch_norm, build, check, conv, dense, normal


def layer(w, training, x):
    """Section 3, bottleneck layers: BN-ReLU-Conv(1x1)-BN-ReLU-Conv(3x3), eq. 2 around them."""
    b = w.at("branch")
    y = conv(torch.relu(batch_norm(x, b.at("norm1"), training)), b("conv1.weight"))
    y = conv(torch.relu(batch_norm(y, b.at("norm2"), training)), b("conv2.weight"))
    return torch.cat([x, y], 1)


@pytest.mark.parametrize("framework", BOTH)
def test_dense_layer(framework):
    block = build(framework, "DenseLayer", 5, 3)
    got = check(framework, block, layer, normal(3, 5, 4, 5))
    assert got.y.shape == (3, 8, 4, 5)
    # each 1x1 makes 4 k maps
    assert weights.named_arrays(block)["branch.conv1.weight"].shape == (12, 5, 1, 1)


@pytest.mark.parametrize("framework", BOTH)
def test_the_network(framework):
    # 2 k maps from the stem; transitions BN-ReLU-1x1 to half of the maps (compression 0.5), then
    # 2x2 average pooling; BN-ReLU, pooling and a classifier at the end.
    network = build(framework, "densenet_cifar", 16, 3, in_channels=2, num_classes=4)

    def oracle(w, training, x):
        x = conv(x, w("stem.weight"))
        assert x.shape[1] == 6
        for stage in range(3):
            if stage:
                t = w.at(f"narrow{stage}")
                maps = x.shape[1]
                x = conv(torch.relu(batch_norm(x, t.at("norm"), training)), t("conv.weight"))
                assert x.shape[1] == maps // 2
                x = F.avg_pool2d(x, 2)
            for i in range(2):
                x = layer(w.at(f"stage{stage}", str(i)), training, x)
        own = type(w)({n: t for n, t in w.tensors.items() if n.startswith("norm.")})
        x = torch.relu(batch_norm(x, own, training)).mean((2, 3))
        return dense(x, w.at("dense"))

    check(framework, network, oracle, normal(3, 2, 8, 8), training=False)


@pytest.mark.parametrize(("depth", "growth", "millions"), [(100, 12, 0.8), (250, 24, 15.3)])
def test_table_2(depth, growth, millions, undrawn):
    # L = 100, k = 12 and L = 250, k = 24, both BC. Keras takes long to build them.
    arrays = weights.named_arrays(build("torch", "densenet_cifar", depth, growth))
    count = sum(a.size for k, a in arrays.items() if "running_" not in k)
    assert round(count / 1e6, 1) == millions
    layers = [k for k, a in arrays.items() if a.ndim > 1]
    assert len(layers) == depth
