"""The bench measures what it says: turns, noise, targets, limits, and files written whole."""

from __future__ import annotations

import gc
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from companion.__main__ import main
from companion.allocator import keep_freed_memory
from companion.book import bench
from companion.book.bench import both, comparisons, limit, own_process, roofline
from companion.book.bench import tensorflow as in_tensorflow
from companion.book.bench import torch as in_torch
from companion.book.bench.functional_resnet import functional_resnet
from companion.book.bench.timing import Subprocess, compared
from companion.book.cli.bench import line

torch.set_num_threads(1)


@pytest.fixture(autouse=True)
def nothing_to_collect():
    """Take what the frameworks keep from the collector, which runs before each measurement."""
    gc.freeze()
    yield
    gc.unfreeze()


def spin(seconds):
    """Return a program that takes so many CPU seconds."""

    def call():
        end = time.process_time() + seconds
        while time.process_time() < end:
            pass

    return call


def case(program, base, **options):
    return bench.Comparison("a/b", "one against another", lambda: (program, base), **options)


def test_a_ratio_is_time_over_base_beside_its_noise():
    row = case(spin(0.02), spin(0.01), target=1.5, rounds=7).run()
    assert row["low"] <= row["ratio"] <= row["high"] and row["ratio"] == pytest.approx(2, rel=0.05)
    assert row["noise"] < 0.1 and row["differs"] and not row["met"]
    assert row["seconds"] == pytest.approx(0.02, rel=0.1) and row["rounds"] == 7
    assert "MISSED" in line(row)


def test_a_program_against_itself_does_not_differ():
    one = spin(0.01)
    row = case(one, one, rounds=9, multiply_adds=lambda: 5, extra={"bytes": 7}).run()
    assert row["ratio"] == pytest.approx(1, abs=0.05) and row["met"]
    assert row["multiply_adds"] == 5 and row["bytes"] == 7


def test_sleeping_costs_nothing():
    row = case(lambda: (spin(0.005)(), time.sleep(0.02)), spin(0.005), rounds=5).run()
    assert row["ratio"] < 1.5  # of the CPU; of the clock it would be five


def test_programs_take_turns_and_the_first_turn_does_not_count():
    calls = []
    case(lambda: calls.append("p"), lambda: (calls.append("b"), spin(1e-4)()), rounds=3).run()
    rounds = ["".join(calls[i : i + 3]) for i in range(0, 12, 3)]
    assert rounds == ["bpb", "pbb", "bbp", "bpb"]


@pytest.mark.parametrize("rounds", [2, 0, 1.5])
def test_too_few_turns_are_refused_before_any_work(rounds):
    with pytest.raises(ValueError, match="rounds"):
        case(None, None).run(rounds)
    with pytest.raises(ValueError, match="rounds"):
        bench.measure({"a": None}, rounds)


def test_quartiles_of_the_ratios():
    assert compared([1, 2, 3, 4, 5], [1] * 5) == {"ratio": 3, "low": 2, "high": 4}


@pytest.mark.parametrize(
    "framework", ["torch", pytest.param("tensorflow", marks=pytest.mark.exhaustive)]
)
def test_a_training_run_goes_on_one_epoch_a_call(framework):
    run = both.epochs(framework)
    assert [len(run().history.loss) for _ in range(2)] == [1, 2]


@pytest.mark.parametrize("name", ["resnet18", "resnet50", "cifar20"])
@pytest.mark.parametrize("training", [True, False])
def test_the_flat_network_is_the_same_function(name, training):
    model = in_torch.NETWORKS[name][0]().train(training)
    for key, value in model.named_buffers():
        if key.endswith("running_var"):
            value.uniform_(0.5, 2, generator=torch.Generator().manual_seed(0))
    x = in_torch.images(2, 64 if len(model.stages) == 4 else 16)
    written = functional_resnet(model)
    with torch.no_grad():
        expected, got = model(x), written(x, training)
    # Norms over the eight values of a small last stage make much of each rounding.
    tolerance = 1e-4 if training else 1e-5
    assert (got - expected).abs().max() <= tolerance * expected.abs().max()


def test_a_step_trains():
    model = torch.nn.Linear(4, 10)
    before = model.weight.detach().clone()
    in_torch.step(model, model.parameters(), torch.randn(8, 4))()
    assert not torch.equal(model.weight, before) and model.weight.grad is None


def test_a_rate_is_work_over_time():
    row = limit.rate("limit/a", "statement", spin(0.01), 1e9, rounds=5)
    assert row["best"] == pytest.approx(100, rel=0.05)


def test_rows_are_told_beside_the_limits():
    rows = [
        {"id": "limit/sgemm", "best": 100.0},
        {"id": "limit/triad", "best": 10.0},
        {"id": "a", "multiply_adds": 10**9, "seconds": 0.04, "base_seconds": 0.08},
        {"id": "b", "bytes": 10**9, "seconds": 2.0, "base_seconds": 1.0},
    ]
    *_, a, b = roofline.add_roofline(rows)
    assert a["fraction"] == pytest.approx(0.5) and a["base_fraction"] == pytest.approx(0.25)
    assert b["estimate"] == pytest.approx(1.1)
    assert roofline.add_roofline(rows[2:]) == rows[2:]  # no limit, nothing beside it


def test_the_slope_of_time_by_depth():
    seconds = [[1.0, 1.0, 1.0], [2.0, 2.0, 2.0], [10.0, 10.0, 10.0], [32.0, 32.0, 32.0]]
    shallow, deep = own_process.slopes(seconds, [1, 2, 10, 30])
    assert shallow.tolist() == [1, 1, 1] and deep == pytest.approx([1.1, 1.1, 1.1])


@pytest.mark.parametrize("kept", [True, pytest.param(False, marks=pytest.mark.exhaustive)])
def test_saved_activations_are_linear_in_depth(kept):
    row = Subprocess(own_process.depth_row, (8, 14, 20, 26), 3, kept)()
    json.dumps(row)  # as it is stored
    assert row["saved_linear"] and row["blocks"] == [3, 6, 9, 12] and row["saved_bytes"][0] > 0
    assert np.isfinite(row["ratio"]) and len(row["step_seconds"]) == 4
    assert row["id"] == "torch/depth" + ("" if kept else "/default")
    assert row["target"] == (1.1 if kept else None)


def test_checkpoints_keep_less_for_more_time():
    row = Subprocess(own_process.checkpoint_row, 56, 3)()
    kept, held = row["peak_bytes"]
    assert row["kept_ratio"] == kept / held > 2 and row["ratio"] > 1
    assert row["target"] == 1.6 and not row["met"]  # 7 times less is for far more layers


def test_checkpoints_change_no_gradient():
    model, x = in_torch.cifar_resnet(20, width=4, seed=0), in_torch.images(2, 8)
    model(x).sum().backward()
    expected = [p.grad.clone() for p in model.parameters()]
    model.zero_grad()
    own_process.checkpointed(model, 4)(x).sum().backward()
    assert all(torch.equal(p.grad, e) for p, e in zip(model.parameters(), expected, strict=True))


def test_a_program_elsewhere_counts_its_own_seconds():
    quick, slow = Subprocess(float, 0.25), Subprocess(float, "0.5")
    assert quick() == 0.25 and Subprocess(os.getpid)() != os.getpid()
    assert case(quick, slow, rounds=3).run()["ratio"] == 0.5
    assert Subprocess(print, "not the result")() is None
    with pytest.raises(RuntimeError, match="float failed"):
        Subprocess(float, "half")()


def test_memory_that_is_kept_needs_no_new_pages():
    if not Subprocess(keep_freed_memory)():
        pytest.skip("a C library that cannot keep memory")

    def pages(first):
        """Return how many pages a process needs that frees 16 MiB and asks for them again."""
        code = (
            "import resource, torch; from companion.allocator import keep_freed_memory\n"
            "pages = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_minflt\n"
            f"{first}\n"
            "for _ in range(50): torch.ones(2**22)\n"
            "before = pages()\n"
            "for _ in range(50): torch.ones(2**22)\n"
            "print(pages() - before)"
        )
        command = [sys.executable, "-c", code]
        # As glibc has it at first; later it keeps more by itself.
        environment = {**os.environ, "MALLOC_TRIM_THRESHOLD_": str(2**17)}
        done = subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return int(done.stdout)

    returned = pages("pass")
    if returned < 5_000:
        pytest.skip("large pages, or another allocator")
    assert pages("keep_freed_memory()") < returned / 10


def test_limits_of_this_machine_are_measured():
    product, triad = limit.sgemm(size=128, rounds=3), limit.triad(megabytes=8, rounds=3)
    assert [product["id"], triad["id"]] == list(limit.measurements())
    assert product["best"] > 0.5 and triad["best"] > 0.5


@pytest.fixture
def small(monkeypatch):
    """The bench with one quick measurement in the place of all of PyTorch's."""
    quick = case(spin(0.002), spin(0.002), rounds=3)
    peak = {"id": "limit/sgemm", "statement": "statement", "best": 1.0}
    found = {"limit": {"limit/sgemm": lambda rounds: peak}, "torch": {"torch/quick": quick.run}}
    monkeypatch.setattr(comparisons, "GROUPS", {"limit": ("torch",), "torch": ("torch",)})
    monkeypatch.setattr(
        comparisons,
        "measurements",
        lambda groups: {id: call for group in groups for id, call in found[group].items()},
    )


def test_a_run_keeps_to_what_is_asked_for(small, capsys):
    rows = bench.measure(bench.select(["torch/qu"]), rounds=4)
    assert capsys.readouterr().err.split() == ["...", "limit/sgemm", "...", "torch/quick"]
    assert [row["id"] for row in rows] == ["limit/sgemm", "a/b"]
    assert rows[1]["rounds"] == 4 and bench.ids() == ["limit/sgemm", "torch/quick"]
    assert list(bench.select(["limit"])) == ["limit/sgemm"]
    for bad in ("torch/slow", "keras"):
        with pytest.raises(ValueError, match="only"):
            bench.select([bad])


def test_what_is_not_installed_is_left_out_unless_it_is_named(monkeypatch):
    every = bench.ids()
    for name in ("tensorflow", "companion.tensorflow"):
        monkeypatch.setitem(sys.modules, name, None)
    assert set(bench.ids()) == {id for id in every if not id.startswith(("tensorflow", "both"))}
    with pytest.raises(ImportError):
        bench.select(["tensorflow/predict"])
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ImportError):
        bench.ids()


def test_the_command_prints_and_writes(small, tmp_path, capsys):
    path = tmp_path / "new" / "bench.json"
    assert main(["bench", "--rounds", "3", "--out", str(path)]) == 0
    assert "a/b" in capsys.readouterr().out
    stored = json.loads(path.read_text("utf-8"))
    assert stored["facts"]["script"] == "python -m companion bench"
    assert stored["facts"]["threads"] == 1 and "torch" in stored["facts"]["versions"]
    assert stored["facts"]["processor"] is not None
    assert [row["id"] for row in stored["runs"]] == ["limit/sgemm", "a/b"]
    assert [p.name for p in path.parent.iterdir()] == ["bench.json"]
    assert main(["bench", "--only", "keras", "--out", str(tmp_path / "no" / "x.json")]) == 2
    assert not (tmp_path / "no").exists()
    assert main(["bench", "--only", "keras"]) == 2 and main(["bench", "--rounds", "1"]) == 2
    assert capsys.readouterr().err.count("companion: ") == 3
    block = tmp_path / "file"
    block.touch()
    assert main(["bench", "--out", str(block / "bench.json")]) == 2 and not block.read_bytes()
    told = capsys.readouterr()
    assert told.err.count("\n") == 1 and "..." not in told.err and not told.out
    assert main(["bench", "--list"]) == 0
    assert capsys.readouterr().out.split() == ["limit/sgemm", "torch/quick"]


def test_each_row_has_its_own_id_and_target():
    known = [*in_torch.comparisons(), *in_tensorflow.comparisons()]
    assert len({c.id for c in known}) == len(known)
    asked = {c.id: c.target for c in known if c.target is not None}
    assert asked["torch/optimized/resnet18/1"] == asked["torch/optimized/resnet18/8"] == 0.75
    assert asked["torch/optimized/cifar20/32"] == 0.85
    assert asked["torch/onnx/resnet18/1"] == asked["torch/onnx/resnet18/8"] == 0.6
    assert asked["tensorflow/predict/cifar20/1"] == 0.1
    assert all(asked[f"torch/skip/{n}"] == 1.1 for n in ("as_written", "in_place", "training"))
    assert sum("torch/flat" in name and limit == 1.05 for name, limit in asked.items()) == 6


STORED = Path(__file__).resolve().parents[2] / "book" / "results" / "bench.json"
#: What misses its target in the stored run; the page on costs says why.
MISSED = {"torch/onnx/resnet18/1", "torch/onnx/resnet18/8"}


@pytest.mark.skipif(not STORED.exists(), reason="the stored run has not been made")
def test_the_stored_run_keeps_its_targets():
    stored = json.loads(STORED.read_text("utf-8"))
    assert (STORED.parents[2] / stored["facts"]["script"]).is_file()
    rows = {row["id"]: row for row in stored["runs"]}
    assert {c.id for c in in_torch.comparisons()} | {"torch/depth", "limit/triad"} <= set(rows)
    assert {name for name, row in rows.items() if not row.get("met", True)} == MISSED
    # What is needed, at the best speed measured, already takes longer than the target allows.
    assert all(rows[name]["target"] < rows[name]["base_fraction"] for name in MISSED)
    assert set(rows) == set(bench.ids())
    assert rows["torch/depth"]["saved_linear"] and rows["torch/checkpoint/1202"]["kept_ratio"] >= 7
