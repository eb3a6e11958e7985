"""What a user of PyTorch expects of any module: repr, meta device, torch.fx, one drawing."""

from __future__ import annotations

import copy
import inspect
import pickle
import re
from pathlib import Path

import pytest
import torch
import torch.fx
from torch import nn

import companion.torch as cp
from companion import weights
from companion.torch.checkpointed import CheckpointedNetwork
from companion.torch.hyper_connections import ManifoldWeights, StreamWeights
from companion.torch.transformer import Scale
from companion.torch.unet import Divisible
from tests.library.harness import FRAMES, IMAGES, TOKENS, VECTORS, exhaustive_but, to_torch

torch.set_num_threads(1)

IMAGES, TOKENS, VECTORS = to_torch(IMAGES), to_torch(TOKENS), to_torch(VECTORS)
LARGE = torch.randn(2, 3, 64, 66, generator=torch.Generator().manual_seed(0))
#: A small one of every network: its arguments, and an input.
NETWORKS = {
    "cifar_preact_resnet": ((14, 4, "B"), {}, IMAGES),
    "cifar_resnet": ((8, 4), {}, IMAGES),
    "densenet_cifar": ((10, 4), {}, IMAGES),
    "dncnn": ((4, 8, 3), {}, IMAGES),
    "fixup_resnet": ((8, 4), {}, IMAGES),
    "mnist_resnet": ((), {}, IMAGES[:, :1]),
    "residual_lstm": ((9, 2, 8), {}, TOKENS),
    "residual_mlp": ((16, 4, 2), {"norm": "batch", "merge": "highway"}, VECTORS),
    "residual_network": (((3, 16, 24), 5), {}, IMAGES),
    "residual_unet": ((3, 4), {"channels": 4}, IMAGES),
    "resnet18": ((), {"num_classes": 7}, LARGE),
    "resnet34": ((), {"num_classes": 7}, LARGE),
    "resnet50": ((), {"num_classes": 7}, LARGE),
    "resnet101": ((), {"num_classes": 7}, LARGE),
    "resnet152": ((), {"num_classes": 7}, LARGE),
    "resnet50_v2": ((), {"num_classes": 7}, LARGE),
    "resnext50_32x4d": ((), {"num_classes": 7}, LARGE),
    "revnet_cifar": ((14, 8), {}, IMAGES),
    "se_resnet50": ((), {"num_classes": 7}, LARGE),
    "speech_resnet": ((7,), {}, to_torch(FRAMES)),
    "transformer": ((9, 2, 8), {}, TOKENS),
    "wide_resnet": ((10, 1), {}, IMAGES),
    "wide_resnet50_2": ((), {"num_classes": 7}, LARGE),
}
MORE = {
    f"transformer {merge}": ((9, 2, 8), {"merge": merge}, TOKENS)
    for merge in ("rezero", "layer_scale", "highway", "stochastic_depth", "hyper", "manifold")
}
MORE["transformer depth_attention"] = ((9, 2, 8), {"merge": "depth_attention"}, TOKENS)
MORE["transformer sandwich"] = ((9, 2, 8), {"norm": "sandwich"}, TOKENS)
ALL = {**NETWORKS, **MORE}
#: Of the deepest nothing is told that a shallower one of the same blocks does not tell.
#: Of the networks of their kind the larger ones.
WIDE = ("resnet50_v2", "resnext50_32x4d", "se_resnet50", "wide_resnet50_2")
SHALLOW = [name for name in ALL if name not in ("resnet34", "resnet101", "resnet152")]


def build(name, **more):
    args, options, _ = ALL[name]
    return getattr(cp, name.split()[0])(*args, **options, **more)


def test_no_network_is_left_out():
    functions = {n for n in cp.__all__ if inspect.isfunction(getattr(cp, n))}
    helpers = {"evaluate", "export_onnx", "feed_forward", "fit", "optimize_for_inference"}
    helpers |= {"predict", "residual_block", "shortcut", "sinkhorn", "sublayer", "use_threads"}
    helpers |= {"train", "convert_sync_batch_norm"}  # where there are such
    assert functions - helpers == set(NETWORKS)


@pytest.mark.parametrize("name", ALL)
def test_weights_are_drawn_once_and_from_the_seed_alone(name):
    before = torch.get_rng_state()
    build(name, seed=0)
    assert torch.equal(before, torch.get_rng_state())


def test_without_a_seed_pytorch_draws_it():
    states = []
    for _ in range(2):
        torch.manual_seed(5)
        states.append(cp.cifar_resnet(8, 4).stem.conv.weight)
    assert torch.equal(*states)
    assert not torch.equal(states[0], cp.cifar_resnet(8, 4).stem.conv.weight)


@pytest.mark.parametrize("name", exhaustive_but(SHALLOW, lambda name: name not in WIDE))
def test_networks_are_built_on_the_meta_device_and_filled_later(name):
    expected = build(name, seed=3).state_dict()
    with torch.device("meta"):
        network = build(name, seed=0)
    assert all(t.is_meta for t in network.state_dict().values())
    network.to_empty(device="cpu")
    for tensor in network.state_dict().values():  # whatever the memory held
        tensor.fill_(7)
    weights.initialize(network, 3, "fixup" if name == "fixup_resnet" else "he")
    for key, tensor in network.state_dict().items():
        assert torch.equal(tensor, expected[key]), key


def test_values_of_the_meta_device_cannot_be_read():
    with torch.device("meta"):
        network = cp.mnist_resnet(seed=0)
    with pytest.raises(ValueError, match=r"'stem.conv' on the meta device"):
        weights.named_arrays(network)
    with pytest.raises(ValueError, match="meta"):
        weights.transfer(network, cp.mnist_resnet(seed=0))


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", exhaustive_but(SHALLOW, lambda name: name not in WIDE))
def test_networks_are_traced_by_fx(name, training):
    network, x = build(name, seed=0).train(training), ALL[name][2]
    if training and "stochastic" in name:
        torch.manual_seed(0)
    traced = torch.fx.symbolic_trace(network)
    if training:  # each has its own running statistics, and draws on its own
        traced = copy.deepcopy(traced)
    with torch.random.fork_rng():
        expected = network(x)
    assert torch.equal(traced(x), expected)


@pytest.mark.parametrize("name", exhaustive_but(SHALLOW, lambda name: name not in WIDE))
def test_features_come_from_hooks_and_from_the_traced_graph(name):
    network, x = build(name, seed=0).eval(), ALL[name][2]
    blocks = [n for n, m in network.named_children() if not isinstance(m, nn.ReLU)]
    hooked, handles = {}, []
    for block in blocks:

        def keep(module, inputs, output, block=block):
            hooked[block] = output.clone()

        handles.append(network.get_submodule(block).register_forward_hook(keep))
    y = network(x)
    for handle in handles:
        handle.remove()
    rest = x
    for block, part in network.named_children():  # in a row, in every network
        rest = part(rest)
        assert block not in hooked or torch.equal(rest, hooked[block])
    traced = torch.fx.symbolic_trace(network)
    leaf = next(n for n in traced.graph.nodes if n.op == "call_module")
    seen = []
    part = network.get_submodule(leaf.target)
    handle = part.register_forward_hook(lambda module, inputs, output: seen.append(output.clone()))
    network(x)
    handle.remove()
    output = next(n for n in traced.graph.nodes if n.op == "output")
    output.args = ((leaf, output.args[0]),)
    traced.graph.eliminate_dead_code()
    traced.recompile()
    first, last = traced(x)
    assert torch.equal(first, seen[0]) and torch.equal(last, y) and torch.equal(rest, y)


@pytest.mark.parametrize("training", [False, True])
@pytest.mark.parametrize("name", exhaustive_but(SHALLOW, lambda name: name not in WIDE))
def test_networks_are_converted_to_synchronised_norms(name, training):
    network, x = build(name, seed=0), ALL[name][2]
    if name == "speech_resnet":
        x = torch.randn(3, network.stem.out_channels, 12)  # as many steps as channels
    torch.manual_seed(0)
    network(x)  # statistics other than 0 and 1
    before = [weights.named_arrays(network), list(network.state_dict())]
    converted = nn.SyncBatchNorm.convert_sync_batchnorm(copy.deepcopy(network))
    assert not any(isinstance(m, (nn.BatchNorm1d, nn.BatchNorm2d)) for m in converted.modules())
    after = weights.named_arrays(converted)
    assert all((a == after[k]).all() for k, a in before[0].items()) and len(after) == len(before[0])
    assert list(converted.state_dict()) == before[1]
    outputs = []
    for model in (network, converted):
        torch.manual_seed(0)
        outputs.append(model.train(training)(x))
    assert torch.equal(*outputs)


def test_averaged_weights_get_statistics_of_their_own():
    network, x = build("speech_resnet", seed=0), ALL["speech_resnet"][2]
    network.norm.vectors.running_mean.fill_(7)
    torch.optim.swa_utils.update_bn([x], network)
    mean = network.stem(x).mean((0, 1))
    torch.testing.assert_close(network.norm.vectors.running_mean, mean)


def test_a_traced_block_reads_as_the_equation_and_still_checks():
    traced = torch.fx.symbolic_trace(cp.BasicBlock(4, 8, 2))
    assert [n.target for n in traced.graph.nodes if n.op == "call_module"] == [
        *("branch.conv1", "branch.norm1", "branch.relu1", "branch.conv2", "branch.norm2"),
        *("shortcut.conv", "shortcut.norm", "merge", "activation"),
    ]
    with pytest.raises(ValueError, match="x must have 4 channels"):
        traced(torch.zeros(2, 3, 8, 8))
    several = torch.fx.symbolic_trace(nn.Sequential(cp.Residual(nn.LSTM(4, 4, batch_first=True))))
    x = torch.randn(2, 3, 4)
    assert torch.equal(several(x), x + several.get_submodule("0.branch")(x)[0])


@pytest.mark.parametrize("name", exhaustive_but(SHALLOW, lambda name: name not in WIDE))
def test_networks_are_copied_and_pickled(name):
    network, x = build(name, seed=0).eval(), ALL[name][2]
    expected = network(x)
    for again in (copy.deepcopy(network), pickle.loads(pickle.dumps(network))):
        assert torch.equal(again(x), expected)


WITH_ARGUMENTS = [
    (cp.Attention(8, 2, causal=True), "heads=2, causal=True"),
    (cp.BatchNorm1d(4), "4, eps"),
    (cp.BatchNorm2d(4), "4, eps"),
    (CheckpointedNetwork(nn.ReLU(), nn.Sequential(nn.ReLU()), nn.ReLU(), 1), "segments=1"),
    (cp.Concatenate(), "axis=1"),
    (cp.Conv1d(3, 4, dilation=2), "3, 4, kernel_size=(3,), stride=(1,)"),
    (cp.Conv2d(3, 4, groups=1), "3, 4, kernel_size=(3, 3)"),
    (cp.Dense(3, 4), "in_features=3, out_features=4"),
    (cp.DepthPooling(4), "4"),
    (Divisible(4), "4"),
    (cp.Embedding(9, 4), "9, 4"),
    (cp.ExpandStreams(3), "3"),
    (cp.HiddenDense(3, 4), "in_features=3, out_features=4"),
    (cp.Highway(4, bias=-1, axis=-1), "4, bias=-1, axis=-1"),
    (cp.LSTM(3, 4), "3, 4, batch_first=True"),
    (cp.LayerNorm(4), "(4,), eps"),
    (cp.LayerScale(4), "4, initial=0.0001, axis=1"),
    (cp.ReversibleSequential(cp.ReversibleBlock(4, 4), recompute=False), "recompute=False"),
    (Scale(0.5), "0.5"),
    (cp.ScaledAdd(0.3), "initial=0.3"),
    (cp.SinusoidalPositions(8), "8"),
    (cp.StochasticDepth(0.7), "0.7"),
    (cp.ZeroPad(4, 8, 2), "4, 8, stride=2"),
]


@pytest.mark.parametrize(
    ("module", "said"), WITH_ARGUMENTS, ids=[type(m).__name__ for m, _ in WITH_ARGUMENTS]
)
def test_modules_say_their_arguments(module, said):
    assert said in module.extra_repr()


def test_no_public_module_keeps_its_arguments_to_itself():
    said = {type(module) for module, _ in WITH_ARGUMENTS}
    for name in cp.__all__:
        kind = getattr(cp, name)
        if not inspect.isclass(kind) or not issubclass(kind, nn.Module) or kind in said:
            continue
        arguments = set(inspect.signature(kind).parameters) - {"args", "kwargs"}
        inside = issubclass(kind, (cp.Residual, nn.Sequential, cp.ResNet, cp.SqueezeExcitation))
        assert not arguments or inside, name  # those are said by the modules inside them


def test_streams_say_what_they_hold():
    text = repr(cp.HyperConnection(nn.ReLU(), 4, 3))
    assert "(mix): StreamWeights(4, streams=3, k=3)" in text
    text = repr(cp.ManifoldHyperConnection(nn.ReLU(), 4, 3))
    assert "(read): ManifoldWeights(12, streams=3, k=1)" in text
    assert issubclass(ManifoldWeights, StreamWeights)


OWN = [
    *(cp.ScaledAdd(0.3), cp.LayerScale(4, 0.3), cp.Highway(4), cp.DepthPooling(4)),
    *(cp.ScalarScale(), cp.ScalarBias(), cp.HyperConnection(nn.Identity(), 4, 3).shortcut.read),
]


@pytest.mark.parametrize("layer", OWN, ids=[type(layer).__name__ for layer in OWN])
def test_own_parameters_can_be_reset(layer):
    layer = copy.deepcopy(layer)
    before = copy.deepcopy(layer.state_dict())
    assert set(before) == set(layer.own_parameters)
    for p in layer.parameters():
        p.data.fill_(9)
    weights.initialize(layer, 0)
    assert all(torch.equal(v, before[k]) for k, v in layer.state_dict().items())


def test_no_private_operators():
    others = {"inference.py", "training.py", "distributed.py", "export.py", "costs.py"}
    others.add("_tracing.py")  # torch.func has no public word for "within a transform"
    for path in Path(cp.__file__).parent.glob("*.py"):
        if path.name not in others:
            assert not re.findall(
                r"\b(?<!companion\.)torch\._\w+|\bnn\._\w+\.", path.read_text("utf-8")
            ), path.name
