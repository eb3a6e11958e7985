"""The command line puts a network on the device that it is told, or on the best that is there."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

import companion.tensorflow as ct
from companion import weights
from companion.__main__ import main
from companion.cli import devices
from companion.cli.load import network
from companion.cli.settings import checked

torch.set_num_threads(1)

SMALL = ["--data", "digits8", "--model", "cifar_resnet", "--width", "2", "--epochs", "1"]
TORCH, KERAS = ({"framework": name, "threads": 1} for name in ("torch", "tensorflow"))


@pytest.fixture(autouse=True)
def started(monkeypatch):
    # In one process with other tests TensorFlow may have started with its own number of threads.
    monkeypatch.setattr(ct, "use_threads", lambda threads=1: None)


@pytest.fixture
def cards(monkeypatch):
    """Say that so many graphics cards are there, which nothing is computed on."""

    def there(cuda, mps):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: cuda > 0)
        monkeypatch.setattr(torch.cuda, "device_count", lambda: cuda)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: mps)

    return there


class Network:
    """It says where it is put."""

    def to(self, device):
        return device


def put(name, processes=1):
    with devices.on_device(name, TORCH, processes) as place:
        return place(Network())


@pytest.mark.parametrize(
    ("cuda", "mps", "processes", "device"),
    [
        (0, False, 1, "cpu"),
        (2, False, 1, "cuda"),
        (1, True, 1, "cuda"),
        (0, True, 1, "mps"),
        (2, False, 2, "cuda"),
        (1, False, 2, "cpu"),  # a card for each, or all on the CPU
        (0, True, 2, "cpu"),
    ],
)
def test_auto_is_the_best_that_is_there(cuda, mps, processes, device, cards, monkeypatch):
    monkeypatch.delenv("LOCAL_WORLD_SIZE", raising=False)
    cards(cuda, mps)
    assert put("auto", processes) == device and put("cpu", processes) == "cpu"


def test_on_two_machines_each_process_has_a_card_of_its_machine(cards, monkeypatch):
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "2")
    cards(2, False)
    assert put("auto", 4) == put("cuda", 4) == "cuda"


def test_a_device_that_is_not_there_is_refused_and_the_others_named(cards):
    cards(2, True)
    assert [put(name) for name in ("cuda:1", "cuda:0", "mps")] == ["cuda:1", "cuda:0", "mps"]
    with pytest.raises(ValueError, match=r"here \(cpu, cuda:0, cuda:1, mps\), got 'cuda:2'"):
        put("cuda:2")
    for name in ("cuda:1", "mps"):
        with pytest.raises(ValueError, match=f"each of the 2 processes, got '{name}' and 2 cards"):
            put(name, 2)
    with pytest.raises(ValueError, match="each of the 3 processes, got 'cuda' and 2 cards"):
        put("cuda", 3)
    with (
        pytest.raises(ValueError, match=r"here \(cpu\), got 'gpu'"),
        devices.on_device("gpu", KERAS),
    ):
        pass


def test_tensorflow_is_told_where():
    import tensorflow as tf

    with devices.on_device("cpu", KERAS) as place:
        assert tf.constant(1).device.endswith("CPU:0") and place(3) == 3


def test_a_run_in_mixed_precision_is_evaluated_in_32_bits(tmp_path, capsys):
    found = {}
    for precision in ("bfloat16", "float32"):
        folder = tmp_path / precision
        words = ["train", "--out", str(folder), *SMALL, "--precision", precision]
        assert main([*words, "--device", "cpu"]) == 0
        assert json.loads((folder / "settings.json").read_text())["precision"] == precision
        found[precision] = json.loads((folder / "history.json").read_text())["loss"][0]
        capsys.readouterr()
        assert main(["evaluate", str(folder), "--json", "--device", "cpu"]) == 0
        assert json.loads(capsys.readouterr().out)["accuracy"] > 0.2
    assert found["bfloat16"] == pytest.approx(found["float32"], rel=0.05)
    assert found["bfloat16"] != found["float32"]


def test_keras_builds_for_mixed_precision_only_what_it_trains_so():
    settings = checked({"framework": "tensorflow", "model": "cifar_resnet", "width": 2})
    kinds = []
    for precision in ("bfloat16", "float32"):
        _, model = network(settings, 1, 10, precision)
        kinds.append(model.layers[-1].layers[-1].compute_dtype)
        held = weights.named_arrays(model).values()
        assert {array.dtype for array in held} == {np.dtype("float32")}
    assert kinds == ["bfloat16", "float32"]


@pytest.mark.parametrize(
    "device",
    [
        pytest.param(
            "cuda:0",
            marks=pytest.mark.skipif(
                not torch.cuda.is_available(), reason="needs a CUDA graphics card"
            ),
        ),
        pytest.param(
            "mps",
            marks=pytest.mark.skipif(
                not torch.backends.mps.is_available(), reason="needs an Apple graphics card"
            ),
        ),
    ],
)
def test_a_run_on_a_graphics_card_is_evaluated_there_and_here(device, tmp_path, capsys):
    folder = str(tmp_path / "run")
    for precision in ("bfloat16", "float32"):
        words = ["--precision", precision, "--device", device]
        assert main(["train", "--out", folder + precision, *SMALL, *words]) == 0
    losses = []
    for where in (device, "cpu"):
        capsys.readouterr()
        assert main(["evaluate", folder + "float32", "--json", "--device", where]) == 0
        losses.append(json.loads(capsys.readouterr().out)["loss"])
        assert main(["predict", folder + "float32", "--index", "0", "--device", where]) == 0
    assert losses[0] == pytest.approx(losses[1], rel=1e-3)
