"""Networks leave their framework: as ONNX, as graphs, as files that other programs run."""

from __future__ import annotations

import warnings

import keras
import numpy as np
import onnx
import onnxruntime
import pytest
import tensorflow as tf
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion import _onnx, weights

torch.set_num_threads(1)
WEEKLY = pytest.mark.exhaustive
IMAGES = np.random.default_rng(0).random((3, 16, 15, 3), np.float32)


def small(package, **options):
    return package.cifar_resnet(8, width=4, shortcut="B", seed=0, **options)


def run(path, x):
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [i.name for i in session.get_inputs()] == ["x"]
    assert [o.name for o in session.get_outputs()] == ["y"]
    return session.run(None, {"x": x})[0]


def near(a, b, tolerance=1e-4):
    assert a.shape == b.shape
    assert np.abs(a - b).max() <= tolerance * max(1.0, np.abs(b).max())


@pytest.mark.parametrize("package", [cp, ct])
@pytest.mark.parametrize("channels_last", [pytest.param(True, marks=WEEKLY), False])
def test_onnx_gives_the_predictions_at_any_batch_size(package, channels_last, tmp_path):
    model = small(package)
    made = package.export_onnx(model, tmp_path / "m.onnx", IMAGES[:2], channels_last)
    assert made == tmp_path / "m.onnx"
    assert [p.name for p in tmp_path.iterdir()] == ["m.onnx"]
    for x in (IMAGES, IMAGES[:1]):
        given = x if channels_last else np.ascontiguousarray(x.transpose(0, 3, 1, 2))
        near(run(made, given), package.predict(model, x))


@pytest.mark.parametrize("package", [cp, pytest.param(ct, marks=WEEKLY)])
@pytest.mark.parametrize("channels_last", [True, pytest.param(False, marks=WEEKLY)])
def test_onnx_returns_images_in_the_order_they_came(package, channels_last, tmp_path):
    model = package.residual_unet(in_channels=3, levels=1, channels=4, seed=0)
    x = IMAGES[:, :, :14]
    made = package.export_onnx(model, tmp_path / "m.onnx", x, channels_last)
    expected = package.predict(model, x)
    if not channels_last:
        x, expected = (a.transpose(0, 3, 1, 2) for a in (x, expected))
    near(run(made, np.ascontiguousarray(x)), expected)


@pytest.mark.parametrize("package", [cp, ct])
def test_onnx_takes_tokens(package, tmp_path):
    model = package.transformer(11, 1, channels=8, heads=2, seed=0)
    tokens = np.random.default_rng(0).integers(0, 11, (3, 8))
    made = package.export_onnx(model, tmp_path / "m.onnx", tokens)
    near(run(made, tokens), package.predict(model, tokens))


@WEEKLY  # each is compared with its own network, and the networks with one another
def test_both_frameworks_write_files_of_one_function(tmp_path):
    here, there = small(cp), small(ct)
    weights.transfer(here, there)
    one = cp.export_onnx(here, tmp_path / "one.onnx", IMAGES)
    other = ct.export_onnx(there, tmp_path / "other.onnx", IMAGES)
    near(run(one, IMAGES), run(other, IMAGES))


def test_export_leaves_the_mode_alone(tmp_path):
    model = small(cp).train()
    cp.export_onnx(model, tmp_path / "m.onnx", IMAGES)
    assert model.training and all(m.training for m in model.modules())


def test_an_optimised_network_is_exported_too(tmp_path):
    model = small(cp)
    made = cp.export_onnx(cp.optimize_for_inference(model), tmp_path / "m.onnx", IMAGES)
    near(run(made, IMAGES), cp.predict(model, IMAGES))


@pytest.mark.parametrize("package", [cp, ct])
@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"model": "a string"}, "model"),
        ({"path": "m.pt"}, "'.onnx'"),
        ({"path": 3}, "'.onnx'"),
        ({"path": "no/such/folder/m.onnx"}, "folder"),
        ({"x": IMAGES[0, 0, 0]}, "x_example"),
        ({"x": IMAGES[:0]}, "empty"),
        ({"x": np.full_like(IMAGES, np.nan)}, "finite"),
        ({"channels_last": 1}, "channels_last"),
    ],
)
def test_what_cannot_be_exported_is_refused(package, change, named, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    good = {"model": small(package), "path": "m.onnx", "x": IMAGES}
    with pytest.raises(ValueError, match=named):
        package.export_onnx(**{**good, **change})
    assert not list(tmp_path.iterdir())


def test_a_failed_export_leaves_the_old_file(tmp_path):
    path = tmp_path / "m.onnx"
    path.write_bytes(b"old")
    with pytest.raises(RuntimeError), _onnx.exported(path, IMAGES, True) as (_, written):
        written.write_bytes(b"half")
        raise RuntimeError
    assert path.read_bytes() == b"old" and list(tmp_path.iterdir()) == [path]


def test_a_file_that_breaks_the_rules_of_onnx_is_not_kept(tmp_path):
    node = onnx.helper.make_node("Unheard", ["x"], ["y"], name="n")
    value = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1]) for n in "xy"]
    graph = onnx.helper.make_graph([node], "g", value[:1], value[1:])
    path = tmp_path / "m.onnx"
    export = _onnx.exported(path, IMAGES, True)
    with pytest.raises(ValueError, match="Unheard"), export as (_, written):
        onnx.save(onnx.helper.make_model(graph), written)
    assert not list(tmp_path.iterdir())


class Branching(torch.nn.Module):
    def forward(self, x):
        return x if x.sum() > 0 else -x


class Two(torch.nn.Module):
    def forward(self, x):
        return x, x


@pytest.mark.parametrize("model", [Branching(), Two()])
def test_what_onnx_cannot_express_is_refused(model, tmp_path):
    with pytest.raises(ValueError, match="model must"):
        cp.export_onnx(model, tmp_path / "m.onnx", np.ones((2, 3), np.float32))
    assert not list(tmp_path.iterdir())


def test_a_missing_package_names_the_extra(tmp_path):
    export = _onnx.exported(tmp_path / "m.onnx", IMAGES, True, "a_package_that_nobody_has")
    with pytest.raises(ImportError, match=r"companion\[export\]"), export:
        pass


def test_torch_export_keeps_the_outputs_at_any_batch_size():
    model = small(cp).eval()
    x = torch.from_numpy(IMAGES).permute(0, 3, 1, 2)
    batch = ({0: torch.export.Dim.DYNAMIC},)
    program = torch.export.export(model, (x,), dynamic_shapes=batch)
    with torch.no_grad():
        assert torch.allclose(program.module()(x[:2]), model(x[:2]), atol=1e-5)


def test_torch_compile_keeps_outputs_and_gradients():
    # The smallest residual network there is: a compiler's time grows with the graph.
    model = cp.Residual(torch.nn.Linear(4, 4), activation=torch.nn.ReLU())
    x = torch.randn(3, 4)
    expected = model(x)
    (wanted,) = torch.autograd.grad(expected.sum(), model.branch.weight)
    compiled = torch.compile(model, fullgraph=True)
    got = compiled(x)
    (gradient,) = torch.autograd.grad(got.sum(), model.branch.weight)
    assert torch.allclose(got, expected, atol=1e-5)
    assert torch.allclose(gradient, wanted, atol=1e-5)
    with pytest.raises(ValueError, match="compiled"):
        cp.optimize_for_inference(compiled)


def test_a_saved_model_needs_no_companion(tmp_path):
    model = small(ct)
    model.export(tmp_path / "saved", verbose=False)
    loaded = tf.saved_model.load(tmp_path / "saved")
    near(loaded.serve(IMAGES).numpy(), ct.predict(model, IMAGES))


def test_lite_rt_gives_the_predictions(tmp_path):
    model = small(ct)
    path = tmp_path / "m.tflite"
    model.export(path, format="litert", verbose=False)
    # TensorFlow's interpreter warns that its successor is a package of its own.
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        interpreter = tf.lite.Interpreter(model_path=str(path))
    (given,), (returned,) = interpreter.get_input_details(), interpreter.get_output_details()
    interpreter.resize_tensor_input(given["index"], IMAGES.shape)
    interpreter.allocate_tensors()
    interpreter.set_tensor(given["index"], IMAGES)
    interpreter.invoke()
    near(interpreter.get_tensor(returned["index"]), ct.predict(model, IMAGES))


def test_a_frozen_network_is_no_layer():
    assert not isinstance(ct.optimize_for_inference(small(ct)), keras.layers.Layer)
