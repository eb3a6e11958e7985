"""What a layer or a network was given, and what has changed since, survives saving and cloning."""

from __future__ import annotations

import json
import random

import keras
import numpy as np
import pytest

import companion.tensorflow as ct
from companion import architectures
from tests.library.harness import exhaustive_but, numbers
from tests.library.test_keras_expectations import LAYERS, NETWORKS, build

IMAGE = (2, 8, 8, 4)
L2, ONES = "l2", keras.initializers.Constant(0.5)
KERNEL = {
    "kernel_regularizer": keras.regularizers.L1L2(0.1, 0.2),
    "kernel_constraint": keras.constraints.MaxNorm(3),
    "bias_regularizer": "l1",
    "bias_constraint": "non_neg",
    "kernel_initializer": keras.initializers.RandomNormal(stddev=0.3),
    "bias_initializer": ONES,
    "activity_regularizer": L2,
    "use_bias": True,
}
DENSE = {k: v for k, v in KERNEL.items() if k != "use_bias"}
SCALED = {
    "epsilon": 0.1,
    "gamma_regularizer": L2,
    "beta_constraint": "non_neg",
    "gamma_initializer": ONES,
    "beta_initializer": "random_normal",
}
NORM = {
    **SCALED,
    "momentum": 0.5,
    "moving_mean_initializer": ONES,
    "moving_variance_initializer": ONES,
    "synchronized": True,
}
#: What Keras's own layer takes, at values that are not its default.
OPTIONS = {
    "BatchNorm1d": NORM,
    "BatchNorm2d": NORM,
    "Conv1d": {**KERNEL, "activation": "relu"},
    "Conv2d": {**KERNEL, "activation": "gelu"},
    "Dense": {**DENSE, "activation": "tanh"},
    "HiddenDense": {**DENSE, "activation": "softmax"},
    "Embedding": {
        "embeddings_initializer": "uniform",
        "embeddings_regularizer": L2,
        "embeddings_constraint": "unit_norm",
        "mask_zero": True,
    },
    "LSTM": {
        **DENSE,
        "activation": "relu",
        "recurrent_activation": "hard_sigmoid",
        "recurrent_initializer": "orthogonal",
        "recurrent_regularizer": L2,
        "recurrent_constraint": "unit_norm",
        "unit_forget_bias": False,
        "dropout": 0.1,
        "recurrent_dropout": 0.2,
        "return_state": True,
        "go_backwards": True,
        "unroll": True,
    },
    "LayerNorm": SCALED,
}
POLICIES = ("mixed_float16", "mixed_bfloat16", "bfloat16", "float64")


def made(kind, **options):
    """Return a layer that has been called, and its inputs."""
    make, *shapes = LAYERS[kind]
    inputs = [numbers(shape, kind) for shape in shapes]
    layer = make(**options)
    return layer, inputs


def twins(layer, inputs, folder):
    """Yield what saving and cloning make of a layer in a model, after the layer itself."""
    symbols = [keras.Input(x.shape[1:], dtype=x.dtype.name) for x in inputs]
    model = keras.Model(symbols, layer(*symbols))
    model.save(folder / "model.keras")
    yield model, layer
    loaded = keras.models.load_model(folder / "model.keras")
    yield loaded, loaded.get_layer(layer.name)
    clone = keras.models.clone_model(model)
    clone.set_weights(model.get_weights())
    yield clone, clone.get_layer(layer.name)


def described(layer):
    """Return all that is to survive: of variables, of layers inside, and the configuration."""
    rows = [x for x in layer._flatten_layers() if type(x) is keras.Sequential]
    variables = [
        (
            v.path if not rows else v.path.rpartition("row/")[2],  # Keras's own forgets the rest
            v.trainable,
            v.dtype,
            *(type(getattr(v, key, None)).__name__ for key in ("regularizer", "constraint")),
        )
        for v in layer.variables
        if "seed_gen" not in v.path
    ]
    inside = [
        (type(x).__name__, x.name, x.trainable, x.dtype_policy.name)
        for x in layer._flatten_layers()
        if not isinstance(x, keras.layers.InputLayer)  # Keras numbers those that it adds
    ]
    config = json.loads(json.dumps(layer.get_config(), sort_keys=True))
    return variables, inside, _without_shapes(config)


def _without_shapes(config):
    if isinstance(config, list):
        return [_without_shapes(each) for each in config]
    if not isinstance(config, dict):
        return config
    apart = ("build_config", "build_input_shape", "shared_object_id")
    return {k: _without_shapes(v) for k, v in config.items() if k not in apart}


def survives(layer, inputs, folder):
    (model, first), *others = list(twins(layer, inputs, folder))
    outputs = keras.tree.flatten(model(inputs))
    for other, twin in others:
        for one, two in zip(described(first), described(twin), strict=True):
            assert one == two
        for one, two in zip(outputs, keras.tree.flatten(other(inputs)), strict=True):
            np.testing.assert_array_equal(np.asarray(one), np.asarray(two))
    return [twin for _, twin in others]


@pytest.mark.parametrize("name", LAYERS)
def test_all_that_a_layer_was_given_survives(name, tmp_path):
    given = {"name": "named", "dtype": "mixed_bfloat16", "trainable": False}
    layer, inputs = made(name, **given, **OPTIONS.get(name, {}))
    for twin in survives(layer, inputs, tmp_path):
        assert not twin.trainable and not [v for v in twin.variables if v.trainable]
        if name in OPTIONS:  # Keras's own configuration, which says nothing of ours
            kind = next(k for k in type(layer).__mro__ if k.__module__.startswith("keras."))
            saved, usual = kind.get_config(twin), kind.get_config(made(name)[0])
            assert saved == kind.get_config(layer)
            assert {k for k in saved if saved[k] != usual.get(k)} >= OPTIONS[name].keys()


@pytest.mark.parametrize("name", LAYERS)
def test_all_that_has_changed_in_a_layer_survives(name, tmp_path):
    layer, inputs = made(name, name="named")
    random.seed(0)
    for i, inner in enumerate(layer._flatten_layers()):
        inner.trainable = i % 3 > 0
        if i % 2 and not isinstance(inner, keras.layers.LSTMCell):
            inner.dtype_policy = keras.dtype_policies.get(POLICIES[0])
        for key, value in (("epsilon", 0.25), ("momentum", 0.5), ("survival", 0.75)):
            if isinstance(getattr(inner, key, None), float):
                setattr(inner, key, value)
        if hasattr(inner, "kernel_regularizer") and not hasattr(inner, "cell"):
            inner.kernel_regularizer = keras.regularizers.L2(0.3)
        if isinstance(inner, keras.layers.ReLU):
            inner.negative_slope = 0.1
    survives(layer, inputs, tmp_path)


def test_saving_draws_no_numbers():
    layer = ct.BasicBlock(4, 8)
    random.seed(0)
    first = random.random()
    random.seed(0)
    layer.get_config()
    assert random.random() == first


def swapped(block):
    block.activation = keras.layers.Activation("gelu")


def longer(block):
    block.branch.add(keras.layers.Activation("tanh"))


def shorter(block):
    block.branch.pop()


def other_merge(block):
    block.merge = ct.LayerScale(4, 0.5)


def own_branch(block):
    block.branch = keras.layers.Conv2D(4, 1, name="mine")


def without_shortcut(block):
    block.shortcut = None


CHANGES = [swapped, longer, shorter, other_merge, own_branch, without_shortcut]


@pytest.mark.parametrize("change", CHANGES)
@pytest.mark.parametrize("name", ["BasicBlock", "PreActivationBlock", "FixupBlock", "Residual"])
def test_a_block_with_other_parts_survives(name, change, tmp_path):
    args = (
        [keras.Sequential([ct.Conv2d(4, 4), ct.Conv2d(4, 4)], name="row")]
        if name == "Residual"
        else [4, 4]
    )
    block = getattr(ct, name)(*args, name="named")
    before = block.branch
    change(block)
    inside = block._flatten_layers(include_self=False, recursive=False)
    assert (before in inside) == (change is not own_branch)  # what was replaced is gone
    for twin in survives(block, [numbers(IMAGE)], tmp_path):
        assert type(twin) is type(block)


def test_parts_deep_inside_and_lists_of_layers_survive(tmp_path):
    block = ct.TransformerBlock(4, 2, name="named")
    block.attention.branch.function.query = keras.layers.Dense(4, name="query")
    block.mlp.branch.norm = None
    survives(block, [numbers((2, 5, 4))], tmp_path)
    stack = ct.ReversibleSequential(ct.ReversibleBlock(4, 4), name="named")
    stack.blocks = [ct.ReversibleBlock(4, 4, name=n) for n in "ab"]
    (twin, *_) = survives(stack, [numbers(IMAGE)], tmp_path)
    assert len(twin.blocks) == 2


def test_layers_put_into_a_frozen_one_are_frozen():
    for layer in (ct.Attention(4, 2, trainable=False), ct.BasicBlock(4, 4, trainable=False)):
        shape = (5, 4) if isinstance(layer, ct.Attention) else (8, 8, 4)
        model = keras.Sequential([keras.Input(shape), layer, keras.layers.Dense(1)])
        assert len(model.trainable_variables) == 2


@keras.saving.register_keras_serializable("tests")
class Mine(keras.Model):
    """A user's own model around layers of the companion, some with several inputs."""

    def __init__(self, **options):
        super().__init__(**options)
        self.stem = ct.Conv2d(3, 4, activation="relu", kernel_regularizer="l2", name="stem")
        self.stack = ct.ReversibleSequential(ct.ReversibleBlock(4, 4, name="only"), name="stack")
        attend = keras.layers.MultiHeadAttention(2, 4, name="attend")
        self.attention = ct.Residual(attend, name="attention")
        self.norm = ct.BatchNorm2d(4, epsilon=0.1, name="norm")

    def call(self, x):
        y = self.norm(self.stack(self.stem(x)))
        y = keras.ops.mean(y, axis=1)
        return self.attention(y, value=y)


def test_layers_in_a_model_of_ones_own_survive(tmp_path):
    model, x = Mine(name="own"), numbers((2, 8, 8, 3))
    y = model(x)
    model.stack.trainable = False
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(y, again(x))
    assert again.norm.epsilon == 0.1 and again.stem.activation is keras.activations.relu


@pytest.mark.parametrize("wrap", ["residual", "sequential", "functional"])
def test_layers_inside_others_survive(wrap, tmp_path):
    conv = ct.Conv2d(4, 4, activation="relu", name="conv")
    stack = ct.ReversibleSequential(ct.ReversibleBlock(4, 4, name="a"), name="stack")
    row = keras.Sequential([conv, ct.BatchNorm2d(4, epsilon=0.1, name="norm"), stack], name="row")
    stack.blocks[0].trainable = False
    if wrap == "residual":
        survives(ct.Residual(row, name="named"), [numbers(IMAGE)], tmp_path)
        return
    inputs = keras.Input(IMAGE[1:])
    model = keras.Model(inputs, row(inputs)) if wrap == "functional" else row
    x = numbers(IMAGE)
    y = model(x)
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(y, again(x))
    assert len(again.trainable_variables) == len(model.trainable_variables) == 3


SMALL = [n for n in NETWORKS if n not in ("resnet18", "resnet50_v2")]


def _same_network(model, folder):
    x = numbers(tuple(s or 16 for s in model.input_shape), "Embedding" * _takes_tokens(model))
    y = np.asarray(model(x, training=False))
    model.save(folder / "model.keras")
    clone, copy = keras.models.clone_model(model), type(model).from_config(model.get_config())
    for other in (clone, copy):
        other.set_weights(model.get_weights())
    loaded = keras.models.load_model(folder / "model.keras")
    for other in (loaded, clone, copy):
        np.testing.assert_array_equal(y, np.asarray(other(x, training=False)))
        names = [[layer.name for layer in m.layers] for m in (model, other)]
        assert names[0] == names[1]
        flags = [[(v.trainable, v.dtype) for v in m.variables] for m in (model, other)]
        assert flags[0] == flags[1]
    assert type(loaded) is type(model)
    return loaded


def _takes_tokens(model):
    return model.inputs[0].dtype.startswith("int")


#: One of each kind of container; the others take a minute and run once a week.
QUICK = ("cifar_resnet", "residual_lstm", "transformer")


@pytest.mark.parametrize("name", exhaustive_but(SMALL, QUICK.__contains__))
def test_a_network_that_was_changed_survives(name, tmp_path):
    model = build(name, seed=0)
    model.add(keras.layers.Softmax(name="probabilities"))
    layers = _same_network(model, tmp_path).layers
    assert isinstance(layers[-1], keras.layers.Softmax)
    model.pop()
    model.pop()
    model.add(keras.layers.Dense(3, name="new"))
    for layer in model.layers[:-1]:
        layer.trainable = False
    loaded = _same_network(model, tmp_path)
    assert len(loaded.trainable_variables) == 2


def test_a_network_with_a_changed_block_or_head_survives(tmp_path):
    model = ct.cifar_resnet(8, 4, seed=0)
    stem, stages, head = model.layers
    head.pop()
    head.add(keras.layers.Dense(3, kernel_regularizer="l2", name="new"))
    block = stages.layers[0].layers[0]
    block.branch.add(keras.layers.Activation("tanh"))
    stages.layers[1].trainable = False
    stem.layers[1].epsilon = 0.25
    loaded = _same_network(model, tmp_path)
    assert loaded.layers[0].layers[1].epsilon == 0.25
    assert len(loaded.losses) == 1 and isinstance(loaded, ct.ResNet)
    assert not loaded.layers[1].layers[1].trainable


def test_a_networks_dtypes_survive_layer_by_layer(tmp_path):
    model = ct.ResNet(architectures.cifar_resnet(8, 4), seed=0, dtype="mixed_bfloat16")
    head = model.layers[-1].layers[-1]
    head.dtype_policy = keras.dtype_policies.get("float32")
    loaded = _same_network(model, tmp_path)
    assert loaded.layers[-1].layers[-1].dtype_policy.name == "float32"
    assert loaded.layers[0].layers[0].dtype_policy.name == "mixed_bfloat16"
    assert keras.config.dtype_policy().name == "float32"
