"""The stored runs of chapter 8 say what their pages say, and what measures them measures right."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.utils.checkpoint import checkpoint_sequential

import companion.torch as ct
from companion.book.experiments import late_layers
from companion.book.experiments.late_layers import factors
from companion.book.experiments.memory import most_alive
from companion.data import mnist
from companion.torch import probes
from companion.torch.costs import peak_saved_bytes, saved_bytes
from tests.book.test_page_numbers import mean, runs


def test_memory_grows_linearly_with_the_root_and_not_at_all():
    def growth(method):
        of = {"network": "reversible", "method": method}
        return mean("peak_bytes", "memory", depth=1202, **of) / mean(
            "peak_bytes", "memory", depth=110, **of
        )

    blocks = 1200 / 108
    assert growth("stored") == pytest.approx(blocks, rel=0.1)
    assert growth("checkpointed") == pytest.approx(blocks**0.5, rel=0.3)
    assert growth("reversible") < 1.1


def test_the_shortcut_keeps_next_to_nothing():
    for depth in (20, 1202):
        kept = [
            mean("peak_bytes", "memory", network=network, depth=depth)
            for network in ("residual", "plain")
        ]
        assert kept[0] == pytest.approx(kept[1], rel=0.1)


def test_the_three_ways_give_one_gradient():
    chosen = runs("memory", network="reversible")
    assert {r["gradient_error"] for r in chosen if r["method"] == "checkpointed"} == {0}
    shallow = [r for r in chosen if r["method"] == "reversible" and r["depth"] <= 26]
    assert max(r["gradient_error"] for r in shallow) < 1e-5


def test_only_blocks_that_are_not_run_save_time():
    def time(method):
        return mean("time_ratio", "memory", network="stochastic depth", method=method)

    assert time("by batch") < 0.9 < time("by example")


def test_the_peak_is_counted_exactly():
    x = torch.randn(4, 6, requires_grad=True)
    one = torch.nn.Sequential(torch.nn.Linear(6, 5), torch.nn.Sigmoid())
    # A sigmoid keeps its output, 4 x 5 numbers; the linear layer's input exists anyway.
    assert peak_saved_bytes(one, x) == saved_bytes(one, x) == 4 * 5 * 4
    assert one[0].weight.grad is None
    three = torch.nn.Sequential(*(torch.nn.Sigmoid() for _ in range(3)))
    # Three outputs of 4 x 6 kept; in three runs, one run's input and one output at a time.
    assert peak_saved_bytes(three, x) == 3 * 96
    assert peak_saved_bytes(_Runs(three, 3), x) == 2 * 96


def test_what_is_alive_in_a_prediction_is_counted_exactly():
    x = torch.randn(4, 6)
    for layers in (1, 2, 3, 4):
        stack = torch.nn.Sequential(*(torch.nn.Sigmoid() for _ in range(layers)))
        assert most_alive(stack, x) == min(layers, 2) * 96  # what a layer reads, and what it makes
    residual = ct.Residual(torch.nn.Sequential(torch.nn.Sigmoid()), activation=torch.nn.Sigmoid())
    # The branch, the sum, and what the last sigmoid makes of it; the input is not ours.
    assert most_alive(residual, x) == 3 * 96


class _Runs(torch.nn.Module):
    def __init__(self, stack, runs):
        super().__init__()
        self.stack, self.runs = stack, runs

    def forward(self, x):
        return checkpoint_sequential(self.stack, self.runs, x, use_reentrant=True)


def test_sparse_branches_save_more_arithmetic_than_time():
    def relative(key, branch):
        of = {"part": "branch", "residual": True}
        chosen, basic = (
            np.array([r[key] for r in runs("smaller") if _has(r, branch=b, **of)])
            for b in (branch, "basic")
        )
        return float((chosen / basic).mean())

    def time(branch):
        rows = [r["milliseconds"] for r in runs("smaller", part="time", residual=True)]
        return float(np.mean([row[branch] / row["basic"] for row in rows]))

    for branch in ("wide", "grouped", "separable"):
        assert relative("parameters", branch) < 0.3
        assert relative("multiply_adds", branch) < 0.3
        assert relative("multiply_adds", branch) < time(branch)
        # The control: as many parameters in an ordinary network with fewer channels.
        narrow = "narrow, 8 channels" if branch == "wide" else "narrow, 6 channels"
        assert relative("parameters", narrow) == pytest.approx(
            relative("parameters", branch), rel=0.25
        )
        assert time(narrow) < time(branch)


def test_compression_and_what_only_residual_networks_survive():
    def value(key, **of):
        return float(np.mean([r[key] for r in runs("smaller") if _has(r, **of)]))

    for residual in (True, False):
        of = {"part": "int8", "residual": residual}
        assert value("bytes_int8", **of) < 0.5 * value("bytes_float", **of)
        assert value("time_many", **of) < 0.9
        assert abs(value("accuracy_float", **of) - value("accuracy_int8", **of)) < 0.01
    of = {"part": "prune", "residual": True, "sparsity": 0.9}
    assert value("tuned", **of) > value("at_once", **of) + 0.1
    lost = {
        arm: float(
            np.mean([r["left"][0] - r["left"][1] for r in runs("smaller", part="drop", arm=arm)])
        )
        for arm in ("residual", "plain")
    }
    assert lost["residual"] < lost["plain"] - 0.2


def test_a_folded_network_is_the_network_and_int8_is_near(experiment):
    smaller = experiment("smaller")
    x = torch.randn(8, 1, 14, 14, generator=torch.Generator().manual_seed(0))
    for branch in smaller.BRANCHES:
        model = smaller.build(branch, True, 0).eval()
        for norm in (m for m in model.modules() if isinstance(m, ct.BatchNorm2d)):
            torch.nn.init.uniform_(norm.running_var, 0.5, 2)
        with torch.no_grad():
            exact, folded = model(x), smaller.folded(model)(x)
        assert torch.allclose(exact, folded, atol=1e-4 * float(exact.abs().max()))
    assert {type(b) for s in smaller.network("grouped", True, 0).stages for b in s} == {
        smaller.GroupedBlock
    }


def test_a_dropped_block_is_the_identity(experiment):
    smaller = experiment("smaller")
    model = ct.cifar_resnet(20, 4, in_channels=1, seed=0).eval()
    torch.nn.init.zeros_(model.stages[1][2].branch.norm2.weight)
    x = torch.randn(2, 1, 8, 8)
    which = smaller.droppable(model).index((model.stages[1], 2))
    with torch.no_grad():
        assert torch.allclose(model(x), smaller.without(model, [which])(x), atol=1e-6)


def test_fusion_on_the_stream_adds_a_view_and_breaks_nothing():
    def accuracy(arm, key="both"):
        return mean(key, "fusion", part="test", arm=arm)

    alone = max(accuracy("image"), accuracy("sequence"))
    for arm in ("concatenated", "gated", "added", "frozen, gated"):
        assert accuracy(arm) > alone + 0.01
    for one, other in zip(
        runs("fusion", part="test", arm="frozen, gated"),
        runs("fusion", part="test", arm="image"),
        strict=True,
    ):
        assert one["start"] == one["without_sequence"] == other["both"]


def test_a_shut_gate_leaves_the_model_as_it_was(experiment):
    fusion = experiment("fusion")
    x = torch.randn(5, 1, 8, 8)
    base = fusion.TwoViews("image", seed=0)
    whole = fusion.OnTopOf(base, "gated", seed=1)
    whole.train()
    base.eval()
    with torch.no_grad():
        assert torch.equal(whole(x), base(x))
        whole.whole.merge[0].gate.fill_(0.5)
        assert not torch.allclose(whole(x), base(x), atol=1e-3)
        whole.whole.missing = True
        assert torch.equal(whole(x), base(x))
    trained = {n.split(".")[1] for n, p in whole.named_parameters() if p.requires_grad}
    assert {"ask", "merge", "sequence"} <= trained and not trained & {"image", "blocks", "dense"}


@pytest.mark.parametrize("name", ["smaller", "fusion"])
def test_every_arm_has_the_rate_that_its_search_found(name):
    searched = [r for r in runs(name) if r.get("part") == "search"]
    arms = {(r.get("of"), r.get("branch"), r.get("arm"), r.get("residual")) for r in searched}
    assert len(arms) >= 11
    for of, branch, arm, residual in arms:
        here = {
            k: v
            for k, v in (("branch", branch), ("arm", arm), ("residual", residual))
            if v is not None
        }
        scores: dict[float, list] = {}
        for r in searched:
            if _has(r, **here) and r.get("of") == of:
                scores.setdefault(r["learning_rate"], []).append(r["score"] or [-np.inf])
        assert len(scores) >= 4
        best = max(scores, key=lambda rate: tuple(np.mean(scores[rate], axis=0)))
        used = {
            r["learning_rate"]
            for r in runs(name)
            if r.get("part") in (of or "test",) and _has(r, **here)
        }
        assert used == {best}
        assert best not in (min(scores), max(scores))  # the search went on beyond it


def _has(run, **chosen):
    return all(run.get(k) == v for k, v in chosen.items())


def test_the_arms_on_late_layers_differ_in_the_norms_alone():
    scaled, constant, reverse = (np.array(factors(arm, 20)) for arm in late_layers.SCALED)
    assert scaled == pytest.approx(np.arange(1, 21) ** -0.5)
    assert len(set(constant)) == 1 and list(reverse) == list(scaled[::-1])
    assert (scaled**2).sum() == pytest.approx((constant**2).sum())  # as much variance in all
    x = torch.rand(16, 7, 7, 1)
    usual = [p for p in late_layers.on_digits("pre", 3).parameters() if p.ndim > 1]
    for arm in late_layers.ARMS:
        other = [p for p in late_layers.on_digits(arm, 3).parameters() if p.ndim > 1]
        assert all(torch.equal(a, b) for a, b in zip(usual, other, strict=True))
    # Under ReLU a factor on the norms is a factor on what the first block adds.
    before, after = late_layers.streams(late_layers.on_digits("pre", 3), x)[:2]
    less = late_layers.streams(late_layers.on_digits("constant", 3), x)[1]
    assert torch.allclose(less - before, constant[0] * (after - before), rtol=1e-2, atol=1e-3)


def test_a_lesion_of_late_blocks_is_of_late_blocks():
    model, tiny = late_layers.on_digits("pre", 0), mnist().downsampled(2)
    found = late_layers.lesions(model, tiny)
    assert len(found["added"]) == late_layers.BLOCKS
    names = list(probes.residual_blocks(model))
    whole = ct.evaluate(model, tiny.x_test, tiny.y_test)[0]
    with probes.without_blocks(model, names[10:]):
        without = ct.evaluate(model, tiny.x_test, tiny.y_test)[0]
    assert found["added_half"] == pytest.approx(without - whole, abs=1e-4)
    assert ct.evaluate(model, tiny.x_test, tiny.y_test)[0] == whole  # all are back


def test_blocks_are_missed_by_how_much_they_change():
    """Over the arms at their own rates: LayerNorm Scaling at one end, post-norm at the other."""
    late, half = {}, {}
    for arm in late_layers.ARMS:
        rows = runs("late_layers", part="run", arm=arm)
        late[arm] = np.mean([r["trained"]["change"][10:] for r in rows])
        half[arm] = np.mean([r["trained"]["added_half"] for r in rows])
    assert min(late, key=late.get) == min(half, key=half.get) == "scaled"
    assert max(late, key=late.get) == max(half, key=half.get) == "post"
