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
from companion.tensorflow.probes import residual_blocks

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
#: Those that differ from one above in the depth or in the kind of block alone.
SIMILAR = {
    *("resnet34", "resnet50", "resnet101", "resnet152"),
    *("resnext50_32x4d", "se_resnet50", "wide_resnet50_2"),
}


def numbers(shape, name=""):
    rng = np.random.default_rng(0)
    return rng.integers(0, 9, shape) if name == "Embedding" else rng.random(shape, np.float32)


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


def unique_paths(layer):
    paths = [v.path for v in layer.variables]
    assert len(paths) == len(set(paths)), sorted(p for p in paths if paths.count(p) > 1)


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


@pytest.mark.parametrize("name", NETWORKS)
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


# Residual: what goes to the branch, what comes back, what the control keeps.


def test_the_preactivation_is_shared_and_parts_may_be_functions():
    x = numbers(VECTOR)
    calls = []

    def before(x):
        calls.append(1)
        return x - 0.5

    block = ct.Residual(lambda u: 2 * u, keras.ops.abs, keras.ops.minimum, tf.nn.relu, before)
    u = x - 0.5
    np.testing.assert_allclose(block(x), np.maximum(np.minimum(np.abs(u), 2 * u), 0), rtol=1e-6)
    calls.clear()
    assert block(x) is not None and len(calls) == 1
    plain = ct.Residual(tf.square, None, ct.ScaledAdd(), preactivation=before)
    np.testing.assert_allclose(plain(x), u**2, rtol=1e-6)
    assert plain.merge is None and plain.weights == [] and weights.named_arrays(plain) == {}
    symbol = keras.Input((4,))
    np.testing.assert_allclose(keras.Model(symbol, plain(symbol))(x), u**2, rtol=1e-6)


def test_what_is_no_part_is_refused():
    for options in ({"branch": 3}, {"branch": None}, {"branch": abs, "merge": "add"}):
        with pytest.raises(ValueError, match="must be a Keras layer or a function"):
            ct.Residual(**options)


@pytest.mark.parametrize("wrap", [ct.Residual, lambda a: ct.sublayer(a, 8, "none")])
def test_further_inputs_go_to_the_branch_and_its_first_output_is_merged(wrap, tmp_path):
    attention = keras.layers.MultiHeadAttention(2, 4, name="mine")
    block = wrap(attention)
    rng = np.random.default_rng(0)
    x, memory = (rng.random(s, np.float32) for s in ((2, 5, 8), (2, 3, 8)))
    mask = np.array([[[True, False, False]], [[True, True, False]]])
    y = block(x, memory, attention_mask=mask, return_attention_scores=True)
    expected = attention(x, memory, attention_mask=mask)
    np.testing.assert_allclose(y, x + expected, rtol=1e-6)
    assert np.abs(y - block(x, value=memory)).max() > 1e-4  # the mask counts
    unique_paths(block)
    assert all(v.path.startswith(block.name) and "/mine/" in v.path for v in block.variables)
    symbols = [keras.Input(s) for s in ((5, 8), (3, 8))]
    symbols.append(keras.Input((1, 3), dtype="bool"))
    fresh = wrap(keras.layers.MultiHeadAttention(2, 4))
    outputs = fresh(
        symbols[0], value=symbols[1], attention_mask=symbols[2], return_attention_scores=True
    )
    model = keras.Model(symbols, outputs)
    assert len(model.weights) == 8
    model.save(tmp_path / "attention.keras")
    again = keras.models.load_model(tmp_path / "attention.keras")
    np.testing.assert_array_equal(model([x, memory, mask]), again([x, memory, mask]))


def test_the_state_of_an_lstm_is_dropped_and_masks_pass():
    lstm = keras.layers.LSTM(4, return_sequences=True, return_state=True)
    x = numbers(FRAMES)
    mask = np.arange(5) < np.array([[5], [3]])
    block = ct.Residual(lstm)
    np.testing.assert_allclose(block(x), x + lstm(x)[0], rtol=1e-6)
    np.testing.assert_allclose(block(x, mask=mask), x + lstm(x, mask=mask)[0], rtol=1e-6)
    embedded = keras.layers.Embedding(9, 4, mask_zero=True)(np.array([[1, 2, 0], [3, 0, 0]]))
    np.testing.assert_allclose(block(embedded), embedded + lstm(embedded)[0], rtol=1e-6)


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


def test_the_fixup_control_keeps_its_multiplier():
    for residual in (True, False):
        block = ct.FixupBlock(4, 4, residual=residual)
        x = numbers(IMAGE)
        block(x)
        before = np.asarray(block.branch(x))
        block.branch.get_layer("scale").scale.assign([3.0])
        y = 3 * before
        expected = np.maximum(x + y if residual else y, 0)
        np.testing.assert_allclose(block(x), expected, rtol=1e-5, atol=1e-6)


def test_a_projection_shares_the_first_norm_and_relu():
    block = ct.PreActivationBlock(4, 8, 2, "B")
    x = numbers(IMAGE)
    y = block(x)
    names = [layer.name for layer in block.preactivation.layers]
    assert names == ["norm1", "relu1"] and block.branch.layers[0].name == "conv1"
    u = block.preactivation(x)
    np.testing.assert_allclose(y, block.shortcut(u) + block.branch(u), rtol=1e-5, atol=1e-6)
    raw = ct.PreActivationBlock(4, 8, 2, "A")
    assert raw.branch.layers[0].name == "norm1"
    np.testing.assert_allclose(raw(x), raw.shortcut(x) + raw.branch(x), rtol=1e-5, atol=1e-6)
    first, second = ct.resnet50_v2(seed=0).get_layer("stages").layers[0].layers[:2]
    (first,) = first.layers
    assert [layer.name for layer in first.preactivation.layers] == ["norm", "relu"]
    assert second.branch.layers[0].name == "norm"


# Networks of one's own blocks.


@keras.saving.register_keras_serializable("test_keras_expectations")
class OwnBlock(ct.Residual):
    """A student's block: no class attributes, no merge argument, no name."""

    def __init__(self, in_channels, out_channels, stride=1, shortcut="B", residual=True):
        conv = ct.Conv2d(in_channels, out_channels, 3, stride, name="conv")
        branch = keras.Sequential([conv, ct.BatchNorm2d(out_channels, name="norm")])
        carry = ct.shortcut(shortcut, in_channels, out_channels, stride)
        super().__init__(branch, carry if residual else None, activation=keras.layers.ReLU())

    def get_config(self):
        config = super().get_config()
        return {k: config[k] for k in config if k not in ("name", "trainable", "dtype")}


class OwnPreActivation(ct.PreActivationBlock):
    """What the network asks is inherited."""


@keras.saving.register_keras_serializable("test_keras_expectations")
def pooled(in_channels, out_channels, stride):
    if in_channels == out_channels and stride == 1:
        return ct.Identity()
    pool = keras.layers.AveragePooling2D(stride, padding="same")
    return keras.Sequential([pool, ct.Conv2d(in_channels, out_channels, 1)])


@pytest.mark.parametrize("block", [OwnBlock, OwnPreActivation])
@pytest.mark.parametrize("residual", [True, False])
def test_a_network_of_ones_own_blocks(block, residual, tmp_path):
    model = ct.cifar_resnet(8, 4, pooled, residual, seed=0, block=block)
    blocks = [b for stage in model.get_layer("stages").layers for b in stage.layers]
    assert all(type(b) is block for b in blocks)
    final = block is OwnPreActivation
    assert (model.get_layer("head").layers[0].name == "norm") == final
    assert ("norm" in [x.name for x in model.get_layer("stem").layers]) != final
    unique_paths(model)
    x = numbers((2, 8, 8, 3))
    model.save(tmp_path / "own.keras")
    own = {} if block is OwnBlock else {"OwnPreActivation": OwnPreActivation}
    again = keras.models.load_model(tmp_path / "own.keras", custom_objects=own)
    np.testing.assert_array_equal(model(x), again(x))
    assert len(residual_blocks(model)) == 3


def test_a_class_that_keras_does_not_know_is_refused_when_loaded(tmp_path):
    ct.cifar_resnet(8, 4, "B", seed=0, block=OwnPreActivation).save(tmp_path / "own.keras")
    with pytest.raises(ValueError, match="block must be registered"):
        keras.models.load_model(tmp_path / "own.keras")


@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"block": "basic"}, "block must be a class"),
        ({"merge": "rezero"}, "merge must be None or make"),
        ({"merge": ct.Add()}, "merge must be None or make"),
        ({"merge": lambda c: c}, "merge must be None or make"),
        ({"shortcut": "D"}, "shortcut must be one of 'A', 'B', 'C'"),
        ({"shortcut": lambda i, o, s: None}, "shortcut must make a layer"),
    ],
)
def test_what_cannot_be_a_part_of_a_network_is_refused(options, named):
    with pytest.raises(ValueError, match=named):
        ct.cifar_resnet(8, 4, **{"shortcut": "B", **options})


def test_an_unknown_block_is_refused_with_the_known_ones():
    table = architectures.imagenet_resnet(18, "mine")
    with pytest.raises(ValueError, match=r"architecture.block must be one of 'basic', .*'mine'"):
        ct.ResNet(table)


def test_merges_are_told_their_axis():
    x = numbers((2, 4, 4, 4))
    for axis in (1, 2, -1):
        merge = ct.LayerScale(4, 1.0, axis=axis)
        merge(x, x)
        merge.scale.assign([0.0, 1.0, 2.0, 3.0])
        shape = [1] * 4
        shape[axis] = 4
        expected = x + np.arange(4).reshape(shape) * x
        np.testing.assert_allclose(merge(x, x), expected, rtol=1e-6)
    streams = numbers((2, 5, 4, 8))
    assert ct.Concatenate(axis=2)(streams, streams).shape == (2, 5, 8, 8)
    for merge in (ct.LayerScale(5), ct.Highway(5)):
        with pytest.raises(ValueError, match="5 channels on axis -1"):
            merge(streams, streams)
    for bad in (0, 1.5, True):
        with pytest.raises(ValueError, match="axis"):
            ct.Concatenate(axis=bad)


def test_symbolic_calls_refuse_what_calls_refuse():
    symbol = keras.Input((8, 8, 3))
    for layer in (ct.Conv2d(4, 4), ct.BasicBlock(4, 4), ct.BatchNorm2d(4), ct.ZeroPad(4, 8)):
        with pytest.raises(ValueError, match="4 channels"):
            layer(symbol)
    with pytest.raises(ValueError, match="same shape"):
        ct.Add()(symbol, keras.Input((8, 8, 1)))


def test_streams_are_normed_once_and_start_as_one_residual_connection(monkeypatch):
    x = np.repeat(numbers(FRAMES)[:, :, None], 4, axis=2)
    for make in (ct.HyperConnection, ct.ManifoldHyperConnection):
        block = make(branch(), 4)
        y = np.asarray(block(x))
        expected = x + np.asarray(block.branch(x[:, :, 0]))[:, :, None]
        np.testing.assert_allclose(y, expected, atol=1e-4)
        seen = []
        for part in (block.shortcut.read, block.shortcut.mix, block.shortcut.write):

            def look(z, call=part.call, seen=seen):
                seen.append(z)
                return call(z)

            monkeypatch.setattr(part, "call", look)
        block(x)
        assert len(seen) == 3 and all(z is seen[0] for z in seen)


def test_no_private_module_is_imported():
    for path in Path(ct.__file__).parent.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) else []
            assert not any(re.match(r"(tensorflow\.python|keras\.src)\b", n) for n in names), path
