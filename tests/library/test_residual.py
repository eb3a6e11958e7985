"""The one idea: what goes to the branch, what comes back, what the control keeps."""

from __future__ import annotations

import inspect

import numpy as np
import pytest
import torch
from torch import nn

import companion.reference as ref
import companion.torch as cp
from companion import architectures, weights

torch.set_num_threads(1)


class Counted(nn.Linear):
    calls = 0

    def forward(self, x):
        self.calls += 1
        return super().forward(x)


def test_the_preactivation_is_shared_and_runs_once():
    before, branch, shortcut = Counted(4, 4), nn.Linear(4, 4), nn.Linear(4, 4)
    block = cp.Residual(branch, shortcut, activation=nn.ReLU(), preactivation=before)
    x = torch.randn(3, 4)
    u = nn.Linear.forward(before, x)
    assert torch.equal(block(x), torch.relu(shortcut(u) + branch(u))) and before.calls == 1
    plain = cp.Residual(branch, None, activation=nn.ReLU(), preactivation=before)
    assert torch.equal(plain(x), torch.relu(branch(u)))


def test_further_inputs_go_to_the_branch_and_its_first_output_is_merged():
    attention = nn.MultiheadAttention(8, 2, batch_first=True)
    x, memory = torch.randn(2, 5, 8), torch.randn(2, 3, 8)
    mask = torch.tensor([[False, False, True], [False, True, True]])
    expected = attention(x, memory, memory, key_padding_mask=mask)[0]
    block = cp.Residual(attention)
    assert torch.equal(block(x, memory, memory, key_padding_mask=mask), x + expected)
    normed = cp.sublayer(attention, 8)
    y = attention(normed.branch.norm(x), memory, memory)[0]
    assert torch.equal(normed(x, memory, memory), x + y)
    lstm = nn.LSTM(8, 8, batch_first=True)
    assert torch.equal(cp.Residual(lstm)(x), x + lstm(x)[0])
    assert torch.equal(cp.Residual(lstm, None)(x), lstm(x)[0])
    streams = torch.randn(2, 5, 3, 8)
    hyper = cp.HyperConnection(attention, 8, 3)
    assert hyper.branch is attention
    vector = streams[:, :, 0]  # the static weights read the first stream
    y = attention(vector, memory, memory)[0]
    torch.testing.assert_close(hyper(streams, memory, memory), streams + y[:, :, None])


def test_the_reference_hands_further_inputs_on():
    class Sum(ref.Layer):
        def forward(self, x, training=True, other=0):
            return x + other, "state"

        def backward(self, dy):
            return dy

    block = ref.Residual(Sum())
    assert block(np.ones(2), True, 3.0).tolist() == [5, 5]
    assert block.forward(np.ones(2), other=3.0).tolist() == [5, 5]
    assert block.backward(np.ones(2)).tolist() == [2, 2]


@pytest.mark.parametrize("package", [cp, ref])
def test_the_control_has_no_merge(package):
    relu = nn.ReLU() if package is cp else ref.ReLU()
    control = package.Residual(relu, None, package.ScaledAdd())
    assert control.merge is None
    assert weights.named_arrays(control) == {}


CONTROLS = [
    ("cifar_resnet", (8, 4), IMAGES := torch.randn(4, 3, 8, 8)),
    ("cifar_preact_resnet", (8, 4, "B"), IMAGES),
    ("fixup_resnet", (8, 4), IMAGES),
    ("dncnn", (4, 8, 3), IMAGES),
    ("residual_unet", (3, 4), IMAGES),
    ("speech_resnet", (7,), torch.randn(3, 20, 12)),
    *(
        ("residual_mlp", (16, 4, 2, 8, "none", m), torch.randn(8, 16))
        for m in ("rezero", "highway")
    ),
]


@pytest.mark.parametrize(("name", "args", "x"), CONTROLS)
def test_every_weight_of_a_control_gets_a_gradient(name, args, x):
    network = getattr(cp, name)(*args, seed=0, residual=False)
    network(x).square().sum().backward()
    assert [n for n, p in network.named_parameters() if p.requires_grad and p.grad is None] == []


def test_the_fixup_control_keeps_its_multiplier():
    for residual in (True, False):
        block = cp.FixupBlock(4, 4, residual=residual)
        nn.init.constant_(block.branch.scale.scale, 3.0)
        x = torch.randn(2, 4, 5, 5)
        y = 3 * block.branch[:-1](x)
        torch.testing.assert_close(block(x), torch.relu(x + y if residual else y))


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
