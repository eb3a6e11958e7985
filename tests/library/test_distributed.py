"""The same training in several processes, or on several replicas, ends as in one."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import signal
import socket
import subprocess
import sys
import time
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import companion.torch as cp
from companion import weights
from companion.__main__ import main
from companion.data import digits8
from companion.recipe import Recipe
from companion.torch import distributed, training
from companion.torch.distributed import Team, batch_norm, joined

torch.set_num_threads(1)

ENVIRONMENT = {
    **os.environ,
    "OMP_NUM_THREADS": "1",
    "TF_CPP_MIN_LOG_LEVEL": "3",
    "TQDM_DISABLE": "1",
}
TORCHRUN = ["-m", "torch.distributed.run", "--nproc_per_node=2", "--master_port=0"]
TORCHRUN += ["--rdzv_backend=c10d", "--rdzv_endpoint=localhost:0"]


def started(*words):
    command = [sys.executable, *map(str, words)]
    pipe = subprocess.PIPE
    return subprocess.Popen(command, env=ENVIRONMENT, stdout=pipe, stderr=pipe, text=True)


def ended(process, code=0):
    out, err = process.communicate(timeout=300)
    assert process.returncode == code, err
    return out, err


# --- what is trained, alone here and together there

SGD = {"batch_size": 24, "epochs": 3, "learning_rate": 0.02, "progress": False}
ADAM = {**SGD, "optimizer": "adam", "learning_rate": 0.003}


def sequences():
    """Tokens whose labels count only here and there: most shares have fewer than the others."""
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 7, (96, 5)), rng.integers(0, 7, (96, 5))
    y[rng.random(96) < 0.85] = -1  # whole shares of a batch without a label
    y[rng.random(y.shape) < 0.5] = -1
    y[:4] = 1
    return SimpleNamespace(x_train=x, y_train=y, num_classes=7)


def numbers(outputs=8):
    rng = np.random.default_rng(2)
    x, y = (rng.standard_normal((96, size)).astype(np.float32) for size in (8, outputs))
    return SimpleNamespace(x_train=x, y_train=y)


def images():
    data = digits8()
    return SimpleNamespace(x_train=data.x_train[:96], y_train=data.y_train[:96], num_classes=10)


def with_batch_norm(framework):
    return framework.cifar_resnet(8, 4, in_channels=1, seed=0)


def reversible(framework):
    return framework.revnet_cifar(14, 4, in_channels=1, seed=0)


def tokens(framework):
    return framework.transformer(7, 1, channels=8, heads=2, seed=0)


def random_depth(framework):
    torch.manual_seed(5)
    model = torch.nn.Sequential(
        cp.Residual(cp.Dense(8, 8), merge=cp.StochasticDepth(0.5)),
        cp.BatchNorm1d(8),
        cp.Dense(8, 8),
    )
    weights.initialize(model, seed=0)
    return model


CASES = {
    "images, batch norm": (with_batch_norm, images, {**SGD, "shift": 1, "label_smoothing": 0.1}),
    "norms run again backward": (reversible, images, SGD),
    "tokens, labels that do not count": (tokens, sequences, {**SGD, "learning_rate": 0.1}),
    "numbers, random depth": (random_depth, numbers, {**ADAM, "loss": "squared_error"}),
}


#: Cases that are resumed, too.
RESUMED = ("images, batch norm", "numbers, random depth")


def trained(name, framework=cp, other_start=False, scope=contextlib.nullcontext, **options):
    build, data, settings = CASES[name]
    with scope():
        model = build(framework)
    if other_start:  # the other processes have to take over how process 0 begins
        weights.initialize(model, seed=9)
        torch.manual_seed(9)
    history = framework.fit(model, data(), **settings, **options)
    arrays = weights.named_arrays(model)
    return {"loss": history.loss, "accuracy": history.accuracy, "weights": arrays}


def in_double(name):
    """The same in double precision, where rounding is no excuse."""
    build, data, settings = CASES[name]
    single = training._to_tensor

    def double(x):
        return single(x).double() if x.dtype == np.float32 else single(x)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(training, "_to_tensor", double)
        model = build(cp).double()
        return {"loss": cp.fit(model, data(), **settings).loss, "model": model.state_dict()}


def in_one_of_two_processes(folder):
    """What each process of torchrun does; the tests look at what it leaves behind."""
    found = {}
    with joined() as team:
        torch.set_num_threads(1)
        for name in CASES:
            states = []
            found[name] = trained(name, other_start=team.rank > 0, after_epoch=states.append)
            found[name]["states"] = len(states)
            found[name]["double"] = in_double(name)
            if name in RESUMED:
                state = states[0] if team.rank == 0 else None
                again = trained(name, other_start=team.rank > 0, resume=state)
                found[name]["resumed"] = again
        found["refused"] = refused_in(team)
        found["norm"] = norms_apart(team)
    with open(f"{folder}/{team.rank}.pickle", "wb") as file:
        pickle.dump(found, file)


def refused_in(team):
    mine = {
        "batch_size": {"batch_size": 25},
        "settings": {"batch_size": 24 * (1 + team.rank)},
        "training data": {},
        "model": {},
        "diverged": {"learning_rate": 1e30},
    }
    messages = {}
    for name, settings in mine.items():
        model, data = with_batch_norm(cp), images()
        if name == "training data" and team.rank == 1:
            data.y_train = data.y_train[::-1]
        if name == "model" and team.rank == 1:
            model = reversible(cp)
        try:
            cp.fit(model, data, **{**SGD, **settings})
        except (ValueError, FloatingPointError) as error:
            messages[name] = str(error)
    return messages


def norms_apart(team):
    """The largest differences to one process, on shares of different size, far from zero."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for shape, affine in (((7, 3, 4, 2), True), ((7, 3), False)):
        x, dy = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
        x = 1e4 + x
        mine = slice(0, 5) if team.rank == 0 else slice(5, 7)
        results = []
        for function, part in ((torch.nn.functional.batch_norm, slice(0, 7)), (batch_norm, mine)):
            inputs = [x[part].clone().requires_grad_()]
            if affine:
                inputs += [torch.arange(1.0, 4).double().requires_grad_() for _ in range(2)]
            statistics = torch.zeros(3).double(), torch.ones(3).double()
            y = function(inputs[0], *statistics, *(inputs[1:] or (None, None)), True, 0.1, 1e-5)
            y.backward(dy[part])
            gradients = [i.grad for i in inputs]
            if function is batch_norm:
                for gradient in gradients[1:]:
                    torch.distributed.all_reduce(gradient)
            else:
                y, gradients[0] = y[mine], gradients[0][mine]
            results.append([y.detach(), *gradients, *statistics])
        differences = [(a - b).abs().max().item() for a, b in zip(*results, strict=True)]
        worst = max(worst, *differences)
    return worst


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    ended(started(*TORCHRUN, __file__, "torch", folder))
    return [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(2)]


def furthest(one, other):
    return max(np.abs(one[name] - other[name]).max() for name in one)


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one(name, together):
    alone, (first, second) = trained(name), (found[name] for found in together)
    assert first["loss"] == second["loss"] and first["accuracy"] == second["accuracy"]
    assert furthest(first["weights"], second["weights"]) == 0
    assert first["loss"] == pytest.approx(alone["loss"], abs=1e-4)
    assert first["accuracy"] == pytest.approx(alone["accuracy"], abs=1e-6)
    assert furthest(first["weights"], alone["weights"]) < 1e-3
    assert (first["states"], second["states"]) == (3, 0)


@pytest.mark.parametrize("name", CASES)
def test_in_double_precision_the_difference_vanishes(name, together):
    alone, both = in_double(name), together[0][name]["double"]
    assert both["loss"] == pytest.approx(alone["loss"], abs=1e-11)
    for key, expected in alone["model"].items():
        assert torch.allclose(both["model"][key], expected, rtol=0, atol=1e-9), key


def test_two_processes_resume_as_if_nothing_had_happened(together):
    for name in RESUMED:
        for found in together:
            assert found[name]["resumed"]["loss"] == found[name]["loss"]
            assert furthest(found[name]["resumed"]["weights"], found[name]["weights"]) == 0


def test_every_process_is_told_what_does_not_fit(together):
    assert together[0]["refused"] == together[1]["refused"]
    told = together[0]["refused"]
    assert "batch_size must be a multiple of the 2 processes" in told["batch_size"]
    assert told["batch_size"].endswith("got 25") and "lower learning_rate" in told["diverged"]
    for name in ("settings", "training data", "model"):
        assert f"{name} must be the same in all 2 processes, got others in process 1" in told[name]


def test_the_norm_over_processes_is_that_of_one(together):
    assert all(found["norm"] < 1e-7 for found in together), [f["norm"] for f in together]


def test_alone_nothing_is_sent_and_arrays_are_whole():
    x = np.arange(6)
    assert np.array_equal(Team().share(x), x) and Team().total(0.1, 2.0) == (0.1, 2.0)
    assert [Team(rank, 3).share(x).tolist() for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]
    Team().check(Recipe(batch_size=7))


# --- the command line

SMALL = ("--data", "digits8", "--model", "cifar_resnet", "--width", "2", "--epochs", "5")
SMALL += ("--learning-rate", "0.02", "--batch-size", "128")


def test_a_run_of_two_processes_that_is_killed_goes_on(tmp_path):
    folder = tmp_path / "run"
    process = subprocess.Popen(
        [sys.executable, *TORCHRUN, "-m", "companion", "train", "--out", folder, *SMALL],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    while not (folder / "checkpoint.npz").exists():
        assert process.poll() is None
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait()
    assert not (folder / "weights.npz").exists()
    command = ("-m", "companion", "train", "--resume", folder)
    out, _ = ended(started(*TORCHRUN, *command))
    assert "goes on after epoch" in out and out.count("training loss") == 1
    assert sorted(path.name for path in folder.iterdir()) == [
        "curve.png",
        "history.json",
        "settings.json",
        "weights.npz",
    ]
    settings = {"epochs": 5, "learning_rate": 0.02, "batch_size": 128, "progress": False}
    alone = cp.fit(cp.cifar_resnet(8, 2, in_channels=1, seed=0), digits8(), **settings)
    stored = json.loads((folder / "history.json").read_text())
    assert stored["loss"][:2] == pytest.approx(alone.loss[:2], abs=1e-4)
    # Later the rounding of single precision may have grown.
    assert stored["loss"] == pytest.approx(alone.loss, abs=1e-2)


def test_two_launchers_that_meet_train_as_one_that_starts_two(tmp_path):
    # On several machines each has a launcher of its own; here both are on this one.
    with socket.socket() as free:
        free.bind(("localhost", 0))
        port = free.getsockname()[1]
    launcher = ["-m", "torch.distributed.run", "--nnodes=2", "--nproc_per_node=1", "--rdzv_id=1"]
    launcher += ["--rdzv_backend=c10d", f"--rdzv_endpoint=localhost:{port}"]
    command = ("-m", "companion", "train", *SMALL, "--epochs", "1", "--out")
    for process in [started(*launcher, *command, tmp_path / "apart") for _ in range(2)]:
        ended(process)
    ended(started(*TORCHRUN, *command, tmp_path / "together"))
    apart, together = (
        json.loads((tmp_path / name / "history.json").read_text()) for name in ("apart", "together")
    )
    assert apart["loss"] == together["loss"] and apart["accuracy"] == together["accuracy"]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--batch-size", "63"), "batch_size must be a multiple of the 2 processes"),
        (("--framework", "tensorflow"), "framework must be 'torch' in 2 processes"),
        (("--model", "alexnet"), "model must be one of"),
    ],
)
def test_the_others_go_home_where_a_run_cannot_begin(words, told, tmp_path, capsys, monkeypatch):
    sent = []

    @contextlib.contextmanager
    def pretended():
        team = Team(0, 2)
        object.__setattr__(team, "from_first", sent.append)
        yield team

    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(distributed, "joined", pretended)
    assert main(["train", "--out", str(tmp_path / "new"), *SMALL, *words]) == 2
    assert told in capsys.readouterr().err and sent == [None]
    assert not (tmp_path / "new").exists()


# --- replicas in TensorFlow

REPLICATED = ("images, batch norm", "tokens, labels that do not count")


def on_two_replicas(folder):
    import companion.tensorflow as ct

    ct.use_threads(1)
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    device = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(processor, [device, device])
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {}
    for name in REPLICATED:
        found[name] = {"alone": trained(name, ct)}
        states = []
        found[name]["together"] = trained(name, ct, scope=strategy.scope, after_epoch=states.append)
    found[name]["resumed"] = trained(name, ct, scope=strategy.scope, resume=states[1])
    with strategy.scope():
        model = tokens(ct)
    several = object.__new__(tf.distribute.MultiWorkerMirroredStrategy)
    messages = []
    try:
        ct.distributed.check(SimpleNamespace(distribute_strategy=several), Recipe())
    except ValueError as error:
        messages.append(str(error))
    outside = tokens(ct)
    for network, scope in ((model, contextlib.nullcontext), (outside, strategy.scope)):
        size = 25 if network is model else 24
        with scope():
            try:
                ct.fit(network, sequences(), **{**ADAM, "batch_size": size})
            except ValueError as error:
                messages.append(str(error))
    x = sequences().x_train
    here, there = ct.predict(outside, x, 36), ct.predict(model, x, 36)
    found["predicted"] = here.shape, float(np.abs(here - there).max())
    found["refused"] = messages
    with open(f"{folder}/found.pickle", "wb") as file:
        pickle.dump(found, file)


@pytest.fixture(scope="module")
def replicated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicated")
    ended(started(__file__, "tensorflow", folder))
    return pickle.loads((folder / "found.pickle").read_bytes())


@pytest.mark.parametrize("name", REPLICATED)
def test_two_replicas_train_as_one(name, replicated):
    alone, both = (replicated[name][kind] for kind in ("alone", "together"))
    assert both["loss"] == pytest.approx(alone["loss"], abs=1e-4)
    assert both["accuracy"] == pytest.approx(alone["accuracy"], abs=1e-6)
    assert furthest(both["weights"], alone["weights"]) < 1e-3


def test_two_replicas_resume_as_if_nothing_had_happened(replicated):
    found = replicated[REPLICATED[-1]]
    assert found["resumed"]["loss"] == found["together"]["loss"]
    assert furthest(found["resumed"]["weights"], found["together"]["weights"]) == 0


def test_replicas_answer_once_and_say_what_does_not_fit(replicated):
    shape, difference = replicated["predicted"]
    assert shape == (96, 5, 7) and difference < 1e-6
    several, divided, outside = replicated["refused"]
    assert "the strategy must be one of a single process" in several
    assert "batch_size must be a multiple of the 2 replicas" in divided
    assert "model must be built under strategy.scope()" in outside


if __name__ == "__main__":
    {"torch": in_one_of_two_processes, "tensorflow": on_two_replicas}[sys.argv[1]](sys.argv[2])
