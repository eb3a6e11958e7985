"""The same training in several processes, or on several replicas, ends as in one.

Both are followed in float64, where they differ by rounding alone, on every processor.
"""

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
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from torch import nn

import companion.torch as cp
from companion import weights
from companion.__main__ import main
from companion.data import digits8
from companion.recipe import Recipe
from companion.torch import distributed
from companion.torch.distributed import World, process_group
from companion.torch.whole_batch_norm import WholeBatchNorm, convert_batch_norm
from tests.library.harness import tiny
from tests.limits import HANG_SECONDS

torch.set_num_threads(1)

ENVIRONMENT = {
    **os.environ,
    "PYTHONPATH": str(Path(__file__).parents[2]),
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
    out, err = process.communicate(timeout=HANG_SECONDS)
    assert process.returncode == code, err
    return out, err


# --- what is trained, alone here and together there

SGD = {"batch_size": 24, "epochs": 2, "learning_rate": 0.02, "progress": False}
ADAM = {**SGD, "optimizer": "adam", "learning_rate": 0.003}


def tokens():
    """Tokens of which few have labels: most shards have fewer than the others, some none."""
    rng = np.random.default_rng(1)
    x, y = rng.integers(0, 7, (96, 5)), rng.integers(0, 7, (96, 5))
    y[rng.random(96) < 0.85] = -1
    y[rng.random(y.shape) < 0.5] = -1
    y[:4] = 1
    return SimpleNamespace(x_train=x, y_train=y, num_classes=7)


def sequences():
    rng = np.random.default_rng(3)
    x, y = rng.standard_normal((96, 6, 3)), rng.integers(0, 4, 96)
    return SimpleNamespace(x_train=x, y_train=y, num_classes=4)


def numbers():
    rng = np.random.default_rng(2)
    x, y = (rng.standard_normal((96, 8)) for _ in range(2))
    return SimpleNamespace(x_train=x, y_train=y)


def images():
    data = digits8()
    return SimpleNamespace(x_train=data.x_train[:96], y_train=data.y_train[:96], num_classes=10)


def with_batch_norm(framework):
    return tiny(framework)


def reversible(framework):
    return framework.revnet_cifar(14, 4, in_channels=1, seed=0)


def transformer(framework):
    return framework.transformer(7, 1, channels=8, heads=2, seed=0)


def over_time(framework):
    return framework.speech_resnet(5, in_channels=3, num_classes=4, channels=4, seed=0)


class WithUnused(nn.Sequential):
    """It has a layer that it does not use, and one that is not trained."""

    def __init__(self):
        super().__init__(cp.Dense(8, 8), nn.ReLU(), cp.Dense(8, 8))
        self[0].requires_grad_(False)
        self.unused = [nn.Linear(2, 2)]
        self.register_module("other", self.unused[0])

    def forward(self, x):
        return self[2](self[1](self[0](x)))


def with_unused(framework):
    model = WithUnused()
    weights.initialize(model, seed=0)
    return model


def random_depth(framework):
    model = nn.Sequential(
        cp.Residual(cp.Dense(8, 8), merge=cp.StochasticDepth(0.5)),
        cp.BatchNorm1d(8),
        cp.Dense(8, 8),
    )
    weights.initialize(model, seed=0)
    return model


CASES = {
    "images, batch norm": (with_batch_norm, images, {**SGD, "shift": 1, "label_smoothing": 0.1}),
    "norms run again backward": (reversible, images, SGD),
    "tokens, ignored labels": (transformer, tokens, {**SGD, "learning_rate": 0.1}),
    "sequences, norms of their own layout": (over_time, sequences, ADAM),
    "parameters without gradient": (with_unused, numbers, {**ADAM, "loss": "squared_error"}),
}


def adamw(framework, model):
    if framework is cp:
        return torch.optim.AdamW(model.parameters(), lr=0.01)
    return framework.training.keras.optimizers.AdamW(0.01)


OWN = {**SGD, "optimizer": adamw}
del OWN["learning_rate"]
CASES["an optimizer of one's own"] = (with_batch_norm, images, OWN)
RANDOM = (random_depth, numbers, {**ADAM, "loss": "squared_error"})


def trained(case, framework=cp, other_start=False, scope=contextlib.nullcontext, resume=None):
    """Train in float64; return histories, weights and checkpoints."""
    build, data, settings = case
    with scope():
        model = build(framework)
        own = settings.get("optimizer")
        if callable(own):
            settings = {**settings, "optimizer": own(framework, model)}
    if other_start:  # the other processes have to take over how process 0 begins
        weights.initialize(model, seed=9)
    model = model.double() if framework is cp else model
    checkpoints = list(framework.train(model, data(), resume=resume, **settings))
    history = checkpoints[-1].history
    arrays = {
        name: array for name, array in checkpoints[-1].arrays.items() if name.startswith("model.")
    }
    losses = {"loss": history.loss, "accuracy": history.accuracy}
    return {**losses, "arrays": arrays, "checkpoints": checkpoints}


def in_one_of_two_processes(folder):
    """What each process of torchrun does; the tests look at what it leaves behind."""
    torch.set_num_threads(1)
    with process_group() as world:
        found = {name: trained(case, other_start=world.rank > 0) for name, case in CASES.items()}
        found["random"] = trained(RANDOM, other_start=world.rank > 0)
        found["seed"] = torch.initial_seed()
        torch.manual_seed(9)
        first = found["random"]["checkpoints"][0] if world.rank == 0 else None
        found["random, resumed"] = trained(RANDOM, other_start=True, resume=first)
        own = CASES["an optimizer of one's own"]
        first = found["an optimizer of one's own"]["checkpoints"][0] if world.rank == 0 else None
        found["own, resumed"] = trained(own, other_start=True, resume=first)
        found["mixed"] = in_mixed_precision(world)
        found["refused"] = refused_in(world)
        found["norm"] = norms_apart(world)
    with open(f"{folder}/{world.rank}.pickle", "wb") as file:
        pickle.dump(found, file)


def in_mixed_precision(world):
    """Losses of a network in mixed precision, and the types of its weights."""
    model = with_batch_norm(cp)
    history = cp.fit(model, images(), **SGD, precision="bfloat16")
    return history.loss, {t.dtype for t in model.state_dict().values()}


def refused_in(world):
    mine = {
        "batch_size": {"batch_size": 25},
        "settings": {"batch_size": 24 * (1 + world.rank)},
        "training data": {},
        "model": {},
        "diverged": {"learning_rate": 1e30},
    }
    messages = {}
    for name, settings in mine.items():
        model, data = with_batch_norm(cp), images()
        if world.rank == 1:
            if name == "training data":
                data.y_train = data.y_train[::-1]
            if name == "model":
                model = reversible(cp)
        try:
            cp.fit(model, data, **{**SGD, **settings})
        except (ValueError, FloatingPointError) as error:
            messages[name] = str(error)
    return messages


def norms_apart(world):
    """The largest differences to one process, on shards of different size, far from zero."""
    generator = torch.Generator().manual_seed(0)
    worst = 0.0
    for kind, shape, options in (
        (nn.BatchNorm2d, (7, 3, 4, 2), {}),
        (nn.BatchNorm1d, (7, 3), {"affine": False, "momentum": None}),
        (cp.BatchNorm1d, (7, 5, 3), {}),
        (nn.BatchNorm2d, (7, 3, 4, 2), {"track_running_stats": False}),
    ):
        x, dy = (torch.randn(shape, generator=generator, dtype=torch.float64) for _ in range(2))
        x = 1e4 + x
        mine = slice(0, 5) if world.rank == 0 else slice(5, 7)
        results = []
        for part in (slice(0, 7), mine):
            norm = kind(3, **options).double()
            used = norm if part != mine else convert_batch_norm(norm)
            own = x[part].clone().requires_grad_()
            for _ in range(2):  # running statistics twice
                y = used(own)
            y.backward(dy[part])
            gradients = [p.grad for p in norm.parameters()]
            if part == mine:
                for gradient in gradients:
                    torch.distributed.all_reduce(gradient)
                results.append([y.detach(), own.grad, *gradients, *norm.buffers()])
                assert used.eval()(own).shape == y.shape  # nothing is sent: the other may be gone
            else:
                results.append([y.detach()[mine], own.grad[mine], *gradients, *norm.buffers()])
        differences = [(a - b).abs().max().item() for a, b in zip(*results, strict=True)]
        worst = max(worst, *differences)
    return worst


@pytest.fixture(scope="module")
def together(tmp_path_factory):
    folder = tmp_path_factory.mktemp("together")
    _, err = ended(started(*TORCHRUN, __file__, "torch", folder))
    found = [pickle.loads((folder / f"{rank}.pickle").read_bytes()) for rank in range(2)]
    return *found, err


def furthest(one, other):
    assert set(one) == set(other)
    return max(np.abs(one[name] - other[name]).max() for name in one)


def same(one, other):
    return all(one[name] == other[name] for name in ("loss", "accuracy")) and not furthest(
        one["arrays"], other["arrays"]
    )


@pytest.mark.parametrize("name", CASES)
def test_two_processes_train_as_one(name, together):
    alone, first, second = trained(CASES[name]), together[0][name], together[1][name]
    assert same(first, second)
    assert first["loss"] == pytest.approx(alone["loss"], abs=1e-11)
    assert first["accuracy"] == pytest.approx(alone["accuracy"], abs=1e-6)
    assert furthest(first["arrays"], alone["arrays"]) < 1e-9


def test_random_layers_draw_for_each_process_and_a_run_resumes_to_the_last_bit(together):
    first, second, _ = together
    assert first["seed"] != second["seed"]
    for found in (first, second):
        assert same(found["random"], first["random"])
        assert same(found["random, resumed"], first["random"])


def test_with_an_optimizer_of_one_s_own_a_run_resumes_to_the_last_bit(together):
    for found in together[:2]:
        assert same(found["own, resumed"], together[0]["an optimizer of one's own"])


def test_two_processes_train_in_mixed_precision(together):
    plain = cp.fit(with_batch_norm(cp), images(), **SGD)
    assert together[0]["mixed"] == together[1]["mixed"]
    losses, kinds = together[0]["mixed"]
    assert losses == pytest.approx(plain.loss, rel=0.02) and losses != plain.loss
    assert kinds == {torch.float32, torch.int64}


def test_two_processes_say_nothing_that_is_nobody_s_business(together):
    assert "Warning" not in together[2], together[2]


def test_every_process_is_told_what_does_not_fit(together):
    assert together[0]["refused"] == together[1]["refused"]
    told = together[0]["refused"]
    assert "batch_size must be a multiple of the 2 processes" in told["batch_size"]
    assert told["batch_size"].endswith("got 25") and "lower learning_rate" in told["diverged"]
    for name in ("settings", "training data", "model"):
        assert f"{name} must be the same in all 2 processes, got others in process 1" in told[name]


def test_the_norm_over_processes_is_that_of_one(together):
    assert all(found["norm"] < 1e-7 for found in together[:2]), [f["norm"] for f in together[:2]]


def test_a_converted_network_is_a_copy_with_the_same_tensors():
    model = with_batch_norm(cp)
    next(module for module in model.modules() if isinstance(module, nn.BatchNorm2d)).eval()
    kinds = [type(module) for module in model.modules()]
    converted = convert_batch_norm(model)
    assert [type(module) for module in model.modules()] == kinds
    for (name, one), (same_name, other) in zip(
        model.state_dict(keep_vars=True).items(),
        converted.state_dict(keep_vars=True).items(),
        strict=True,
    ):
        assert name == same_name and one is other
    for one, other in zip(model.modules(), converted.modules(), strict=True):
        assert isinstance(other, type(one)) and one.training == other.training
        assert isinstance(other, WholeBatchNorm) == isinstance(one, nn.BatchNorm2d)


def test_alone_nothing_is_sent_and_arrays_are_whole():
    x = np.arange(6)
    assert np.array_equal(World().shard(x), x) and World().all_reduce(0.1, 2.0) == (0.1, 2.0)
    assert [World(rank, 3).shard(x).tolist() for rank in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert World().broadcast_object("mine") == "mine"
    World().check_same_inputs({"settings": 1})


# --- the command line

SMALL = ("--data", "digits8", "--model", "cifar_resnet", "--width", "2", "--epochs", "5")
SMALL += ("--learning-rate", "0.02", "--batch-size", "128")


@pytest.mark.exhaustive
def test_a_run_of_two_processes_that_is_killed_goes_on(tmp_path):
    folder = tmp_path / "run"
    command = [*TORCHRUN, "-m", "companion", "train"]
    process = subprocess.Popen(
        [sys.executable, *command, "--out", folder, *SMALL],
        env=ENVIRONMENT,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + HANG_SECONDS
    while not (folder / "checkpoint.npz").exists():
        assert process.poll() is None and time.monotonic() < deadline
        time.sleep(0.005)
    os.killpg(process.pid, signal.SIGTERM)
    process.wait(HANG_SECONDS)
    assert not (folder / "weights.safetensors").exists()
    out, _ = ended(started(*command, "--resume", folder))
    assert "goes on after epoch" in out and out.count("training loss") == 1
    ended(started(*command, "--out", tmp_path / "whole", *SMALL))
    killed, whole = (
        {path.name: path.read_bytes() for path in (tmp_path / name).iterdir()}
        for name in ("run", "whole")
    )
    assert sorted(killed) == ["curve.png", "history.json", "settings.json", "weights.safetensors"]
    histories = [json.loads(found.pop("history.json")) for found in (killed, whole)]
    for history in histories:
        del history["seconds"]
    assert killed == whole and histories[0] == histories[1]


@pytest.mark.exhaustive
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
    world = SimpleNamespace(rank=0, size=2, broadcast_object=sent.append)
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setattr(distributed, "process_group", lambda: contextlib.nullcontext(world))
    assert main(["train", "--out", str(tmp_path / "new"), *SMALL, *words]) == 2
    err = capsys.readouterr().err
    assert told in err and err.count("\n") == 1 and sent == [None]
    assert not (tmp_path / "new").exists()


@pytest.mark.exhaustive
def test_a_batch_that_cannot_be_shared_leaves_no_folder(tmp_path):
    command = ("-m", "companion", "train", "--out", tmp_path / "new", *SMALL, "--batch-size", "63")
    _, err = ended(started(*TORCHRUN, *command), code=1)
    (line,) = (line for line in err.splitlines() if line.startswith("companion: "))
    assert "batch_size must be a multiple of the 2 processes" in line
    assert not (tmp_path / "new").exists()


# --- replicas in TensorFlow

REPLICATED = ("images, batch norm", "an optimizer of one's own", "tokens, ignored labels")


def on_two_replicas(folder):
    import keras

    import companion.tensorflow as ct

    ct.use_threads(1)
    keras.config.set_floatx("float64")
    import tensorflow as tf

    processor = tf.config.list_physical_devices("CPU")[0]
    device = tf.config.LogicalDeviceConfiguration()
    tf.config.set_logical_device_configuration(processor, [device, device])
    strategy = tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
    found = {}
    for name in REPLICATED:
        alone, both = (trained(CASES[name], ct, scope=s) for s in (SCOPE, strategy.scope))
        found[name] = {"alone": alone, "together": both}
    first = both["checkpoints"][0]
    found["resumed"] = trained(CASES[name], ct, scope=strategy.scope, resume=first)
    with strategy.scope():
        model = transformer(ct)
    several = object.__new__(tf.distribute.MultiWorkerMirroredStrategy)
    messages = []
    try:
        ct.distributed.check(SimpleNamespace(distribute_strategy=several), Recipe())
    except ValueError as error:
        messages.append(str(error))
    outside = transformer(ct)
    for network, scope in ((model, SCOPE), (outside, strategy.scope)):
        size = 25 if network is model else 24
        with scope():
            try:
                ct.fit(network, tokens(), **{**ADAM, "batch_size": size})
            except ValueError as error:
                messages.append(str(error))
    x = tokens().x_train
    own = adamw(ct, model)  # outside of the strategy's scope
    try:
        ct.fit(model, tokens(), **{**OWN, "optimizer": own})
    except ValueError as error:
        messages.append(str(error))
    here, there = ct.predict(outside, x, 36), ct.predict(model, x, 36)
    found["predicted"] = here.shape, str(here.dtype), float(np.abs(here - there).max())
    found["refused"] = messages
    with open(f"{folder}/found.pickle", "wb") as file:
        pickle.dump(found, file)


SCOPE = contextlib.nullcontext


@pytest.fixture(scope="module")
def replicated(tmp_path_factory):
    folder = tmp_path_factory.mktemp("replicated")
    ended(started(__file__, "tensorflow", folder))
    return pickle.loads((folder / "found.pickle").read_bytes())


@pytest.mark.parametrize("name", REPLICATED)
def test_two_replicas_train_as_one(name, replicated):
    alone, both = (replicated[name][kind] for kind in ("alone", "together"))
    assert both["loss"] == pytest.approx(alone["loss"], abs=1e-10)
    assert both["accuracy"] == pytest.approx(alone["accuracy"], abs=1e-6)
    assert furthest(both["arrays"], alone["arrays"]) < 1e-8


def test_two_replicas_resume_as_if_nothing_had_happened(replicated):
    assert same(replicated["resumed"], replicated[REPLICATED[-1]]["together"])


def test_replicas_answer_once_and_say_what_does_not_fit(replicated):
    shape, dtype, difference = replicated["predicted"]
    assert shape == (96, 5, 7) and dtype == "float64" and difference < 1e-12
    several, divided, outside, optimizer = replicated["refused"]
    assert "optimizer must be built under strategy.scope()" in optimizer
    assert "the strategy must be one of a single process" in several
    assert "batch_size must be a multiple of the 2 replicas" in divided
    assert "model must be built under strategy.scope()" in outside


if __name__ == "__main__":
    {"torch": in_one_of_two_processes, "tensorflow": on_two_replicas}[sys.argv[1]](sys.argv[2])
