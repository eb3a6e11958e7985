"""The command line: what it prints, what it refuses in one line, and that it destroys nothing."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import random
import re
import resource
import subprocess
import sys
from pathlib import Path

import nbformat
import numpy as np
import pytest
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion import _files as files
from companion import weights
from companion.__main__ import COMMANDS, main
from companion.book import claims, pages
from companion.cli import load, runs, train
from companion.cli.settings import DATA, NETWORKS, checked
from companion.data import digits8

torch.set_num_threads(1)

SMALL = ("--data", "digits8", "--model", "cifar_resnet", "--width", "2", "--epochs", "2")


@pytest.fixture(autouse=True)
def started(monkeypatch):
    # In one process with other tests TensorFlow may have started with its own number of threads.
    monkeypatch.setattr(ct, "use_threads", lambda threads=1: None)


@pytest.fixture
def call(capsys):
    """Run a command line; return its exit code, stdout and stderr."""

    def called(*words):
        capsys.readouterr()
        try:
            code = main([str(word) for word in words])
        except SystemExit as end:
            code = end.code
        out, err = capsys.readouterr()
        return code, out, err

    return called


@pytest.fixture
def refused(call):
    """Run a command line that cannot be done; return its one line."""

    def called(*words):
        code, _, err = call(*words)
        assert code == 2 and err.endswith("\n") and err.count("\n") == 1, (code, err)
        assert err.startswith("companion: ") and "Traceback" not in err
        return err

    return called


class Killed(BaseException):
    """What no handler catches."""


@contextlib.contextmanager
def dies_at_file(number):
    """Let the process die just before the file of this number gets its name."""
    left = [number]

    def counted(place):
        def call(*paths):
            left[0] -= 1
            if left[0] == 0:
                raise Killed
            place(*paths)

        return call

    with pytest.MonkeyPatch.context() as patch:
        for name in ("link", "replace"):  # of a new file, and of one that may be there
            patch.setattr(os, name, counted(getattr(os, name)))
        yield


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A finished run. Tests that damage it copy it."""
    folder = tmp_path_factory.mktemp("runs") / "whole"
    assert main(["train", "--out", str(folder), *SMALL]) == 0
    return folder


@pytest.fixture
def interrupted(tmp_path, monkeypatch):
    """A run that stands at its first epoch of two."""
    folder = tmp_path / "interrupted"
    with dies_at_file(3), pytest.raises(Killed):
        main(["train", "--out", str(folder), *SMALL])
    assert (folder / "checkpoint.npz").exists()
    return folder


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def outcome(folder):
    """Return what of a run must repeat: everything but how long it took."""
    found = contents(folder)
    history = json.loads(found.pop("history.json"))
    del history["seconds"]
    return {**found, "history": history}


def copied(folder, to):
    to.mkdir()
    for name, content in contents(folder).items():
        (to / name).write_bytes(content)
    return to


# --- runs


def test_a_run_ends_well_without_matplotlib(finished, call, tmp_path, monkeypatch):
    run = runs.Run.open(copied(finished, tmp_path / "run"))
    history = run.history()
    for name in ("curve.png", "weights.safetensors"):
        (run.folder / name).unlink()
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run.finish(history, {"w": np.zeros(1, np.float32)})
    assert run.finished and not (run.folder / "curve.png").exists()


def test_a_run_leaves_four_files_and_says_how_it_went(finished, call):
    assert sorted(contents(finished)) == [
        "curve.png",
        "history.json",
        "settings.json",
        "weights.safetensors",
    ]
    settings = json.loads((finished / "settings.json").read_text())
    assert settings["width"] == 2 and settings["depth"] == 8 and settings["epochs"] == 2
    history = json.loads((finished / "history.json").read_text())
    assert len(history["loss"]) == 2 and history["loss"][1] < history["loss"][0]
    assert (finished / "curve.png").read_bytes().startswith(b"\x89PNG")
    before = contents(finished)
    code, out, _ = call("train", "--resume", finished)
    assert code == 0 and "nothing to do" in out and contents(finished) == before


def test_a_run_is_what_fit_makes_of_its_settings(finished):
    model = cp.cifar_resnet(8, 2, in_channels=1, seed=0)
    history = cp.fit(model, digits8(), epochs=2, progress=False)
    stored = json.loads((finished / "history.json").read_text())
    assert stored["loss"] == list(history.loss)
    arrays = weights.files.read(finished / "weights.safetensors")[0]
    expected = weights.named_arrays(model)
    assert all(np.array_equal(arrays[name], expected[name]) for name in expected)


@pytest.mark.parametrize("number", range(1, 7))
def test_whichever_file_a_run_dies_before_it_can_be_finished(number, finished, tmp_path, call):
    folder = tmp_path / "run"
    with dies_at_file(number), pytest.raises(Killed):
        main(["train", "--out", str(folder), *SMALL])
    # What a process that is killed while it writes leaves behind.
    (folder / ".weights.safetensors.1.part").write_bytes(b"half")
    if number == 1:  # nothing has begun: the folder holds no run yet
        (folder / ".weights.safetensors.1.part").unlink()
        assert call("train", "--out", folder, *SMALL)[0] == 0
    else:
        assert call("train", "--resume", folder)[0] == 0
    assert outcome(folder) == outcome(finished)


def test_evaluation_is_the_same_in_both_frameworks(finished, call):
    code, out, _ = call("evaluate", finished)
    assert code == 0 and "360 test images" in out
    here, there = (
        json.loads(call("evaluate", finished, "--json", "--framework", name)[1])
        for name in ("torch", "tensorflow")
    )
    assert here["loss"] == pytest.approx(there["loss"], abs=1e-5)
    # Rounding may decide one image between two classes whose logits are equal but for it.
    assert here["accuracy"] == pytest.approx(there["accuracy"], abs=1.01 / 360)
    assert f"{here['accuracy']:.4f}" in out


def test_predictions_of_a_file_and_of_the_test_part(finished, call, tmp_path):
    np.save(tmp_path / "mine.npy", digits8().x_test[[5, 7]])
    by_index = json.loads(call("predict", finished, "--index", 5, 7, "--json")[1])
    by_file = json.loads(call("predict", finished, tmp_path / "mine.npy", "--json")[1])
    for one, other in zip(by_index, by_file, strict=True):
        assert one["probabilities"] == pytest.approx(other["probabilities"], abs=1e-6)
        assert sum(one["probabilities"]) == pytest.approx(1)
        assert one["class"] == int(np.argmax(one["probabilities"]))
    assert [row["label"] for row in by_index] == digits8().y_test[[5, 7]].tolist()
    code, out, _ = call("predict", finished, "--index", 5)
    assert code == 0 and len(out.splitlines()) == 2 and max(map(len, out.splitlines())) <= 80


def test_info_counts_as_published(call):
    code, out, _ = call("info", "resnet50")
    assert code == 0 and "25,557,032" in out and "4,089,184,256" in out


def test_info_agrees_between_frameworks_and_shows_the_control(call):
    words = ("info", "cifar_resnet", "--depth", 14, "--data", "digits8", "--json")
    here = json.loads(call(*words)[1])
    there = json.loads(call(*words, "--framework", "tensorflow")[1])
    assert here["image"] == [8, 8, 1]
    for name in ("parameters", "multiply_adds", "additions"):
        sums = [sum(layer[name] for layer in facts["layers"]) for facts in (here, there)]
        assert sums[0] == sums[1] > 0
    plain = json.loads(call(*words, "--no-residual")[1])
    assert sum(layer["additions"] for layer in plain["layers"]) == 0


def test_info_of_a_run_says_where_it_stands(finished, interrupted, call):
    assert "finished" in call("info", finished)[1].splitlines()[0]
    code, out, _ = call("info", interrupted)
    assert code == 0 and "stands at epoch 1 of 2" in out and "learning_rate   0.1" in out


@pytest.mark.parametrize("name", NETWORKS)
def test_every_network_of_the_table_is_in_both_frameworks(name):
    assert callable(getattr(ct, name))
    if NETWORKS[name].classes == 1000:
        assert callable(getattr(cp, name))
        return
    _, model = load.network(checked({"model": name}), 1, 10)
    assert cp.predict(model, np.zeros((2, 8, 8, 1), np.float32)).shape == (2, 10)
    if NETWORKS[name].control:
        _, plain = load.network(checked({"model": name, "residual": False}), 1, 10)
        assert len(weights.named_arrays(plain)) <= len(weights.named_arrays(model))


MINE = """
import torch
from companion.torch import BasicBlock

class Mine(BasicBlock):
    pass

class Plain(torch.nn.Module):
    \"\"\"A block that knows nothing of the companion.\"\"\"

    def __init__(self, in_channels, out_channels, stride=1, shortcut="B", residual=True, **_):
        super().__init__()
        self.conv = torch.nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.norm = torch.nn.BatchNorm2d(out_channels)

    def forward(self, x):
        return self.norm(self.conv(x)).relu()
"""
MINE_IN_KERAS = """
from companion.tensorflow import BasicBlock

class Mine(BasicBlock):
    pass
"""


@pytest.fixture
def mine(tmp_path, monkeypatch):
    """The working directory of a user with blocks of their own."""
    (tmp_path / "mine.py").write_text(MINE)
    (tmp_path / "mine_in_keras.py").write_text(MINE_IN_KERAS)
    (tmp_path / "broken.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", sys.path.copy())
    yield tmp_path
    for name in ("mine", "mine_in_keras", "broken"):
        sys.modules.pop(name, None)


@pytest.mark.parametrize("name", ["mine:Mine", "mine:Plain", "mine_in_keras:Mine"])
def test_a_block_of_the_user_s_own_is_trained_and_found_again(name, mine, call, finished):
    framework = "tensorflow" if "keras" in name else "torch"
    words = ("--framework", framework, "--block", name)
    code, _, err = call("train", "--out", "run", *SMALL, *words)
    assert code == 0, err
    assert json.loads((mine / "run" / "settings.json").read_text())["block"] == name
    assert "nothing to do" in call("train", "--resume", "run")[1]
    code, out, err = call("evaluate", "run", "--json")
    assert code == 0, err
    if name == "mine:Mine":  # it is a basic block by another name
        assert json.loads(out) == json.loads(call("evaluate", finished, "--json")[1])
    assert call("predict", "run", "--index", 0)[0] == 0
    assert f"block           {name}" in call("info", "run")[1]
    assert call("info", "mnist_resnet", *words)[0] == 0


def test_a_run_with_a_block_of_its_own_is_resumed(mine, call):
    words = (*SMALL, "--block", "mine:Mine")
    assert call("train", "--out", "whole", *words)[0] == 0
    with dies_at_file(3), pytest.raises(Killed):
        main(["train", "--out", "run", *words])
    assert call("train", "--resume", "run")[0] == 0
    assert outcome(mine / "run") == outcome(mine / "whole")


def test_what_is_wrong_with_a_block_is_one_line(mine, refused):
    def said(*words):
        return refused("train", "--out", "new", *words)

    assert "got broken: ZeroDivisionError: division by zero" in said("--block", "broken:B")
    wrong = ("--block", "mine:Mine", "--framework", "tensorflow")
    assert "must be a keras.Layer for tensorflow, got mine:Mine" in said(*wrong)
    assert not (mine / "new").exists()


# --- what is refused

BAD = [
    ("train --out {new} --model resnet51", "model must be one of 'mnist_resnet'"),
    ("train --out {new} --model cifar_resnet --depth 9", r"depth must be 6n\+2"),
    ("train --out {new} --depth 20", "depth must be left out: mnist_resnet has only one"),
    ("train --out {new} --model revnet_cifar --no-residual", "residual must be True for revnet"),
    ("train --out {new} --epochs 0", "epochs must be an integer of at least 1, got 0"),
    ("train --out {new} --epochs ten", "--epochs: invalid int value: 'ten'"),
    ("train --out {new} --batch-size 9999", "batch_size must be at most the 4000"),
    ("train --out {new} --learning-rate nan", "learning_rate must be a number"),
    ("train --out {new} --optimizer lion", "optimizer must be one of 'sgd', 'adam'"),
    ("train --out {new} --optimizer own: --data digits8", "optimizer must be one of 'sgd', 'adam'"),
    ("train --out {new} --precision float16", "precision must be one of 'float32', 'bfloat16'"),
    ("train --resume {whole} --precision bfloat16", "precision must be 'float32', with which"),
    ("train --out {new} --device gpu", "device must be 'auto', 'cpu', 'cuda', 'cuda:1' or 'mps' f"),
    (
        "train --out {new} --device cuda:99",
        r"device must be one that is here \(cpu.*\), got 'cuda:9",
    ),
    ("evaluate {whole} --device cuda:99", "device must be one that is here"),
    ("predict {whole} --index 1 --device cuda:99", "device must be one that is here"),
    ("evaluate {whole} --framework tensorflow --device cuda", "'auto', 'cpu' or 'gpu' for tensorf"),
    ("train --out {new} --block mine", "block must be MODULE:CLASS, as mine:MyBlock, got 'mine'"),
    ("train --out {new} --block nowhere:B", "a module that can be imported, got nowhere: Module"),
    ("train --out {new} --block json:Nothing", "a class of json, which has no Nothing"),
    ("train --out {new} --block json:__all__", "must be a class, got json:__all__, of type list"),
    ("train --out {new} --block json:JSONDecoder", "must be a torch.nn.Module for torch, got json"),
    ("train --out {new} --block a:b --model densenet_cifar", "block must be left out: densenet"),
    ("info mnist_resnet --block torch.nn:Linear --framework tensorflow", "a keras.Layer for tens"),
    ("info mnist_resnet --block torch.nn:ReLU", r"block must be built as ReLU\(in_channels, out"),
    ("train --resume {whole} --block a:b", "block must be None, with which the run in"),
    ("train --out {new} --threads 0", "threads must be an integer of at least 1"),
    ("train --out {new} --data cifar", "--data: invalid choice: 'cifar'"),
    ("train --out {new} --framework jax", "--framework: invalid choice: 'jax'"),
    ("train --out {new} --resume {whole}", "not allowed with"),
    ("train --out {whole}", "whole holds a run: choose another folder"),
    ("train --out {other}", "other is not empty"),
    ("train --out {file}", "file: File exists"),
    ("train --out {file}/new --data digits8 --epochs 1", "new: Not a directory"),
    ("train --resume {other}", "other holds no run"),
    ("train --resume {whole} --epochs 3", "epochs must be 2, with which the run in"),
    ("train --resume {whole} --framework tensorflow", "framework must be 'torch', with which"),
    ("train", "one of the arguments --out --resume is required"),
    ("evaluate {new}", "new holds no run"),
    ("evaluate {file}", "file holds no run"),
    ("predict {whole}", "needs either FILE.npy or --index"),
    ("predict {whole} {file} --index 1", "needs either FILE.npy or --index"),
    ("predict {whole} --index 360", "index must be from 0 to 359, got 360"),
    ("predict {whole} --index -1", "index must be from 0 to 359, got -1"),
    ("predict {whole} {new}.npy", "new.npy: No such file"),
    ("predict {whole} {file}", "file must be an array that numpy.save wrote"),
    ("predict {whole} {wide}", r"must hold images \(N, 8, 8, 1\), got shape \(2, 9, 9, 1\)"),
    ("predict {whole} {bytes}", "must hold values from 0 to 1"),
    ("train --out {new} --data digits8 --shift 8", "shift must be below the 8 pixels"),
    ("train --out {new}/deep --data digits8 --shift 8", "shift must be below the 8 pixels"),
    ("train --out {new}/deep --data digits8 --batch-size 9999", "batch_size must be at most"),
    ("train --out {new} --label-smoothing 1", "label_smoothing must be below 1"),
    ("bench --out=", "--out must name a file"),
    ("info resnet51", "'resnet51' is neither a run's folder nor one of mnist_resnet"),
    ("info {other}", "other holds no run"),
    ("info {whole} --depth 20", "depth must be left out"),
    ("info resnet50 --width 8", "width must be left out: resnet50 has only one"),
    ("ledger --run Z9", "--run must be one of .*, got 'Z9'"),
    ("lager", "invalid choice: 'lager'"),
]


def test_no_command_at_all_prints_the_help(capsys):
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0 and "companion train --out" in capsys.readouterr().out


@pytest.mark.parametrize(("words", "named"), BAD)
def test_bad_input_gets_one_line(words, named, finished, tmp_path, refused):
    places = {name: tmp_path / name for name in ("new", "other", "file", "wide", "bytes")}
    places["other"].mkdir()
    (places["other"] / "notes.txt").write_text("mine")
    places["file"].write_text("text")
    for name, array in (("wide", np.zeros((2, 9, 9, 1))), ("bytes", np.full((1, 8, 8, 1), 255))):
        with open(places[name], "wb") as file:
            np.save(file, array)
    before = {folder: contents(folder) for folder in (finished, places["other"])}
    line = refused(*words.format(**places, whole=finished).split())
    assert re.search(named, line), line
    assert not places["new"].exists()
    assert all(contents(folder) == before[folder] for folder in before)


def test_a_file_that_cannot_be_written_is_named_before_any_work(tmp_path, refused, monkeypatch):
    def full(**options):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(files.tempfile, "TemporaryFile", full)
    line = refused("bench", "--only", "limit", "--out", tmp_path / "bench.json")
    assert "bench.json: cannot write it: No space left on device" in line


@pytest.mark.parametrize("name", ["torch", "tensorflow"])
def test_a_missing_framework_names_the_extra(name, tmp_path, refused, monkeypatch):
    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.delitem(sys.modules, f"companion.{name}")
    for words in (("train", "--out", tmp_path / "new"), ("info", "mnist_resnet")):
        assert f"pip install 'residual-companion[{name}]'" in refused(*words, "--framework", name)
    assert not (tmp_path / "new").exists()


def test_a_loss_that_explodes_says_what_to_do_and_leaves_no_folder(tmp_path, refused):
    for folder in (tmp_path / "new", tmp_path):
        line = refused("train", "--out", folder, *SMALL, "--learning-rate", "1e30")
        assert "lower learning_rate" in line
    assert tmp_path.is_dir() and not list(tmp_path.iterdir())


def test_what_fails_after_an_epoch_leaves_it(tmp_path, refused, monkeypatch):
    def fail(run, history, weights):
        raise ValueError("after all epochs")

    monkeypatch.setattr(runs.Run, "finish", fail)
    assert "after all epochs" in refused("train", "--out", tmp_path / "run", *SMALL)
    assert {"settings.json", "checkpoint.npz"} <= set(os.listdir(tmp_path / "run"))


def test_two_runs_that_begin_at_one_moment(tmp_path, monkeypatch):
    chosen = {name: checked({"seed": seed}) for seed, name in enumerate("ab")}
    create = files.create

    def late(path, content):  # the other one comes between the look and the write
        monkeypatch.setattr(files, "create", create)
        with runs.Run.create(tmp_path / "run", chosen["b"]):
            create(path, content)

    monkeypatch.setattr(files, "create", late)
    monkeypatch.setattr(runs, "require_empty", lambda folder: None)
    with pytest.raises(FileExistsError), runs.Run.create(tmp_path / "run", chosen["a"]):
        pass
    assert runs.Run.open(tmp_path / "run").settings == chosen["b"]


def test_the_later_of_two_runs_is_told_of_the_other(finished, tmp_path, refused, monkeypatch):
    create = files.create

    def late(path, content):
        path.write_bytes((finished / "settings.json").read_bytes())
        create(path, content)

    monkeypatch.setattr(files, "create", late)
    assert "holds a run: choose another folder" in refused("train", "--out", tmp_path / "run")
    assert runs.Run.open(tmp_path / "run").settings == runs.Run.open(finished).settings


@pytest.mark.parametrize("left", ["empty", "folder"])
def test_a_checkpoint_stays_where_the_weights_are_not_whole(left, interrupted, refused):
    path = interrupted / "weights.safetensors"
    path.mkdir() if left == "folder" else path.touch()
    kept = (interrupted / "checkpoint.npz").read_bytes()
    assert "weights.safetensors" in refused("train", "--resume", interrupted)
    assert (interrupted / "checkpoint.npz").read_bytes() == kept


@pytest.mark.parametrize("content", [b"PK\x03\x04garbage", b"", b"no array"])
def test_a_file_that_holds_no_array(content, finished, tmp_path, refused):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    assert "numpy.save" in refused("predict", finished, path)


def test_errors_of_no_known_kind_are_one_line_only_where_tensorflow_s(tmp_path, refused):
    import tensorflow as tf

    error = tf.errors.ResourceExhaustedError(None, None, "no memory\nat all")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(train, "_begin", lambda *rest: (_ for _ in ()).throw(error))
        assert "no memory at all" in refused("train", "--out", tmp_path / "new")
        patch.setattr(train, "_begin", lambda *rest: (_ for _ in ()).throw(LookupError("odd")))
        with pytest.raises(LookupError):
            main(["train", "--out", str(tmp_path / "new")])


@pytest.mark.parametrize("text", ["", "{", "[]", "{}", '{"versions": {}}', "broken value"])
def test_damaged_settings(text, finished, tmp_path, refused):
    folder = copied(finished, tmp_path / "run")
    whole = (folder / "settings.json").read_text()
    (folder / "settings.json").write_text(
        whole.replace('"width": 2', '"width": -2') if text == "broken value" else text
    )
    before = contents(folder)
    for words in (
        ("train", "--resume", folder),
        ("evaluate", folder),
        ("predict", folder, "--index", 0),
        ("info", folder),
    ):
        assert "settings.json is damaged" in refused(*words)
    assert contents(folder) == before


@pytest.mark.parametrize("text", ["", '{"loss": [1, 2]}', '{"loss": 3}', '{"los": [1]}'])
def test_damaged_history(text, finished, tmp_path, refused):
    folder = copied(finished, tmp_path / "run")
    (folder / "history.json").write_text(text)
    assert "history.json is damaged" in refused("info", folder)


def test_damaged_weights_are_found_whatever_byte_it_is(finished, tmp_path, call, refused):
    folder = copied(finished, tmp_path / "run")
    whole = (folder / "weights.safetensors").read_bytes()
    expected = call("evaluate", finished)[1]
    dice = random.Random(0)
    for _ in range(20):
        broken = bytearray(whole)
        broken[dice.randrange(len(whole))] ^= 1 << dice.randrange(8)
        (folder / "weights.safetensors").write_bytes(broken)
        code, out, err = call("evaluate", folder)
        # The name of the digest may change unnoticed; no weight may.
        assert (code, out) == (0, expected) or (code == 2 and err.count("\n") == 1)
    for length in (0, 10, len(whole) // 2, len(whole) - 1):
        (folder / "weights.safetensors").write_bytes(whole[:length])
        for words in (("evaluate", folder), ("predict", folder, "--index", 0)):
            assert "weights.safetensors is damaged" in refused(*words)


def test_weights_of_another_network_or_under_a_framework_s_own_names(finished, tmp_path, refused):
    folder = copied(finished, tmp_path / "run")
    state = cp.cifar_resnet(8, 2, in_channels=1, seed=0).state_dict()
    wider = weights.named_arrays(cp.cifar_resnet(8, 3, in_channels=1, seed=0))
    for arrays in ({name: t.numpy() for name, t in state.items()}, wider):
        (folder / "weights.safetensors").write_bytes(weights.files.encoded(arrays))
        assert "weights.safetensors is damaged or of another network" in refused("evaluate", folder)


def test_an_unfinished_run_is_not_evaluated(interrupted, refused):
    before = contents(interrupted)
    for words in (("evaluate", interrupted), ("predict", interrupted, "--index", 0)):
        assert "stands at epoch 1 of 2: python -m companion train --resume" in refused(*words)
    assert contents(interrupted) == before


def test_a_damaged_checkpoint_is_refused_and_kept(interrupted, refused):
    whole = (interrupted / "checkpoint.npz").read_bytes()
    arrays = files.read_arrays(interrupted / "checkpoint.npz")
    del arrays["about"]
    files.write_arrays(interrupted / "checkpoint.npz", arrays)
    silent = (interrupted / "checkpoint.npz").read_bytes()
    for content in (b"", whole[: len(whole) // 2], b"x" * 100, silent):
        (interrupted / "checkpoint.npz").write_bytes(content)
        before = contents(interrupted)
        for words in (("train", "--resume", interrupted), ("info", interrupted)):
            assert "checkpoint.npz is damaged" in refused(*words)
        assert contents(interrupted) == before


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('"framework": "torch"', '"framework": "tensorflow"', "resume must hold the arrays of"),
        ('"width": 2', '"width": 3', "resume must hold the arrays of"),
        ('"epochs": 2', '"epochs": 3', "epochs must be 2, with which"),
    ],
)
def test_a_checkpoint_of_another_framework_network_or_recipe(
    old, new, named, interrupted, refused, finished, call
):
    path = interrupted / "settings.json"
    text = path.read_text()
    path.write_text(text.replace(old, new))
    before = contents(interrupted)
    assert named in refused("train", "--resume", interrupted)
    assert contents(interrupted) == before
    path.write_text(text)  # as it was, it can be finished
    assert call("train", "--resume", interrupted)[0] == 0
    assert outcome(interrupted) == outcome(finished)


def test_two_processes_do_not_train_one_run(interrupted, refused):
    with runs.Run.open(interrupted).locked():
        assert "is in use" in refused("train", "--resume", interrupted)


def test_another_version_is_mentioned(interrupted, call):
    path = interrupted / "settings.json"
    path.write_text(path.read_text().replace('"torch": "', '"torch": "1.'))
    code, _, err = call("train", "--resume", interrupted)
    assert code == 0 and "the last digits may differ: torch 1." in err


def test_a_full_disk_keeps_what_is_whole(interrupted, finished, tmp_path, call, monkeypatch):
    def full(file):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    before = contents(interrupted)
    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        code, out, err = call("train", "--resume", interrupted)
        assert code == 2 and err.count("\n") == 1 and "No space left on device" in err
        assert "checkpoint.npz" in err and "keeps its whole epochs" in out
        code, _, err = call("train", "--out", tmp_path / "new", *SMALL)
        assert code == 2 and "settings.json" in err and not (tmp_path / "new").exists()
    assert contents(interrupted) == before
    assert call("train", "--resume", interrupted)[0] == 0
    assert outcome(interrupted) == outcome(finished)


def test_a_file_that_grows_too_large_is_not_half_there(interrupted, finished, call):
    before = contents(interrupted)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    size = len(before["checkpoint.npz"]) // 2
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, limits[1]))
    try:
        code, _, err = call("train", "--resume", interrupted)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert code == 2 and err.count("\n") == 1 and "checkpoint.npz: cannot write it" in err
    assert contents(interrupted) == before
    assert call("train", "--resume", interrupted)[0] == 0
    assert outcome(interrupted) == outcome(finished)


def test_an_interruption_by_hand_says_how_to_go_on(tmp_path, call, monkeypatch):
    def stop(run, state):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.Run, "save_checkpoint", stop)
    code, out, err = call("train", "--out", tmp_path / "run", *SMALL)
    assert code == 130 and "train --resume" in out and err == "companion: interrupted\n"


# --- the ledger


def test_the_ledger_has_a_line_for_every_claim(call):
    code, out, err = call("ledger")
    lines, entries = out.splitlines(), claims.ledger()
    assert code == 0 and not err and len(lines) == len(entries) + 1
    for line in lines[:-1]:
        entry = entries[line.split()[0]]
        assert entry.verdict.word in line and entry.verdict.reason in line
        assert f"{entry.claim.notebook}.ipynb#claim-{entry.claim.id}" in line
    assert lines[-1].startswith(f"{len(entries)} claims; holds: ")


def test_the_ledger_as_json(call):
    found = {entry["id"]: entry for entry in json.loads(call("ledger", "--json")[1])}
    for id, entry in claims.ledger().items():
        assert found[id]["numbers"] == entry.numbers
        assert found[id]["verdict"] == entry.verdict.word


def test_a_claim_of_the_book_measured_again(call):
    code, out, err = call("ledger", "--run", "A2")
    assert code == 0, err
    assert "the verdict is the same" in out and "convolutions" in out


@pytest.fixture
def book(tmp_path, monkeypatch):
    """A checkout whose one notebook measures claim C3 as the test says."""
    monkeypatch.setattr(pages, "FOLDER", tmp_path)
    monkeypatch.setenv("PYTHONPATH", str(Path(claims.__file__).parents[3]))

    def write(source, tags=("claim-C3",)):
        cells = [
            nbformat.v4.new_markdown_cell("# A chapter"),
            nbformat.v4.new_code_cell("raise SystemExit('it installs')", id="needs-package"),
            nbformat.v4.new_code_cell(
                "from pathlib import Path\nfrom companion.book import claims"
            ),
            nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)}),
            nbformat.v4.new_code_cell("raise SystemExit('behind the claim')"),
        ]
        path = tmp_path / f"{claims.CLAIMS['C3'].notebook}.ipynb"
        nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
        return path

    return write


def test_a_verdict_that_has_changed_is_exit_code_1(book, call):
    path = book(
        'claims.record("C3", log10_plain=-float(Path("n.txt").read_text()), log10_residual=1.0, '
        "log10_plain_at_2=0.0, log10_residual_at_2=4.0)"
    )
    (path.parent / "n.txt").write_text("0.5")  # found only from the book's own folder
    before = path.read_bytes()
    code, out, _ = call("ledger", "--run", "C3", "--json")
    facts = json.loads(out)
    assert code == 1 and not facts["same"] and path.read_bytes() == before
    numbers = facts["measured"]["numbers"]
    assert (numbers["log10_plain"], numbers["log10_residual"]) == (-0.5, 1.0)
    assert facts["stored"]["verdict"] == "holds with conditions"
    assert facts["measured"]["verdict"] == "does not hold"
    (path.parent / "n.txt").write_text("8")
    code, out, _ = call("ledger", "--run", "C3")
    assert code == 0 and "the verdict is the same" in out and "-8.0" in out


def test_what_goes_wrong_with_a_claim_is_one_line(book, call):
    for source, tags, named in (
        ("1 / 0", ("claim-C3",), "failed before claim-C3: division by zero"),
        ("None", ("claim-C3",), "recorded nothing"),
        ("None", (), "must have one cell tagged claim-C3, has 0"),
    ):
        book(source, tags)
        code, out, err = call("ledger", "--run", "C3")
        assert code == 2 and not out and named in err.splitlines()[-1] and "Traceback" not in err


def test_without_the_notebooks(tmp_path, refused, monkeypatch):
    monkeypatch.setattr(pages, "FOLDER", tmp_path / "book")
    assert "needs the book's notebooks" in refused("ledger", "--run", "C3")


def test_without_what_runs_notebooks(refused, monkeypatch):
    monkeypatch.setitem(sys.modules, "nbclient", None)
    assert "pip install nbclient" in refused("ledger", "--run", "C3")


# --- help


@pytest.mark.parametrize("command", ["", *(m.__name__.split(".")[-1] for m in COMMANDS)])
def test_help_teaches_on_one_screen(command, call, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    code, out, _ = call(*command.split(), "--help")
    assert code == 0 and "examples:" in out and f"python -m companion {command}" in out
    lines = out.splitlines()
    assert len(lines) <= 45 and max(map(len, lines)) <= 80


def test_tensorflow_does_not_bury_the_one_line(tmp_path):
    # In a process of its own: TensorFlow greets at its import, and not through Python.
    words = ("train", "--out", str(tmp_path / "new"), *SMALL, "--framework", "tensorflow")
    command = [sys.executable, "-m", "companion", *words, "--depth", "7"]
    environment = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    assert done.returncode == 2 and not done.stdout
    assert done.stderr == "companion: depth must be an integer of at least 8, got 7\n"


def test_help_and_ledger_are_quick_and_load_no_framework():
    code = (
        "import sys\n"
        "from companion.__main__ import main\n"
        "main(['ledger'])\n"
        "try:\n    main(['--help'])\nexcept SystemExit as end:\n    assert end.code == 0\n"
        # What makes a command slow is what it imports; NumPy has about 300 modules, torch 2,000.
        "slow = {'torch', 'tensorflow', 'keras', 'matplotlib', 'nbclient', 'scipy', 'pandas'}\n"
        "assert not slow & set(sys.modules), slow & set(sys.modules)\n"
        "assert len(sys.modules) < 700, len(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.DEVNULL)


def test_a_reader_that_closes_early_is_no_error():
    command = f"'{sys.executable}' -m companion ledger | head -1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True)
    assert done.stderr == "" and done.returncode in (0, 1)


def test_the_choices_are_those_of_the_packages():
    for name in DATA:
        assert load.dataset(name).x_train.ndim == 4
