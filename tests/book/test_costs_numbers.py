"""The runs on numbers and on addition and norm: their formulas, their sums, and what is stored."""

from __future__ import annotations

import pytest
import torch

from companion.book import results
from companion.book.experiments import fused_norm, sixteen_bits


@pytest.mark.parametrize("r", [1.0, 0.3, 0.05])
def test_the_share_of_lost_additions_is_that_of_normal_numbers(r):
    stream, branch = torch.randn(2, 1_000_000)
    stream = sixteen_bits.short(stream)
    after = sixteen_bits.short(stream + sixteen_bits.short(r * branch))
    lost = float((after == stream).float().mean())
    assert lost == pytest.approx(sixteen_bits.predicted_share(r), rel=0.08)


def test_the_rounding_error_is_that_of_normal_numbers():
    for scale in (0.7, 1.0, 1.3):
        x = scale * torch.randn(1_000_000, dtype=torch.float64)
        error = float((sixteen_bits.short(x) - x).std()) / scale
        assert error == pytest.approx(sixteen_bits.ROUNDING, rel=0.1)


def test_stochastic_rounding_takes_a_neighbour_and_is_right_on_average():
    x = torch.full((100_000,), 1 + 0.3 / 128, dtype=torch.float64)
    found = sixteen_bits.drawn(x)
    assert set(found.tolist()) == {1.0, 1 + 1 / 128}
    assert float(found.mean()) == pytest.approx(float(x[0]), abs=2e-4)
    exact = sixteen_bits.short(torch.randn(1000, dtype=torch.float64))
    assert torch.equal(sixteen_bits.drawn(exact), exact)


@pytest.mark.parametrize(
    ("how", "end"), [("bfloat16", 1.0), ("compensated", 1.601), ("float32", 1.601)]
)
def test_where_two_hundred_small_branches_arrive(how, end):
    stream = torch.ones(1, dtype=torch.float64)
    carry = torch.zeros_like(stream)
    branch = sixteen_bits.short(0 * stream + 0.003)
    for _ in range(200):
        stream, carry = sixteen_bits.add(stream, branch, carry, how)
    assert float(stream + carry) == pytest.approx(end, abs=2e-3)


@pytest.mark.parametrize("how", ["bfloat16", "float32"])
def test_a_trained_stack_differs_in_its_stream_alone(how):
    model = sixteen_bits.stack("LayerScale from 1e-6", how, seed=0)
    streams = []
    for block in model[1].blocks:
        assert float(block.block.merge.scale.detach()[0]) == pytest.approx(1e-6)
        block.register_forward_hook(lambda _m, _x, y: streams.append(y.detach()))
    model(torch.rand(4, 7, 7, 1))
    exact = [bool(torch.equal(x, sixteen_bits.short(x))) for x in streams]
    assert len(exact) == 50 and all(exact) == (how == "bfloat16")


def test_the_norm_apart_from_its_addition_computes_the_same(monkeypatch):
    monkeypatch.setattr(torch, "compile", lambda function, **_: function)
    given = (*torch.randn(2, 8, 16), *torch.randn(2, 16))
    for norm in (fused_norm.layer_norm, fused_norm.rms_norm):
        for one, other in zip(fused_norm.apart(norm)(*given), norm(*given), strict=True):
            assert torch.equal(one, other)


def test_the_stored_stacks_lose_what_the_formula_says():
    rows = results.runs("sixteen_bits", part="forward", stream="bfloat16")
    assert len(rows) == 5 * 8
    for row in rows:
        assert row["unchanged"] == pytest.approx(row["expected"], rel=0.25)
        if row["design"] != "bare sum":
            expected = sixteen_bits.ROUNDING * row["blocks"] ** 0.5
            assert row["error"] == pytest.approx(expected, rel=0.2)


def test_training_does_not_tell_the_streams_apart():
    for arm in sixteen_bits.TRAINED:
        arms = [
            results.column("sixteen_bits", "test_accuracy", part="training", arm=arm, stream=s)
            for s in ("float32", "bfloat16")
        ]
        found = results.difference(*arms)
        assert found.pairs == 5 and not found.sure
