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
    return framework.cifar_resnet(8, 4, in_channels=1, seed=0)


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
    states = []
    whole = build(framework)
    history = framework.fit(whole, part, after_epoch=states.append, **settings)
    assert [len(state.history.loss) for state in states] == [1, 2]
    expected = weights.named_arrays(whole)
    for state in states:
        torch.manual_seed(99)
        again = build(framework)
        for value in torch.rand(3), keras.random.uniform((3,)):
            assert len(value) == 3  # whoever draws in between does not matter
        seen = []
        resumed = framework.fit(again, part, resume=state, after_epoch=seen.append, **settings)
        for name in same_columns:
            assert getattr(resumed, name) == getattr(history, name)
        found = weights.named_arrays(again)
        assert all(np.array_equal(expected[name], found[name]) for name in expected)
        assert len(seen) == 2 - len(state.history.loss)
        last = seen[-1] if seen else state
        assert all(np.array_equal(states[-1].arrays[n], last.arrays[n]) for n in last.arrays)


@pytest.mark.parametrize("framework", [cp, ct], ids=["torch", "tensorflow"])
def test_watching_changes_nothing_and_the_state_is_a_copy(framework):
    settings = {"epochs": 2, "batch_size": 32, "progress": False}
    watched, alone = images(framework), images(framework)

    def spoil(state):
        for array in state.arrays.values():
            array[...] = 0

    one = framework.fit(watched, DIGITS, after_epoch=spoil, **settings)
    other = framework.fit(alone, DIGITS, **settings)
    assert one.loss == other.loss
    a, b = weights.named_arrays(watched), weights.named_arrays(alone)
    assert all(np.array_equal(a[name], b[name]) for name in a)


def states():
    found = {}
    for framework in (cp, ct):
        keep = []
        settings = {"epochs": 2, "batch_size": 80, "progress": False}
        framework.fit(images(framework), DIGITS, after_epoch=keep.append, **settings)
        found[framework] = keep[0]
    return found


def test_a_state_of_another_run_is_refused_and_nothing_is_changed():
    found = states()
    for framework, other in ((cp, ct), (ct, cp)):
        state = found[framework]
        wide = framework.cifar_resnet(8, 5, in_channels=1, seed=0)
        deep = framework.cifar_resnet(14, 4, in_channels=1, seed=0)
        same = images(framework)
        short = dataclasses.replace(state.history, loss=())
        for model, resumed, settings, named in (
            (same, state, {"epochs": 3}, "epochs must be 2, with which"),
            (same, state, {"learning_rate": 0.5}, "learning_rate must be 0.1"),
            (same, state, {"optimizer": "adam"}, "optimizer must be 'sgd'"),
            (wide, state, {}, "resume must hold the arrays .* got float32 .* for float32"),
            (deep, state, {}, "resume must hold the arrays"),
            (same, found[other], {}, "resume must hold the arrays of this framework"),
            (same, dataclasses.replace(state, history=short), {}, "every column"),
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


@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_a_process_that_is_killed_at_a_random_moment_is_resumed(framework, tmp_path):
    settings = ["--framework", framework, "--data", "digits8", "--model", "cifar_resnet"]
    settings += ["--width", 2, "--epochs", 6, "--batch-size", 128, "--shift", 1, "--seed", 4]
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    alone, process = (command("--out", folder, *settings) for folder in (whole, killed))
    times = []
    for _ in range(random.randint(2, 3)):  # another moment in each run of the test
        before = stamp(killed / "checkpoint.npz")
        while stamp(killed / "checkpoint.npz") == before:
            assert process.poll() is None
            time.sleep(0.001)
        times.append(time.perf_counter())
    time.sleep(random.uniform(0, times[-1] - times[-2]))
    process.kill()
    assert process.wait() == -9 and alone.wait() == 0
    assert not (killed / "weights.npz").exists()

    assert command("--resume", killed).wait() == 0
    assert outcome(killed) == outcome(whole)
