"""What makes a network faster changes neither its outputs nor the network itself."""

from __future__ import annotations

import copy
import pickle
import warnings

import keras
import numpy as np
import pytest
import tensorflow as tf
import torch
from torch import nn

import companion.tensorflow as ct
import companion.torch as cp
from companion import _precision, weights
from tests.library.harness import exhaustive_but

torch.set_num_threads(1)

NETWORKS = [
    ("cifar_resnet", (8,), {"width": 8}, 3),
    ("cifar_resnet", (8,), {"width": 4, "shortcut": "B"}, 3),
    ("cifar_resnet", (8,), {"width": 4, "residual": False}, 3),
    ("cifar_preact_resnet", (8,), {"width": 4, "shortcut": "C"}, 3),
    ("fixup_resnet", (8,), {"width": 4}, 3),
    ("wide_resnet", (10, 1), {}, 3),
    ("mnist_resnet", (), {}, 1),
    ("resnet18", (), {"num_classes": 5}, 3),
    ("resnet50", (), {"num_classes": 5}, 3),
    ("resnet50", (), {"version": "v1", "num_classes": 5}, 3),
    ("resnet50_v2", (), {"num_classes": 5}, 3),
    ("resnext50_32x4d", (), {"num_classes": 5}, 3),
    ("se_resnet50", (), {"num_classes": 5}, 3),
    ("revnet_cifar", (14,), {"width": 8}, 3),
    ("densenet_cifar", (), {}, 3),
    ("residual_unet", (), {"channels": 4}, 1),
    ("dncnn", (), {}, 1),
]


def lived_in(model, seed=0):
    """Give running statistics and biases values that are not their initial ones."""
    rng = np.random.default_rng(seed)
    for name, value in model.state_dict().items():
        if name.endswith("running_var"):
            value.copy_(torch.from_numpy(rng.uniform(0.5, 2, value.shape)))
        elif value.ndim == 1:
            value += torch.from_numpy(rng.normal(0, 0.1, value.shape)).to(value.dtype)
    return model


def relative(a, b):
    assert a.shape == b.shape
    return float(np.abs(a - b).max() / np.abs(b).max())


def norms(model):
    return sum(isinstance(m, nn.BatchNorm2d) for m in model.modules())


@pytest.mark.parametrize(("name", "args", "options", "channels"), NETWORKS)
def test_outputs_stay_and_the_original_too(name, args, options, channels):
    model = lived_in(getattr(cp, name)(*args, seed=0, **options)).train()
    before = copy.deepcopy(model.state_dict())
    fast = cp.optimize_for_inference(model)
    for side, count in ((32, 3), (36, 1)):  # another size needs no other copy
        x = np.random.default_rng(0).random((count, side, side, channels), np.float32)
        assert relative(cp.predict(fast, x), cp.predict(model, x)) <= 1e-5
    assert model.training and all(p.requires_grad for p in model.parameters())
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(m.inplace for m in model.modules() if isinstance(m, nn.ReLU))
    assert not fast.training and not any(p.requires_grad for p in fast.parameters())


def test_norms_after_convolutions_are_gone_and_others_stay():
    assert norms(cp.optimize_for_inference(cp.cifar_resnet(8, width=4, seed=0))) == 0
    # Before each first convolution of three blocks, and before the head.
    assert norms(cp.optimize_for_inference(cp.cifar_preact_resnet(8, width=4, seed=0))) == 4


def row(*parts):
    return nn.Sequential(*parts).eval()


def shared():
    conv = cp.Conv2d(4, 4)
    return row(conv, cp.BatchNorm2d(4), conv)


def hooked():
    conv = cp.Conv2d(4, 4)
    conv.register_forward_hook(lambda module, inputs, output: output * 2)
    return row(conv, cp.BatchNorm2d(4))


class Doubling(nn.Conv2d):
    def forward(self, x):
        return 2 * super().forward(x)


class Standardised(nn.Conv2d):
    def _conv_forward(self, x, weight, bias):
        return super()._conv_forward(x, weight - weight.mean((1, 2, 3), keepdim=True), bias)


def one_relu():
    relu = nn.ReLU()
    return row(
        cp.Residual(cp.Conv2d(4, 4), activation=relu),
        cp.Residual(row(relu, cp.Conv2d(4, 4))),
    )


def changes(part):
    """A ReLU, or a merge, whose hook needs what came in."""
    part.register_forward_hook(lambda module, inputs, output: output - inputs[0])
    return part


@pytest.mark.parametrize(
    "build",
    [
        shared,
        hooked,
        one_relu,
        lambda: row(Standardised(4, 4, 3), nn.ReLU()),
        lambda: row(cp.Conv2d(4, 4), changes(nn.ReLU())),
        lambda: cp.Residual(cp.Conv2d(4, 4), activation=changes(nn.ReLU())),
        lambda: cp.Residual(cp.Conv2d(4, 4), merge=changes(cp.Add())),
        lambda: row(Doubling(4, 4, 3), cp.BatchNorm2d(4)),
        lambda: row(nn.utils.parametrizations.weight_norm(cp.Conv2d(4, 4)), cp.BatchNorm2d(4)),
        lambda: row(cp.Conv2d(4, 4), nn.BatchNorm2d(4, track_running_stats=False)),
        lambda: row(nn.Conv2d(4, 4, 3, padding="same"), nn.BatchNorm2d(4), nn.ReLU()),
        lambda: row(nn.Conv2d(4, 4, 3, padding=1, padding_mode="reflect"), nn.BatchNorm2d(4)),
        lambda: row(nn.Conv2d(4, 4, 1, stride=2, padding=1), nn.BatchNorm2d(4)),
        lambda: row(nn.Conv2d(4, 4, 3, dilation=2, bias=True), nn.BatchNorm2d(4, affine=False)),
        lambda: cp.Residual(nn.Identity(), activation=nn.ReLU()),
        lambda: cp.Residual(nn.Identity(), None, activation=nn.ReLU()),
        lambda: cp.Residual(row(cp.Conv2d(4, 4), nn.Identity()), activation=nn.ReLU()),
    ],
)
def test_what_cannot_be_changed_safely_is_left(build):
    torch.manual_seed(0)
    model = lived_in(build()).eval()
    x = torch.randn(2, 4, 8, 8)
    given = x.clone()
    with torch.no_grad():
        expected = model(x)
        got = cp.optimize_for_inference(model)(x)
    assert torch.allclose(got, expected, atol=1e-5)
    assert torch.equal(x, given), "the input was written over"


def test_no_random_number_is_drawn():
    model = cp.cifar_resnet(8, width=4, seed=0)
    before = torch.get_rng_state()
    cp.optimize_for_inference(model)
    assert torch.equal(torch.get_rng_state(), before)


def test_new_weights_reach_the_calls():
    x = np.random.default_rng(0).random((2, 16, 16, 3), np.float32)
    one, other = (cp.optimize_for_inference(cp.cifar_resnet(8, width=4, seed=s)) for s in (0, 1))
    cp.predict(one, x)
    one.load_state_dict(other.state_dict())
    assert relative(cp.predict(one, x), cp.predict(other, x)) <= 1e-6


def test_it_is_copied_pickled_cast_and_differentiated():
    model = cp.optimize_for_inference(lived_in(cp.cifar_resnet(8, width=4, seed=0)))
    x = torch.randn(2, 3, 16, 16)
    expected = model(x)
    for again in (copy.deepcopy(model), pickle.loads(pickle.dumps(model))):
        assert torch.equal(again(x), expected)
    assert torch.allclose(copy.deepcopy(model).double()(x.double()).float(), expected, atol=1e-4)
    x.requires_grad_()
    (gradient,) = torch.autograd.grad(model(x).sum(), x)
    assert gradient.isfinite().all() and gradient.any()


def test_wrong_inputs_are_still_refused():
    fast = cp.optimize_for_inference(cp.cifar_resnet(8, width=4, seed=0))
    for x, named in ((torch.zeros(1, 2, 8, 8), "channels"), (torch.zeros(3, 8, 8), "dimensions")):
        with pytest.raises(ValueError, match=named):
            fast(x)


@pytest.mark.parametrize("bad", ["a string", None])
def test_what_is_no_model_is_refused(bad):
    for package in (cp, ct):
        with pytest.raises(ValueError, match="model"):
            package.optimize_for_inference(bad)


def test_a_keras_network_with_several_outputs_is_refused():
    x = keras.Input((4,))
    h = keras.layers.Dense(3)(x)
    with pytest.raises(ValueError, match="one output, got 2"):
        ct.optimize_for_inference(keras.Model(x, [h, keras.layers.ReLU()(h)]))


def test_unbuilt_models_are_refused():
    with pytest.raises(ValueError, match="built"):
        ct.optimize_for_inference(keras.Sequential([keras.layers.Dense(3)]))


@pytest.mark.parametrize(
    ("name", "args", "options", "channels"), [NETWORKS[1], NETWORKS[3], NETWORKS[15]]
)
def test_a_frozen_keras_network_answers_alike(name, args, options, channels):
    source = lived_in(getattr(cp, name)(*args, seed=0, **options))
    model = getattr(ct, name)(*args, seed=1, **options)
    weights.transfer(source, model)
    fast = ct.optimize_for_inference(model)
    for count in (1, 3):
        x = np.random.default_rng(0).random((count, 32, 32, channels), np.float32)
        expected = ct.predict(model, x)
        assert relative(ct.predict(fast, x), expected) <= 1e-5
        assert relative(fast(tf.constant(x)).numpy(), expected) <= 1e-5
    weights.initialize(model, 5)  # what the model becomes does not reach the copy
    assert relative(ct.predict(fast, x), expected) <= 1e-5


def test_a_frozen_keras_network_is_evaluated_and_takes_tokens():
    model = ct.transformer(11, 1, channels=8, heads=2, seed=0)
    tokens = np.random.default_rng(0).integers(0, 11, (3, 6))
    fast = ct.optimize_for_inference(model)
    assert ct.evaluate(fast, tokens, tokens) == pytest.approx(ct.evaluate(model, tokens, tokens))


def test_a_frozen_keras_network_refuses_what_does_not_fit():
    fast = ct.optimize_for_inference(ct.cifar_resnet(8, width=4, seed=0))
    for shape, named in (((1, 8, 8, 2), "channels"), ((8, 8, 3), "dimensions")):
        with pytest.raises(ValueError, match=named):
            fast(np.zeros(shape, np.float32))
    with pytest.raises(ValueError, match="training"):
        fast(np.zeros((1, 8, 8, 3), np.float32), training=True)


# --- precision and runtime

SIDES = np.random.default_rng(0).random((24, 32, 32, 3), np.float32)
#: Of the rounding of 2^-9 in some ten layers; of 256 numbers for all that lies within a range.
PRECISE = {"bfloat16": 0.03, "int8": 0.1}
IN_16_OR_8 = [
    ("cifar_resnet", (8,), {"width": 4, "shortcut": "B"}),
    ("cifar_preact_resnet", (8,), {"width": 4, "shortcut": "C"}),
    ("resnet18", (), {"num_classes": 5}),
    ("se_resnet50", (), {"num_classes": 5}),
    ("densenet_cifar", (10, 4), {}),
    ("residual_unet", (3,), {"channels": 4}),
]


def ready(model, precision, package=cp):
    with warnings.catch_warnings():  # that this processor is slow with it
        warnings.simplefilter("ignore")
        images = SIDES if precision == "int8" else None
        return package.optimize_for_inference(model, precision, images)


def distance(a, b):
    assert a.shape == b.shape and a.dtype == b.dtype == np.float32
    return float(np.linalg.norm(a - b) / np.linalg.norm(b))


@pytest.mark.parametrize("precision", PRECISE)
@pytest.mark.parametrize(
    ("name", "args", "options"), exhaustive_but(IN_16_OR_8, lambda case: "50" not in case[0])
)
def test_16_or_8_bits_give_nearly_the_same(name, args, options, precision):
    model = lived_in(getattr(cp, name)(*args, seed=0, **options)).train()
    before = copy.deepcopy(model.state_dict())
    fast = ready(model, precision)
    for x in (SIDES[:3], SIDES[:1, :28, :28]):  # another size needs no other copy
        assert 0 < distance(cp.predict(fast, x), cp.predict(model, x)) < PRECISE[precision]
    assert model.training and all(p.dtype == torch.float32 for p in model.parameters())
    after = model.state_dict()
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert not any(m.training for m in fast.modules())
    again = copy.deepcopy(fast)
    assert np.array_equal(cp.predict(again, x), cp.predict(fast, x))


def test_in_int8_products_and_sums_are_in_int8():
    fast = ready(cp.cifar_resnet(8, width=4, shortcut="B", seed=0), "int8")
    kinds = [type(m).__module__ for m in fast.modules() if "Conv" in type(m).__name__]
    assert len(kinds) == 7 + 2 and all("quantized" in kind for kind in kinds)
    assert fast.network.code.count("quantized.add_relu") == 3  # one for each block
    assert fast.network.code.count("torch.quantize_per_tensor") == 2  # the images, and the mean
    with pytest.raises(TypeError, match="int8 cannot be pickled"):
        pickle.dumps(fast)


def test_in_bfloat16_weights_are_in_bfloat16_and_floats_come_and_go():
    fast = ready(cp.cifar_resnet(8, width=4, seed=0), "bfloat16")
    assert {p.dtype for p in fast.parameters()} == {torch.bfloat16}
    assert fast(torch.zeros(1, 3, 8, 8)).dtype == torch.float32
    tokens = ready(cp.transformer(9, 1, 8, seed=0), "bfloat16")
    assert tokens(torch.zeros(1, 3, dtype=torch.int64)).isfinite().all()


def test_the_scales_are_those_of_the_images():
    model = lived_in(cp.cifar_resnet(8, width=4, seed=0))
    fast = cp.optimize_for_inference(model, "int8", SIDES)
    bright = cp.predict(model, 20 * SIDES[:4])
    clipped = distance(cp.predict(fast, 20 * SIDES[:4]), bright)
    wide = cp.optimize_for_inference(model, "int8", 20 * SIDES)
    assert clipped > 0.5 > 0.1 > distance(cp.predict(wide, 20 * SIDES[:4]), bright)


@pytest.mark.parametrize("precision", PRECISE)
def test_keras_gives_nearly_the_same_in_16_or_8_bits(precision):
    for model in (
        ct.cifar_resnet(8, width=4, shortcut="B", seed=0),
        ct.cifar_preact_resnet(8, width=4, seed=0),
    ):
        fast = ready(model, precision, ct)
        for x in (SIDES[:3], SIDES[:1]):
            assert 0 < distance(ct.predict(fast, x), ct.predict(model, x)) < PRECISE[precision]
        options = tf.config.optimizer.get_experimental_options()
        assert not options.get("auto_mixed_precision_onednn_bfloat16", False)


def test_a_pool_s_border_takes_part_in_no_maximum():
    x = np.random.default_rng(0).normal(size=(2, 7, 8, 3)).astype(np.float32) - 5
    expected = torch.nn.functional.max_pool2d(torch.from_numpy(x).permute(0, 3, 1, 2), 3, 2, 1)
    layer = ct.resnet18(seed=0).get_layer("stem").get_layer("pool")
    np.testing.assert_array_equal(layer(x).numpy(), expected.permute(0, 2, 3, 1).numpy())


@pytest.mark.parametrize("package", [cp, ct])
def test_onnxruntime_runs_the_copy(package):
    model = package.cifar_resnet(8, width=4, shortcut="B", seed=0)
    fast = package.optimize_for_inference(model, runtime="onnxruntime")
    for x in (SIDES[:3], SIDES[:2, :28, :30]):
        assert 0 < distance(package.predict(fast, x), package.predict(model, x)) < 1e-5
    weights.initialize(model, 5)  # what the model becomes does not reach the copy
    assert distance(package.predict(fast, x), package.predict(model, x)) > 1e-3
    if package is cp:
        for again in (copy.deepcopy(fast), pickle.loads(pickle.dumps(fast))):
            assert np.array_equal(cp.predict(again, x), cp.predict(fast, x))


@pytest.mark.parametrize("package", [cp, ct])
@pytest.mark.parametrize(
    ("options", "named"),
    [
        ({"precision": "float16"}, "precision must be one of 'float32', 'bfloat16', 'int8'"),
        ({"runtime": "torch"}, "runtime must be one of 'framework', 'onnxruntime'"),
        ({"precision": "int8", "runtime": "onnxruntime"}, "precision must be 'float32' where"),
        ({"precision": "int8"}, "calibration must be images where precision is 'int8', got None"),
        ({"calibration": SIDES}, "calibration must be None where precision is 'float32'"),
        ({"precision": "int8", "calibration": SIDES[0]}, r"got shape \(32, 32, 3\) of float32"),
        ({"precision": "int8", "calibration": SIDES[:0]}, "calibration must not be empty"),
        ({"precision": "int8", "calibration": SIDES.astype(int)}, "of floats"),
        ({"precision": "int8", "calibration": np.full_like(SIDES, np.inf)}, "finite"),
        ({"precision": "int8", "calibration": SIDES[..., :2]}, "3 channels, got 2"),
    ],
)
def test_precision_and_runtime_that_do_not_go_together(package, options, named):
    model = package.cifar_resnet(8, width=2, seed=0)
    with pytest.raises(ValueError, match=named):
        package.optimize_for_inference(model, **options)


@pytest.mark.parametrize(
    ("package", "dtype", "options"),
    [
        *((cp, dtype, {"runtime": "onnxruntime"}) for dtype in ("float64", "bfloat16", "float16")),
        *((ct, dtype, {"runtime": "onnxruntime"}) for dtype in ("float64", "mixed_bfloat16")),
        *((ct, dtype, {"precision": "int8", "calibration": SIDES}) for dtype in ("bfloat16",)),
        *((ct, dtype, {"precision": "bfloat16"}) for dtype in ("float64", "mixed_float16")),
    ],
)
def test_a_model_in_a_type_that_cannot_be_prepared_so_is_refused(package, dtype, options):
    if package is ct:
        keras.config.set_dtype_policy(dtype)  # put back by tests/conftest.py
    model = package.cifar_resnet(8, width=2, seed=0)
    if package is cp:
        model = model.to(getattr(torch, dtype))
    named = dtype.removeprefix("mixed_")
    with pytest.raises(ValueError, match=f"model must be in float32 .*where .*, got {named}"):
        package.optimize_for_inference(model, **options)


def test_a_network_that_cannot_be_traced_has_no_int8():
    class Deciding(nn.Module):
        def forward(self, x):
            return x if x.sum() > 0 else -x

    with pytest.raises(ValueError, match="model must be one that torch.fx can trace"):
        cp.optimize_for_inference(Deciding(), "int8", SIDES)


@pytest.mark.parametrize("package", [cp, ct])
def test_a_processor_without_the_instructions_is_told_of(package, monkeypatch, tmp_path):
    flags = tmp_path / "cpuinfo"
    monkeypatch.setattr(_precision, "CPUINFO", flags)
    model = package.cifar_resnet(8, width=2, seed=0)
    for line, slow in (("flags : sse2 avx2", True), ("flags : avx512_bf16", False), ("", False)):
        flags.write_text(line)
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            package.optimize_for_inference(model, "bfloat16")
        told = [w for w in caught if "no instructions for bfloat16" in str(w.message)]
        assert len(told) == slow and all(w.filename == __file__ for w in told)
