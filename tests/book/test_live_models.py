"""Weights for the page: eight bits that stay near 32, and stored runs that say what pages say."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from companion.book import live_models, results
from companion.book.experiments import live_dates, live_lesions
from companion.torch import lesions


def test_a_row_is_whole_numbers_times_its_own_scale():
    matrix = np.array([[1.0, -0.4, 0.1], [0.0, 0.0, 0.0], [2e-20, 5e-21, -2e-20]], np.float32)
    integers, scale = live_models.quantized(matrix)
    assert integers.dtype == np.int8 and scale.dtype == np.float32
    assert integers.tolist() == [[127, -51, 13], [0, 0, 0], [127, 32, -127]]
    np.testing.assert_allclose(scale, [1 / 127, 1, 2e-20 / 127], rtol=1e-6)


def test_no_number_is_off_by_more_than_half_a_scale():
    matrix = np.random.default_rng(0).normal(size=(50, 40)).astype(np.float32)
    small = live_models.rounded({"a": matrix, "b": matrix[0]})
    half = np.abs(matrix).max(1, keepdims=True) / 127 / 2
    assert (np.abs(small["a"] - matrix) <= half * (1 + 1e-5)).all()
    assert small["a"].dtype == np.float64 and np.array_equal(small["b"], matrix[0])


@pytest.mark.parametrize("matrix", [np.zeros(3), np.array([[np.nan]]), np.array([[np.inf, 1.0]])])
def test_other_matrices_are_refused(matrix):
    with pytest.raises(ValueError, match="matrix"):
        live_models.quantized(matrix)


def test_a_script_holds_names_shapes_and_bytes_in_order():
    content = live_models.packed({"w": np.array([[2.0, -0.8]]), "b": np.array([0.5])})
    text = live_models.script("some.arm", content)
    place, _, value = text.partition(' = {"tensors')
    assert place == '(window.companionWeights = window.companionWeights || {})["some.arm"]'
    found = json.loads('{"tensors' + value.rstrip(";\n"))
    assert found["tensors"] == [["w", [1, 2]], ["b", [1]]]
    data = base64.b64decode(found["data"])
    assert np.frombuffer(data[:2], np.int8).tolist() == [127, -51]
    np.testing.assert_allclose(np.frombuffer(data[2:], "<f4"), [2 / 127, 0.5], rtol=1e-6)


def test_weights_are_stored_by_arm(tmp_path, monkeypatch):
    monkeypatch.setattr(live_models, "FOLDER", tmp_path)
    weights = {"one": {"a.b": np.ones(2)}, "other": {"a.b": np.zeros((1, 2))}}
    live_models.save("some", weights)
    found = live_models.load("some")
    assert {arm: list(own) for arm, own in found.items()} == {"one": ["a.b"], "other": ["a.b"]}
    assert found["other"]["a.b"].tolist() == [[0, 0]]
    (tmp_path / "some.npz").write_bytes(b"torn")
    with pytest.raises(ValueError, match="damaged"):
        live_models.load("some")


def lesioned(arm, weights="float"):
    return results.runs("live_lesions", arm=arm, weights=weights)


def test_what_the_page_says_of_deleted_blocks_holds_in_all_seeds():
    assert [row["seed"] for row in lesioned("residual")] == list(live_lesions.SEEDS)
    for row in lesioned("residual"):
        first, *others = row["each"]
        assert first < 0.4 and min(others) > row["accuracy"] - 0.05
        assert row["swapped"] > row["accuracy"] - 0.005
    for row in lesioned("plain"):
        assert np.median(row["each"]) < 0.2 and max(row["each"]) < 0.35
        assert row["swapped"] < 0.15 and row["accuracy"] > 0.9


@pytest.mark.parametrize("arm", live_lesions.ARMS)
def test_the_stored_weights_are_those_of_the_run(arm):
    digits = live_lesions.digits8()
    weights = live_models.load("live_lesions")[arm]
    for kind, own in (("float", weights), ("int8", live_models.rounded(weights))):
        (row,) = (r for r in lesioned(arm, kind) if r["seed"] == 0)
        model = live_lesions.with_weights(arm, own)
        assert live_lesions.accuracy(model, digits) == pytest.approx(row["accuracy"], abs=0.003)
        with lesions.without_blocks(model, ["1.blocks.3"]):
            found = live_lesions.accuracy(model, digits)
        assert found == pytest.approx(row["each"][3], abs=0.003)


def test_foreign_weights_are_refused():
    with pytest.raises(ValueError, match="weights"):
        live_lesions.with_weights("plain", {"stem.weight": np.zeros((32, 64))})


def test_what_the_page_says_of_the_translator_holds():
    residual, plain = (results.runs("live_dates", arm=a, seed=0)[0] for a in live_dates.ARMS)
    assert residual["lines"] * residual["epochs"] == 256_000
    assert residual["exact_int8"] > 0.9 and abs(residual["exact"] - residual["exact_int8"]) < 0.01
    # Two of the eleven characters that count are dashes.
    assert plain["exact_int8"] == 0 and plain["characters_int8"] == pytest.approx(2 / 11, abs=1e-4)
    (shown,) = results.runs("live_dates", part="shown", arm="plain")
    assert set(shown["said"]) == {"-"} and np.ptp(shown["sure"]) < 0.01
    for row in (residual, plain):
        assert row["learning_rate"] == live_dates.learning_rate(row["arm"])
        weights = live_models.load("live_dates")[row["arm"]]
        assert sum(array.size for array in weights.values()) == row["parameters"]
