"""A run that is interrupted and resumed ends as one that is not, bit for bit."""

from __future__ import annotations

import dataclasses
import json
import os
import random
import subprocess
import sys
import time
from collections import OrderedDict

import keras
import numpy as np
import pytest
import torch
from torch import nn

import companion.tensorflow as ct
import companion.torch as cp
from companion import data, weights
from tests.library.harness import tiny
from tests.limits import HANG_SECONDS

torch.set_num_threads(1)

DIGITS = data.digits8()
DIGITS = dataclasses.replace(DIGITS, x_train=DIGITS.x_train[:160], y_train=DIGITS.y_train[:160])
VECTORS = dataclasses.replace(
    DIGITS, x_train=DIGITS.x_train.reshape(160, 64), x_test=DIGITS.x_test.reshape(-1, 64)
)


def random_depth(framework):
    """Stochastic depth draws while it trains, from a generator that has to be resumed, too."""
    merge = framework.StochasticDepth(0.5)
    if framework is cp:
        torch.manual_seed(5)
        block, dense = cp.Residual(cp.Dense(64, 64), merge=merge), cp.Dense(64, 10)
        model = nn.Sequential(OrderedDict(block=block, dense=dense))
    else:
        keras.utils.set_random_seed(5)
        block = ct.Residual(ct.Dense(64, 64), merge=merge, name="block")
        model = keras.Sequential([keras.Input((64,)), block, ct.Dense(64, 10, name="dense")])
    weights.initialize(model, seed=0)
    return model


def images(framework):
    return tiny(framework)


CASES = {
    "sgd, images shifted": (images, DIGITS, {"shift": 1, "label_smoothing": 0.1, "seed": 3}),
    "adam, random depth": (random_depth, VECTORS, {"optimizer": "adam", "learning_rate": 0.01}),
}
same_columns = ("loss", "accuracy", "learning_rate")


@pytest.mark.parametrize("framework", [cp, ct], ids=["torch", "tensorflow"])
@pytest.mark.parametrize("case", CASES)
def test_resumed_after_any_epoch_the_result_is_the_same(framework, case):
    build, part, settings = CASES[case]
    settings = {"epochs": 2, "batch_size": 32, "progress": False, **settings}
    whole = build(framework)
    checkpoints = list(framework.train(whole, part, **settings))
    assert [checkpoint.epoch for checkpoint in checkpoints] == [1, 2]
    history = checkpoints[-1].history
    expected = weights.named_arrays(whole)
    for checkpoint in checkpoints:
        torch.manual_seed(99)
        again = build(framework)
        for value in torch.rand(3), keras.random.uniform((3,)):
            assert len(value) == 3  # whoever draws in between does not matter
        rest = list(framework.train(again, part, resume=checkpoint, **settings))
        last = rest[-1] if rest else checkpoint
        for name in same_columns:
            assert getattr(last.history, name) == getattr(history, name)
        found = weights.named_arrays(again)
        assert all(np.array_equal(expected[name], found[name]) for name in expected)
        assert len(rest) == 2 - checkpoint.epoch
        assert all(np.array_equal(checkpoints[-1].arrays[n], last.arrays[n]) for n in last.arrays)
        assert framework.fit(again, part, resume=checkpoints[-1], **settings) == history


@pytest.mark.parametrize("framework", [cp, ct], ids=["torch", "tensorflow"])
def test_looking_between_epochs_changes_nothing_and_the_checkpoint_is_a_copy(framework):
    settings = {"epochs": 2, "batch_size": 32, "progress": False}
    watched, alone = images(framework), images(framework)
    for checkpoint in framework.train(watched, DIGITS, **settings):
        framework.evaluate(watched, DIGITS.x_test[:32], DIGITS.y_test[:32])
        for array in checkpoint.arrays.values():
            array[...] = 0
    other = framework.fit(alone, DIGITS, **settings)
    assert checkpoint.history.loss == other.loss
    a, b = weights.named_arrays(watched), weights.named_arrays(alone)
    assert all(np.array_equal(a[name], b[name]) for name in a)


def test_a_checkpoint_of_another_run_is_refused_and_nothing_is_changed():
    settings = {"epochs": 2, "batch_size": 80, "progress": False}
    found = {
        framework: next(framework.train(images(framework), DIGITS, **settings))
        for framework in (cp, ct)
    }
    for framework, other in ((cp, ct), (ct, cp)):
        checkpoint = found[framework]
        wide = tiny(framework, width=5)
        deep = tiny(framework, blocks=2)
        same = images(framework)
        short = dataclasses.replace(checkpoint.history, loss=())
        for model, resumed, settings, named in (
            (same, checkpoint, {"epochs": 3}, "epochs must be 2, with which"),
            (same, checkpoint, {"learning_rate": 0.5}, "learning_rate must be 0.1"),
            (same, checkpoint, {"optimizer": "adam"}, "optimizer must be 'sgd'"),
            (wide, checkpoint, {}, "resume must hold the arrays .* got float32 .* for float32"),
            (deep, checkpoint, {}, "resume must hold the arrays"),
            (same, found[other], {}, "resume must hold the arrays of this framework"),
            (same, dataclasses.replace(checkpoint, history=short), {}, "every column"),
        ):
            before = weights.named_arrays(model)
            options = {"epochs": 2, "batch_size": 80, "progress": False, **settings}
            with pytest.raises(ValueError, match=named):
                framework.fit(model, DIGITS, resume=resumed, **options)
            after = weights.named_arrays(model)
            assert all(np.array_equal(before[name], after[name]) for name in before)


def command(*words):
    environment = {**os.environ, "TF_CPP_MIN_LOG_LEVEL": "3"}
    words = [sys.executable, "-m", "companion", "train", *map(str, words)]
    return subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL)


def outcome(folder):
    found = {p.name: p.read_bytes() for p in folder.iterdir()}
    history = json.loads(found.pop("history.json"))
    return {**found, "history": [history[name] for name in same_columns]}


def stamp(path):
    try:
        return path.stat().st_mtime_ns
    except FileNotFoundError:
        return 0


@pytest.mark.parametrize(
    "framework", ["torch", pytest.param("tensorflow", marks=pytest.mark.exhaustive)]
)
def test_a_process_that_is_killed_at_a_random_moment_is_resumed(framework, tmp_path):
    settings = ["--framework", framework, "--data", "digits8", "--model", "cifar_resnet"]
    settings += ["--width", 2, "--epochs", 6, "--batch-size", 128, "--shift", 1, "--seed", 4]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    alone, process = (command("--out", folder, *settings) for folder in (whole, killed))
    times = []
    dice = random.SystemRandom()  # another moment in each run, whatever seeds the tests have
    for _ in range(dice.randint(2, 3)):
        before = stamp(killed / "checkpoint.npz")
        deadline = time.monotonic() + HANG_SECONDS
        while stamp(killed / "checkpoint.npz") == before:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.001)
        times.append(time.perf_counter())
    time.sleep(dice.uniform(0, times[-1] - times[-2]))
    process.kill()
    assert process.wait(HANG_SECONDS) == -9 and alone.wait(HANG_SECONDS) == 0
    assert not (killed / "weights.safetensors").exists()

    assert command("--resume", killed).wait(HANG_SECONDS) == 0
    assert outcome(killed) == outcome(whole)
