"""What a user of Keras expects of any layer: paths, shapes, dtypes, names, and files."""

from __future__ import annotations

import ast
import inspect
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

import companion.tensorflow as ct
from companion import architectures, weights
from tests.library.harness import exhaustive_but, numbers, unique_paths

IMAGE, FRAMES, VECTOR, TOKENS = (2, 6, 8, 4), (2, 5, 4), (2, 4), (2, 5)
STREAMS = (2, 5, 4, 4)


def branch():
    return keras.layers.Dense(4, name="mine")


#: Every public layer: how it is made, and the shapes of its inputs.
LAYERS = {
    "Add": (lambda **k: ct.Add(**k), IMAGE, IMAGE),
    "AdditiveCoupling": (lambda **k: ct.AdditiveCoupling(**k), IMAGE, (2, 6, 8, 2)),
    "Append": (lambda **k: ct.Append(**k), STREAMS, FRAMES),
    "Attention": (lambda **k: ct.Attention(4, 2, **k), FRAMES),
    "BasicBlock": (lambda **k: ct.BasicBlock(4, 8, 2, **k), IMAGE),
    "BatchNorm1d": (lambda **k: ct.BatchNorm1d(4, **k), FRAMES),
    "BatchNorm2d": (lambda **k: ct.BatchNorm2d(4, **k), IMAGE),
    "BottleneckBlock": (lambda **k: ct.BottleneckBlock(4, 8, 2, "A", **k), IMAGE),
    "BottleneckBlockV1": (lambda **k: ct.BottleneckBlockV1(4, 8, 2, "C", **k), IMAGE),
    "Concatenate": (lambda **k: ct.Concatenate(axis=2, **k), IMAGE, IMAGE),
    "Conv1d": (lambda **k: ct.Conv1d(4, 6, dilation=2, **k), FRAMES),
    "Conv2d": (lambda **k: ct.Conv2d(4, 6, 3, 2, **k), IMAGE),
    "Dense": (lambda **k: ct.Dense(4, 6, **k), VECTOR),
    "DenseLayer": (lambda **k: ct.DenseLayer(4, 3, **k), IMAGE),
    "DepthAttentionBlock": (lambda **k: ct.DepthAttentionBlock(branch(), 4, **k), STREAMS),
    "DepthPooling": (lambda **k: ct.DepthPooling(4, **k), STREAMS),
    "Embedding": (lambda **k: ct.Embedding(9, 4, **k), TOKENS),
    "ExpandStreams": (lambda **k: ct.ExpandStreams(3, **k), FRAMES),
    "FixupBlock": (lambda **k: ct.FixupBlock(4, 8, 2, **k), IMAGE),
    "GlobalAveragePool": (lambda **k: ct.GlobalAveragePool(**k), IMAGE),
    "HiddenDense": (lambda **k: ct.HiddenDense(4, 6, **k), VECTOR),
    "Highway": (lambda **k: ct.Highway(6, axis=1, **k), IMAGE, IMAGE),
    "HyperConnection": (lambda **k: ct.HyperConnection(branch(), 4, 4, index=5, **k), STREAMS),
    "Identity": (lambda **k: ct.Identity(**k), IMAGE),
    "LSTM": (lambda **k: ct.LSTM(4, 6, **k), FRAMES),
    "LayerNorm": (lambda **k: ct.LayerNorm(4, **k), FRAMES),
    "LayerScale": (lambda **k: ct.LayerScale(6, axis=1, **k), IMAGE, IMAGE),
    "MLPBlock": (lambda **k: ct.MLPBlock(4, "batch", "rezero", **k), VECTOR),
    "ManifoldHyperConnection": (lambda **k: ct.ManifoldHyperConnection(branch(), 4, **k), STREAMS),
    "PreActivationBlock": (lambda **k: ct.PreActivationBlock(4, 8, 2, **k), IMAGE),
    "PreActivationBottleneckBlock": (
        lambda **k: ct.PreActivationBottleneckBlock(4, 4, 1, "C", **k),
        IMAGE,
    ),
    "Projection": (lambda **k: ct.Projection(4, 8, 2, **k), IMAGE),
    "ReduceStreams": (lambda **k: ct.ReduceStreams(**k), STREAMS),
    "ResNeXtBlock": (lambda **k: ct.ResNeXtBlock(4, 64, **k), IMAGE),
    "Residual": (lambda **k: ct.Residual(branch(), **k), IMAGE),
    "ReversibleBlock": (lambda **k: ct.ReversibleBlock(4, 8, 2, **k), IMAGE),
    "ReversibleSequential": (
        lambda **k: ct.ReversibleSequential(*(ct.ReversibleBlock(4, 4, name=n) for n in "ab"), **k),
        IMAGE,
    ),
    "SEBottleneckBlock": (lambda **k: ct.SEBottleneckBlock(4, 8, 2, **k), IMAGE),
    "ScalarBias": (lambda **k: ct.ScalarBias(**k), IMAGE),
    "ScalarScale": (lambda **k: ct.ScalarScale(**k), IMAGE),
    "ScaledAdd": (lambda **k: ct.ScaledAdd(0.5, **k), IMAGE, IMAGE),
    "SeparableBlock": (lambda **k: ct.SeparableBlock(4, 8, 2, **k), IMAGE),
    "SinusoidalPositions": (lambda **k: ct.SinusoidalPositions(4, **k), FRAMES),
    "SqueezeExcitation": (lambda **k: ct.SqueezeExcitation(4, 2, **k), IMAGE),
    "StochasticDepth": (lambda **k: ct.StochasticDepth(0.5, **k), IMAGE, IMAGE),
    "Subtract": (lambda **k: ct.Subtract(**k), IMAGE, IMAGE),
    "TemporalBlock": (lambda **k: ct.TemporalBlock(4, 2, **k), FRAMES),
    "TransformerBlock": (lambda **k: ct.TransformerBlock(4, 2, "sandwich", **k), FRAMES),
    "WideBottleneckBlock": (lambda **k: ct.WideBottleneckBlock(4, 8, residual=False, **k), IMAGE),
    "ZeroPad": (lambda **k: ct.ZeroPad(4, 8, 2, **k), IMAGE),
}
#: What is given to them has a dtype of its own.
WRAPPERS = {"Residual", "HyperConnection", "ManifoldHyperConnection", "DepthAttentionBlock"}
#: A small one of every network.
NETWORKS = {
    "cifar_preact_resnet": ((8, 4, "B"), {}),
    "cifar_resnet": ((8, 4), {"merge": ct.Highway}),
    "densenet_cifar": ((10, 4), {}),
    "dncnn": ((4, 8, 3), {}),
    "fixup_resnet": ((8, 4), {}),
    "mnist_resnet": ((), {}),
    "residual_lstm": ((9, 2, 8), {}),
    "residual_mlp": ((16, 4, 2), {"norm": "batch", "merge": "layer_scale"}),
    "residual_network": (((16, 24, 3), 5), {}),
    "residual_unet": ((3, 4), {"channels": 4}),
    "resnet18": ((), {"num_classes": 7}),
    "resnet50_v2": ((), {"num_classes": 7}),
    "revnet_cifar": ((14, 8), {}),
    "speech_resnet": ((7,), {}),
    "transformer": ((9, 2, 8), {"merge": "hyper"}),
    "wide_resnet": ((10, 1), {}),
}
LARGE = ("resnet18", "resnet50_v2")
#: Those that differ from one above in the depth or in the kind of block alone.
SIMILAR = {
    *("resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "se_resnet50", "wide_resnet50_2"),
}


def build(name, **options):
    args, own = NETWORKS[name]
    return getattr(ct, name)(*args, **{**own, **options})


def test_the_lists_are_complete():
    public = {name: getattr(ct, name) for name in ct.__all__}
    layers = {
        n
        for n, p in public.items()
        if inspect.isclass(p) and issubclass(p, keras.layers.Layer) and p is not ct.ResNet
    }
    networks = {
        n
        for n, p in public.items()
        if inspect.isfunction(p) and "seed" in inspect.signature(p).parameters
    }
    assert layers == LAYERS.keys()
    assert networks - {"fit"} <= NETWORKS.keys() and NETWORKS.keys() & SIMILAR == set()


def unbuilt(config):
    """Return a configuration without the shapes that layers inside were built with."""
    if isinstance(config, list):
        return [unbuilt(each) for each in config]
    if not isinstance(config, dict):
        return config
    return {
        k: unbuilt(v) for k, v in config.items() if k not in ("build_config", "build_input_shape")
    }


@pytest.mark.parametrize("name", LAYERS)
def test_a_layer_is_what_keras_users_expect(name, tmp_path):
    make, *shapes = LAYERS[name]
    inputs = [numbers(shape, name) for shape in shapes]
    layer = make(name="named")
    outputs = np.asarray(layer(*inputs))
    assert layer.compute_output_shape(*shapes) == outputs.shape  # once it is built
    assert make().compute_output_shape(*shapes) == outputs.shape  # and before
    unknown = [(None, *shape[1:]) for shape in shapes]
    assert layer.compute_output_shape(*unknown) == (None, *outputs.shape[1:])
    unique_paths(layer)
    assert all(v.path.startswith("named/") or "seed_gen" in v.path for v in layer.variables)
    symbols = [keras.Input(x.shape[1:], dtype=x.dtype.name) for x in inputs]
    model = keras.Model(symbols, layer(*symbols))
    assert model.output_shape == (None, *outputs.shape[1:])
    model.save(tmp_path / "layer.keras")
    again = keras.models.load_model(tmp_path / "layer.keras")
    np.testing.assert_array_equal(outputs, np.asarray(again(inputs)))
    assert unbuilt(again.get_layer("named").get_config()) == unbuilt(layer.get_config())


@pytest.mark.parametrize("name", LAYERS)
def test_a_layers_name_dtype_and_frozen_parts_survive(name):
    make, *shapes = LAYERS[name]
    layer = make(name="named", dtype="mixed_float16", trainable=False)
    again = type(layer).from_config(layer.get_config())
    for each in (layer, again):
        assert each.name == "named" and not each.trainable
        made = each._flatten_layers()
        if name in WRAPPERS:
            assert each.branch.name == "mine" and each.branch.dtype_policy.name == "float32"
            made = [inner for inner in made if inner is not each.branch]
        if name != "ReversibleSequential":  # it is given all of its layers
            assert {inner.dtype_policy.name for inner in made} == {"mixed_float16"}
    outputs = layer(*(numbers(shape, name) for shape in shapes))
    assert outputs.dtype == ("float32" if name == "ReversibleSequential" else "float16")
    assert {v.dtype for v in layer.variables} <= {"float32", "uint32", "int64"}
    layer = make()
    inner = layer._flatten_layers(include_self=False)[::2]
    for each in inner:
        each.trainable = False
    again = type(layer).from_config(layer.get_config())
    flags = [[x.trainable for x in each._flatten_layers()] for each in (layer, again)]
    assert flags[0] == flags[1] and (not inner or False in flags[0])


@pytest.mark.parametrize("name", exhaustive_but(NETWORKS, lambda name: name not in LARGE))
def test_a_network_is_what_keras_users_expect(name, tmp_path):
    model = build(name, seed=0)
    unique_paths(model)
    shape = tuple(s or 16 for s in model.input_shape)
    outputs = model(np.zeros(shape, model.inputs[0].dtype))
    assert model.compute_output_shape(shape) == tuple(outputs.shape)
    lines = []
    model.summary(expand_nested=True, print_fn=lines.append, line_length=200)
    merges = [r.merge for r in model._flatten_layers() if isinstance(r, ct.Residual)]
    shown = "\n".join(lines)
    for kind in {type(m) for m in merges}:
        assert shown.count(f"({kind.__name__})") == sum(type(m) is kind for m in merges), kind
    assert merges and (name != "cifar_resnet" or all(isinstance(m, ct.Highway) for m in merges))
    model.name = "renamed"
    model.layers[0].trainable = False
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    assert again.name == "renamed"
    unique_paths(again)
    if name != "cifar_resnet":  # Highways that the caller makes have names that Keras numbers
        paths = [[v.path for v in m.variables if "seed_gen" not in v.path] for m in (model, again)]
        assert paths[0] == paths[1]
    assert len(again.trainable_variables) == len(model.trainable_variables)
    np.testing.assert_array_equal(outputs, again(np.zeros(shape, model.inputs[0].dtype)))


def test_a_networks_dtype_is_saved(tmp_path):
    model = ct.ResNet(architectures.cifar_resnet(8, 4), seed=0, name="half", dtype="mixed_float16")
    try:
        keras.config.set_dtype_policy("mixed_float16")
        other = ct.dncnn(3, 4, seed=0)
    finally:
        keras.config.set_dtype_policy("float32")
    for each in (model, other):
        again = type(each).from_config(each.get_config())
        for network in (each, again):
            names = {layer.dtype_policy.name for layer in network._flatten_layers()}
            assert names <= {"mixed_float16", "float16"}
        assert keras.config.dtype_policy().name == "float32"
    assert model.name == again.name or again.name == "dncnn"
    assert model(np.zeros((1, 8, 8, 3))).dtype == "float16"


#: Sum and sum of squares of all drawn weights at seed 0: they depend on the layers' names.
FIRST_WEIGHTS = {
    "cifar_preact_resnet": (17.0633, 126.9136),
    "cifar_resnet": (13.5920, 101.4656),
    "densenet_cifar": (-10.3242, 191.1529),
    "dncnn": (14.7369, 58.2478),
    "fixup_resnet": (8.6761, 16.9542),
    "mnist_resnet": (3.9554, 458.4725),
    "residual_lstm": (11.0960, 138.3687),
    "residual_mlp": (-26.2221, 586.2394),
    "residual_network": (36.6609, 1289.5535),
    "residual_unet": (56.6718, 377.2515),
    "resnet18": (-6.4500, 7698.8454),
    "resnet50_v2": (164.2287, 45117.0622),
    "revnet_cifar": (-2.0860, 216.6402),
    "speech_resnet": (-7.9686, 419.8818),
    "transformer": (19.9771, 201.2311),
    "wide_resnet": (-4.4597, 459.1970),
}


@pytest.mark.parametrize("name", FIRST_WEIGHTS)
def test_the_first_weights_stay_what_they_were(name):
    arrays = weights.named_arrays(build(name, seed=0))
    drawn = [a.astype(float) for n, a in arrays.items() if a.ndim > 1 and "dynamic" not in n]
    found = [sum(a.sum() for a in drawn), sum((a**2).sum() for a in drawn)]
    np.testing.assert_allclose(found, FIRST_WEIGHTS[name], rtol=1e-5, atol=1e-3)


def test_layers_of_ones_own_keep_their_names_and_are_the_branch():
    for wrap in (
        ct.Residual,
        lambda b: ct.HyperConnection(b, 4),
        lambda b: ct.ManifoldHyperConnection(b, 4),
        lambda b: ct.DepthAttentionBlock(b, 4),
    ):
        own = branch()
        block = wrap(own)
        assert block.branch is own and own.name == "mine"
        inside = weights.named_arrays(_called(block, STREAMS))
        assert "branch.weight" in inside
    own = branch()
    block = ct.sublayer(own, 4)
    assert block.branch.function is own and own.name == "mine"
    assert "branch.function.weight" in weights.named_arrays(_called(block, FRAMES))
    blocks = [ct.ReversibleBlock(4, 4, name=name) for name in ("first", "second")]
    assert [b.name for b in ct.ReversibleSequential(*blocks).blocks] == ["first", "second"]


def _called(layer, shape):
    layer(numbers(shape))
    return layer


CONTROLS = ["cifar_resnet", "cifar_preact_resnet", "fixup_resnet", "residual_mlp", "dncnn"]


@pytest.mark.parametrize("name", CONTROLS)
def test_every_weight_of_a_control_gets_a_gradient(name):
    model = build(name, seed=0, residual=False)
    x = numbers(tuple(s or 8 for s in model.input_shape))
    with tf.GradientTape() as tape:
        loss = tf.reduce_sum(model(x, training=True) ** 2)
    gradients = tape.gradient(loss, [v.value for v in model.trainable_variables])
    assert None not in gradients


def test_symbolic_calls_refuse_what_calls_refuse():
    symbol = keras.Input((8, 8, 3))
    for layer in (ct.Conv2d(4, 4), ct.BasicBlock(4, 4), ct.BatchNorm2d(4), ct.ZeroPad(4, 8)):
        with pytest.raises(ValueError, match="4 channels"):
            layer(symbol)
    with pytest.raises(ValueError, match="same shape"):
        ct.Add()(symbol, keras.Input((8, 8, 1)))


def test_no_private_module_is_imported():
    for path in Path(ct.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(re.match(r"(tensorflow\.python|keras\.src)\b", n) for n in names), path


def test_features_come_from_a_model_of_the_same_layers():
    network = ct.cifar_resnet(8, 4, in_channels=1, seed=0)
    x = np.random.default_rng(0).random((2, 8, 8, 1), np.float32)
    at_once = keras.Model(network.inputs[0], network.get_layer("stages").output)
    y = network.inputs[0]
    steps = {"stem": y}
    for layer in (network.get_layer("stem"), *network.get_layer("stages").layers):
        steps[layer.name] = y = layer(y)
    found = keras.Model(network.inputs[0], steps)(x)
    rest = x
    for name, layer in (
        ("stem", network.get_layer("stem")),
        *((layer.name, layer) for layer in network.get_layer("stages").layers),
    ):
        rest = layer(rest)
        np.testing.assert_array_equal(found[name], rest)
    np.testing.assert_array_equal(at_once(x), rest)
    np.testing.assert_array_equal(network.get_layer("head")(rest), network(x))
    assert at_once.layers[-1] is network.get_layer("stages")  # the layer itself, and no copy
