"""The stored runs still say what the pages and the README say of them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from companion.book import results
from companion.book.experiments import branch_layers, budget, conditioning, remedies

RESULTS = Path(__file__).resolve().parents[2] / "book" / "results"


def runs(name: str, **chosen: object) -> list[dict]:
    assert (RESULTS.parents[1] / results.facts(name)["script"]).is_file()
    kept = results.runs(name, **chosen)
    assert len({r["seed"] for r in kept}) >= 3, "every result needs three seeds"
    return kept


def mean(column: str, name: str, **chosen: object) -> float:
    return float(np.mean([r[column] for r in runs(name, **chosen)]))


@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_shortcuts_do_not_matter_at_depth_8_and_do_at_44(framework):
    gap = {
        depth: mean("test_accuracy", "depth", framework=framework, depth=depth, residual=True)
        - mean("test_accuracy", "depth", framework=framework, depth=depth, residual=False)
        for depth in (8, 44)
    }
    assert abs(gap[8]) < 0.02 and gap[44] > 0.1


@pytest.mark.parametrize("depth", [8, 44])
def test_tensorflow_is_within_half_a_point_of_pytorch(depth):
    a, b = (
        mean("test_accuracy", "depth", framework=framework, depth=depth, residual=True)
        for framework in ("torch", "tensorflow")
    )
    assert abs(a - b) <= 0.005


def test_the_recipe_beats_the_articles_network_in_a_tenth_of_its_time():
    name = "article_against_recipe"
    article = {"network": "article"}
    recipe = {"network": "recipe", "framework": "torch"}
    in_keras = {"network": "recipe", "framework": "tensorflow"}
    assert mean("test_accuracy", name, **recipe) >= 0.983 > mean("test_accuracy", name, **article)
    assert mean("cpu_seconds", name, **recipe) <= 0.1 * mean("cpu_seconds", name, **article)
    difference = mean("test_accuracy", name, **recipe) - mean("test_accuracy", name, **in_keras)
    assert abs(difference) <= 0.005


def test_at_the_articles_depth_its_network_does_without_shortcuts():
    name, key = "article_control", "test_accuracy_batch_statistics"
    own = {r: mean(key, name, residual=r) for r in (True, False)}
    assert min(own.values()) > 0.9 and abs(own[True] - own[False]) < 0.03
    for residual in (True, False):  # and what its script would print is another thing
        assert mean("test_accuracy", name, residual=residual) < own[residual] - 0.1


def test_averages_of_another_momentum_follow_from_those_of_kerass(experiment):
    import keras

    module = experiment("article_control")
    digits = module.mnist()
    few = replace(digits, x_train=digits.x_train[:192], y_train=digits.y_train[:192])

    def fitted(momentum: float):
        keras.utils.set_random_seed(0)
        network = module.article_network(residual=True, channels=4)
        for layer in network.layers:
            if isinstance(layer, keras.layers.BatchNormalization):
                layer.momentum = momentum
        averages = module.Averages(network)
        network.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
        network.fit(few.x_train, few.y_train, batch_size=64, verbose=0, callbacks=[averages])
        return averages

    slow, fast = fitted(0.99), fitted(0.9)
    for found, asked in zip(slow.fast, fast.slow, strict=True):
        np.testing.assert_allclose(found, asked, rtol=1e-3, atol=1e-5)
    before = [v.numpy() for v in slow.variables]
    slow.accuracy(slow.fast, replace(few, x_test=few.x_test[:50], y_test=few.y_test[:50]))
    assert all(np.array_equal(v, b) for v, b in zip(slow.variables, before, strict=True))
    first = slow.without_start()[0]  # a mean, which starts at zero
    np.testing.assert_allclose(first, slow.slow[0] / (1 - 0.99**3), rtol=1e-4)


def test_deep_plain_networks_need_more_epochs():
    def epochs(depth, residual):
        chosen = runs("convergence", part=None, depth=depth, residual=residual)
        return [next((i for i, loss in enumerate(r["loss"], 1) if loss <= 0.3), 99) for r in chosen]

    assert abs(np.mean(epochs(8, True)) - np.mean(epochs(8, False))) <= 1
    assert max(epochs(44, True)) <= 5 and min(epochs(44, False)) == 99


def test_at_equal_parameters_shortcuts_do_not_hurt_the_test_accuracy():
    for depth in (8, 20):
        residual, plain = (
            mean("test_accuracy", "depth", framework="torch", depth=depth, residual=r)
            for r in (True, False)
        )
        assert residual > plain - 0.01


def test_gradients_of_normalised_networks_by_depth():
    def level(step, measure="first_over_last", **arm):
        chosen = runs("gradients", **arm)
        return np.median([r[measure][r["steps"].index(step)] for r in chosen])

    plain = {"residual": False, "keep_lengths": False}
    starts = [level(0, depth=depth, **plain) for depth in (8, 20, 32, 44, 56)]
    assert starts == sorted(starts) and starts[-1] > 100  # plain ones explode at the start
    assert level(0, depth=56, residual=True) < 20
    for step in (16, 62, 124, 186, 248):  # level, and yet behind
        assert 0.1 < level(step, depth=32, **plain) < 10


def test_the_networks_whose_gradients_are_watched_are_those_of_the_accuracies():
    for row in runs("gradients", keep_lengths=False):
        arm = {key: row[key] for key in ("depth", "residual", "learning_rate", "seed")}
        (same,) = results.runs("depth", framework="torch", **arm)
        assert abs(row["train_accuracy"] - same["train_accuracy"]) < 0.05


def test_gradients_become_level_though_no_weight_becomes_longer():
    for row in runs("gradients", keep_lengths=True):
        assert max(row["first_length"]) < 1.01 * min(row["first_length"])
        for measure in ("first_over_last", "scaled_first_over_last", "stream_first_over_last"):
            assert row[measure][row["steps"].index(16)] < row[measure][0] / 5


@pytest.mark.parametrize(
    ("name", "places"),
    [
        ("depth", ("depth", "residual")),
        ("depth_longer", ("depth", "residual")),
        ("depth_seeds", ("depth", "residual")),
    ],
)
def test_each_network_has_the_best_of_four_rates_or_more(name, places):
    searched = results.runs(f"{name}_search")
    for row in results.runs(name):
        budget = {4: 5, 12: 15, 40: 15}[row["epochs"]] if "epochs" in row else None
        scores: dict[float, list] = {}
        for found in searched:
            same = all(found[key] == row[key] for key in places)
            if same and found.get("epochs") == budget:
                scores.setdefault(found["learning_rate"], []).append(found["score"] or [-1, 0])
        means = {rate: tuple(np.mean(found, axis=0)) for rate, found in scores.items()}
        assert len(means) >= 4 and max(means, key=means.__getitem__) == row["learning_rate"]


def test_degradation_shrinks_with_the_budget_and_leaves_a_loss():
    def value(column, depth, epochs):
        return mean(column, "depth_longer", depth=depth, residual=False, epochs=epochs)

    behind = [
        value("train_accuracy", 8, epochs) - value("train_accuracy", 32, epochs)
        for epochs in (4, 12, 40)
    ]
    assert behind[0] > behind[1] > behind[2] and behind[2] < behind[0] / 4
    assert value("train_loss", 32, 40) > 2 * value("train_loss", 8, 40)


def test_the_deeper_plain_network_is_behind_with_most_of_thirty_seeds():
    deep, shallow, residual = (
        results.column("depth_seeds", "train_accuracy", depth=depth, residual=shortcuts)
        for depth, shortcuts in ((32, False), (20, False), (32, True))
    )
    assert len(deep) == 30 and (deep < shallow).mean() > 0.9 and (deep < residual).mean() > 0.9


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_deep_stack_learns_with_a_remedy_or_from_a_linear_start_and_not_without(optimizer):
    which = {"part": "run", "optimizer": optimizer}
    arms = {r["arm"] for r in runs("remedies", **which)}
    assert len(arms) == 13
    for arm in arms:
        accuracies = [r["train_accuracy"] for r in runs("remedies", arm=arm, **which)]
        if arm == "residual, nothing done":
            assert max(accuracies) < (0.3 if optimizer == "sgd" else 0.7)
        elif "plain" in arm and "looks linear" not in arm:
            assert max(accuracies) < 0.4
        else:
            assert min(accuracies) > 0.7


def test_stacks_that_look_linear_are_linear_at_the_start():
    model = remedies.stack(0, "looks_linear", residual=False)[1]
    x, y = torch.randn(2, 5, 49, generator=torch.Generator().manual_seed(0))
    through = lambda v: model.blocks(model.stem(v))  # noqa: E731
    with torch.no_grad():
        assert torch.allclose(through(x + 2 * y), through(x) + 2 * through(y), atol=1e-4)
        assert torch.allclose(through(x).norm(), model.stem(x).norm(), rtol=1e-4)
        usual = remedies.stack(0, residual=False)[1]
        bent = usual.blocks(usual.stem(x)) + usual.blocks(usual.stem(-x))
    assert bent.norm() > 0.1


def test_stacks_between_a_linear_map_and_hes_weights_are_level():
    images = torch.randn(3, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    for turn in (0.0, 0.2, np.pi / 2):
        model = conditioning.between(turn, images, seed=1)
        found = conditioning.start(model, images)
        assert abs(found["mean_square"] - 1) < 1e-3
        assert (abs(found["spread"] - 1) < 1e-3) == (turn == 0)  # half of the units are copies
        he = remedies.stack(1, residual=False)[1].blocks[3].branch.dense2.weight
        ratio = model[1].blocks[3].branch.dense2.weight / he
        assert (float(ratio.detach().std()) < 1e-4) == (turn > 1)  # He's weights but for a factor
    assert found["spread"] > 20


def test_only_the_spread_and_the_stream_differ_and_one_level_stack_trains():
    arms = {r["arm"] for r in runs("conditioning", part="run")}
    accuracy = {
        arm: results.column("conditioning", "train_accuracy", part="run", arm=arm) for arm in arms
    }
    assert len(arms) == 9 and all(len(values) == 3 for values in accuracy.values())
    level = {arm for arm in arms if arm.startswith("plain")}
    for arm in level:
        squares = results.column("conditioning", "mean_square", part="run", arm=arm)
        assert abs(squares - 1).max() < 0.01
    assert accuracy["plain, 0"].min() > 0.85 and accuracy["plain, 1.57"].max() < 0.4
    assert min(accuracy[arm].min() for arm in arms - level) > 0.84


def test_leaky_stacks_are_level_both_ways_and_their_slope_sets_the_spread():
    images = torch.randn(20, 1, 7, 7, generator=torch.Generator().manual_seed(0))
    for slope, spread in ((1.0, 0.0), (0.9, 0.55), (0.8, 2.41)):
        model = conditioning.leaky(slope, 0.0, images[:3], seed=1)
        found = conditioning.start(model, images[:3])
        assert abs(found["mean_square"] - 1) < 1e-3
        assert abs(found["spread"] - spread) < 0.001 + 0.3 * spread
        assert abs(conditioning.forward(model, images)["forward"] - 1) < 0.1
    tilted = conditioning.leaky(1.0, 0.3, images[:3], seed=1)
    assert conditioning.start(tilted, images[:3])["spread"] > 4  # 8 in wide ones


def test_level_both_ways_a_wide_spread_costs_something_and_alike_images_more():
    arms = {r["arm"] for r in runs("conditioning", part="level")}
    assert len(arms) == len(conditioning.SLOPES) + len(conditioning.TILTS)
    for arm in arms:
        rows = runs("conditioning", part="level", arm=arm)
        assert [r["seed"] for r in rows] == list(conditioning.LEVEL_SEEDS)
        assert all(abs(r["mean_square"] - 1) < 0.01 for r in rows)

    def reached(arm):
        of = {"part": "level", "arm": arm}
        return np.nan_to_num(results.column("conditioning", "train_accuracy", **of), nan=0.1)

    lost = results.difference(reached("slope 0.8, 1.57"), reached("slope 0.8"))
    assert lost.sure and lost.mean < -0.05
    assert reached("slope 0").mean() < 0.5 < reached("slope 0.8, 0.65").mean()


def test_fixups_stack_starts_with_silent_branches_and_no_logits():
    model = remedies.fixup(0)
    assert not model(torch.randn(3, 1, 7, 7)).any()
    for block in model[2]:
        assert not block.branch.dense2.weight.any()
        spread = float(block.branch.dense1.weight.detach().std())
        assert abs(spread / (2 / remedies.WIDTH / remedies.BLOCKS) ** 0.5 - 1) < 0.1


def test_a_shortcut_helps_a_deep_stack_around_however_many_layers():
    def reached(**which):
        kept = {"part": "run", "relu_inside": False, "near": None, **which}
        return mean("train_accuracy", "branch_layers", **kept)

    plain, around = reached(layers=0), [reached(layers=n) for n in (1, 2, 3)]
    assert min(around) > plain + 0.2 and max(around) - min(around) < 0.02
    assert reached(layers=1, relu_inside=True) > plain + 0.2
    near = [reached(layers=0, near=a) for a in (1.0, 0.3, 0.1, 0.0)]  # plain ones near I
    assert abs(near[0] - plain) < 0.1 and plain + 0.15 < near[1] < near[2] < near[3] < min(around)


def test_a_stack_that_starts_near_the_identity_is_that_with_the_usual_start_and_no_other():
    usual, near, at = (branch_layers.stack(0, 0, near=near) for near in (None, 0.3, 0.0))
    for a, b, c in zip(usual.parameters(), near.parameters(), at.parameters(), strict=True):
        if a.shape == (branch_layers.WIDTH, branch_layers.WIDTH):
            eye = torch.eye(branch_layers.WIDTH)
            assert torch.allclose(b, eye + 0.3 * a) and torch.equal(c, eye)
        else:
            assert torch.equal(a, b) and torch.equal(a, c)


def test_more_training_shrinks_the_lead_of_shortcuts():
    for field, depth in (("images", 32), ("harder images", 20), ("MNIST", 32), ("speech", 25)):
        leads = []
        for epochs in budget.EPOCHS[field]:
            arms = [budget.scores(field, depth, residual, epochs) for residual in (True, False)]
            assert min(map(len, arms)) >= 3
            leads.append(arms[0].mean() - arms[1].mean())
        assert leads == sorted(leads, reverse=True) and leads[-1] < leads[0] / 3 < leads[0]


def test_a_budget_that_was_not_run_is_refused():
    with pytest.raises(ValueError, match="chooses none"):
        budget.scores("images", 32, True, 7)
