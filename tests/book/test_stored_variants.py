"""The stored runs on shortcuts and merges say what their pages say of them."""

from __future__ import annotations

import numpy as np
import torch

import companion.torch as ct
from companion.book import results
from tests.book.test_page_numbers import mean, runs


def of(design: str, column: str = "test_accuracy") -> float:
    return mean(column, "shortcuts", part="test", design=design)


def merged(arm: str, column: str = "accuracy", task: str = "dates", **which) -> float:
    return mean(column, "merges", part="test", task=task, arm=arm, **which)


def test_what_stands_on_the_shortcut_costs():
    for design in ("half", "half_both", "shortcut_gate_0"):
        assert of(design) < of("identity") - 0.1, design
    assert of("conv") < of("exclusive_gate") < of("norm") < of("identity")
    assert abs(of("shortcut_gate_6") - of("identity")) < 0.02
    assert of("dropout") < 0.2
    assert of("none") < 0.7


def test_what_is_close_has_five_pairs_at_equal_rates():
    for pair in (("norm", "identity"), ("preact_relu", "preact")):
        rates = [
            {r["learning_rate"] for r in runs("shortcuts", part="test", design=d)} for d in pair
        ]
        for design, own, other in zip(pair, rates, rates[::-1], strict=True):
            assert len(runs("shortcuts", part="test", design=design)) == 5
            if own != other:
                place = {"part": "at the other's rate", "design": design}
                assert [r["seed"] for r in runs("shortcuts", **place)] == [0, 1, 2, 3, 4]
                assert {r["learning_rate"] for r in runs("shortcuts", **place)} == other


def test_a_separable_branch_needs_the_shortcut_as_any_other():
    assert of("separable") > of("separable_none") + 0.3
    assert of("separable", "parameters") < of("identity", "parameters") / 6


def test_every_arm_has_its_seeds_and_the_rate_that_the_search_found_best():
    for name, keys in (("shortcuts", ("design",)), ("merges", ("task", "arm", "epochs"))):
        arms = {tuple((k, r[k]) for k in keys if k in r) for r in runs(name, part="test")}
        for arm in map(dict, arms):
            rows = runs(name, part="test", **arm)
            if "task" in arm:
                rows = [r for r in rows if r.get("epochs") == arm.get("epochs")]
            assert [r["seed"] for r in rows] == list(range(len(rows))) and len(rows) in (3, 5)
            (rate,) = {r["learning_rate"] for r in rows}
            tried = results.runs(name, part="search", **arm)
            assert len({r["learning_rate"] for r in tried}) >= 4
            worst = [-1.0, 0.0]
            scores: dict[float, list] = {}
            for row in tried:
                scores.setdefault(row["learning_rate"], []).append(row["score"] or worst)
            best = max(scores, key=lambda r: tuple(np.mean(scores[r], axis=0)))
            assert best == rate, arm


def test_the_branches_of_all_arms_start_alike(experiment):
    shortcuts = experiment("shortcuts")

    def weight(design):
        return dict(shortcuts.network(design, 0).named_parameters())[
            "stages.1.2.branch.conv1.weight"
        ]

    ordinary = weight("identity")
    for design in ("none", *shortcuts.CHANGED):
        assert torch.equal(weight(design), ordinary), design


def test_a_relu_on_a_shortcut_that_is_never_negative_does_nothing():
    model = ct.cifar_resnet(14, 4, in_channels=1, seed=0).eval()
    x = torch.randn(2, 1, 8, 8)
    plain = model(x)
    for stage in model.stages:
        for block in stage:
            block.shortcut = torch.nn.Sequential(block.shortcut, torch.nn.ReLU())
    assert torch.equal(model(x), plain)
    assert np.isfinite(plain.detach().numpy()).all()


def test_what_the_merges_learn():
    def learned(arm: str, column: str, task: str = "dates", **which) -> np.ndarray:
        rows = runs("merges", part="test", task=task, arm=arm, **which)
        return np.array([r[column] for r in rows])

    assert 0.03 < learned("rezero", "scale").mean() < 0.15  # from 0, and not far
    for gates in (learned("highway", "gate"), learned("highway", "gate", "digits", epochs=4)):
        assert abs(gates - 0.119).max() < 0.05  # on average they stay where they started
    for matrices in learned("hyper", "mixing"):
        product = np.abs(np.linalg.multi_dot(matrices))
        assert max(product.sum(0).max(), product.sum(1).max()) > 2  # free matrices amplify


def test_with_norms_every_merge_learns_and_without_a_shortcut_none():
    plain = merged("plain")
    assert merged("plain", "exact") == 0
    for arm in {r["arm"] for r in runs("merges", part="test", task="dates")} - {"plain"}:
        assert merged(arm) > plain + 0.2, arm
    plain = merged("plain", task="digits", epochs=4)
    for arm in ("add", "scale", "layer_scale", "highway", "stochastic_depth", "dense"):
        assert merged(arm, task="digits", epochs=4) > plain + 0.2, arm


def test_networks_that_do_without_norms_need_the_longer_training():
    digits = {"task": "digits", "epochs": 4}
    with_norms = [merged(arm, **digits) for arm in ("add", "scale", "layer_scale", "highway")]
    assert min(with_norms) > 0.95
    assert merged("fixup", **digits) < 0.5 and merged("bare_plain", **digits) < 0.2
    for arm in ("bare_add", "skip_init", "fixup"):
        short, long = (merged(arm, task="digits", epochs=epochs) for epochs in (4, 12))
        assert short < min(with_norms) - 0.05 and long > short + 0.1, arm
    longer = results.column("merges", "accuracy", part="test", arm="bare_add", epochs=12)
    assert longer.min() > 0.95
    steady = results.column("merges", "accuracy", part="test", arm="norm_free", epochs=4)
    assert steady.min() > 0.9  # the exception: its kernels are held in every step


def test_arms_without_norms_have_none_and_start_with_the_same_weights(experiment):
    merges = experiment("merges")
    norms = {
        arm: sum(isinstance(m, ct.BatchNorm2d) for m in merges.images(arm, 0).modules())
        for arm in merges.IMAGES
    }
    without = {"bare_plain", "bare_add", "skip_init", "fixup", "norm_free"}
    assert {arm for arm, count in norms.items() if not count} == without
    kept, bare = (dict(merges.images(arm, 0).named_parameters()) for arm in ("scale", "skip_init"))
    name = "stages.1.2.branch.conv1.weight"
    assert torch.equal(kept[name], bare[name]) and not bare[name[:-6] + "bias"].any()
    for arm in merges.BARE:
        model = merges.transformer(arm, 30, 0)
        assert not any(isinstance(m, torch.nn.LayerNorm) for m in model.modules())


def test_kernels_of_the_norm_free_network_are_standardised_and_its_factors_predicted(experiment):
    merges = experiment("merges")
    model = merges.images("norm_free", 0)
    for name, conv in model.named_modules():
        if isinstance(conv, ct.Conv2d):
            kernel = conv.weight.detach().flatten(1)
            assert kernel.mean(1).abs().max() < 1e-6
            gain = 2 / (1 - 1 / np.pi) if "branch" in name else 1
            assert torch.allclose((kernel**2).sum(1), torch.full((len(kernel),), gain).float())
    predicted = [block.branch.norm1.factor**-2 for stage in model.stages for block in stage]
    first = [1 + 0.04 * n for n in range(6)]
    assert np.allclose(predicted[:6], first) and np.isclose(predicted[6], first[5] / 2 + 0.04)
    with torch.no_grad():
        conv = model.stages[0][0].branch.conv2
        y = torch.relu(torch.randn(500, 8, 3, 3, generator=torch.Generator().manual_seed(0)))
        variance = conv(y)[:, :, 1, 1].var(dim=0).mean()  # in the middle, away from the border
    assert abs(variance - 1) < 0.1


def test_every_merge_starts_where_its_page_says(experiment):
    merges = experiment("merges")
    x = np.arange(24).reshape(2, 12)
    arms = (*merges.MERGES, "bare_rezero")
    start = {arm: merges.learnt(merges.transformer(arm, 30, 0), x) for arm in arms}
    assert start["rezero"]["scale"] == start["bare_rezero"]["scale"] == [0] * 8
    assert np.allclose(start["highway"]["gate"], 1 / (1 + np.exp(2)), atol=1e-4)
    assert np.allclose(start["hyper"]["mixing"], np.eye(4))


def test_a_body_is_worth_most_where_images_are_few():
    def of_size(arm: str) -> list[float]:
        place = {"part": "test", "arm": arm}
        return [
            mean("test_accuracy", "finetuning", images_per_class=size, **place)
            for size in (5, 20, 80)
        ]

    scratch, tuned, frozen = map(of_size, ("from scratch", "fine-tuned", "body frozen"))
    gains = np.subtract(tuned, scratch)
    assert gains[0] > 0.15 and gains[0] > gains[1] > gains[2] > 0
    assert frozen[0] > scratch[0] + 0.05 and frozen[2] < scratch[2] - 0.03
    tried = {r["learning_rate"] for r in runs("finetuning", part="test")}
    assert tried <= {0.1, 0.3, 1.0}  # inside of what was searched


def test_arms_of_fine_tuning_start_where_the_page_says(experiment):
    tuning = experiment("finetuning")
    digits = tuning.of_classes(tuning.mnist().downsampled(), tuning.NEW)
    assert digits.num_classes == 4 and set(digits.y_train) == {0, 1, 2, 3}
    few = tuning.drawn(digits, 5, 0)
    assert np.bincount(few.y_train).tolist() == [5] * 4
    for size in tuning.SIZES:  # the same number of steps for all
        assert tuning.STEPS * tuning.BATCH % (4 * size) == 0 == (4 * size) % tuning.BATCH
    before = tuning.network(6, 0)
    fresh, tuned, frozen = (tuning.start(arm, before, 0) for arm in tuning.ARMS)
    for name, weight in tuned.named_parameters():
        head = name.startswith("head")
        assert torch.equal(weight, dict(fresh.named_parameters())[name]) == head or weight.ndim < 2
        assert head or torch.equal(weight, dict(before.named_parameters())[name])
        assert torch.equal(weight, dict(frozen.named_parameters())[name])
    assert {name.split(".")[0] for name, p in frozen.named_parameters() if p.requires_grad} == {
        "head"
    }
    assert not frozen.stages.training and frozen.head.training
