"""The full experiment on CIFAR-10: its recipe, its images, and its way on after an interruption."""

from __future__ import annotations

import json

import numpy as np
import pytest

from companion.book.experiments import cifar10, cifar10_images, cifar10_recipe
from companion.book.experiments.cifar10_recipe import LEARNERS, PaperRecipe


def arrays(train=256, test=64, side=8, channels=3):
    """Random images, as an .npz file holds them."""
    rng = np.random.default_rng(0)
    made = {}
    for part, n in (("train", train), ("test", test)):
        made[f"x_{part}"] = rng.integers(0, 256, (n, side, side, channels), np.uint8)
        made[f"y_{part}"] = np.arange(n) % 10
    return made


@pytest.fixture(autouse=True)
def threads_as_they_are(monkeypatch):
    """TensorFlow's number can be chosen once in a process, before anything runs."""
    import companion.tensorflow as ctf

    monkeypatch.setattr(ctf, "use_threads", lambda threads: None)


@pytest.fixture
def small(tmp_path):
    path = tmp_path / "small.npz"
    np.savez(path, **arrays())
    return path


def call(small, out, *more):
    cifar10.main(
        ["--images", str(small), "--out", str(out), "--depths", "8", "--seeds", "0"]
        + ["--epochs", "2", "--checkpoint", "1", *more]
    )


def rows(out):
    return json.loads((out / "cifar10.json").read_text())["runs"]


def test_the_recipe_is_the_papers():
    recipe = PaperRecipe(warm_up=400)
    assert recipe.steps == 64_000 and recipe.batch_size == 128
    assert recipe.momentum == 0.9 and recipe.weight_decay == 1e-4
    at = {0: 0.01, 399: 0.01, 400: 0.1, 31_999: 0.1, 32_000: 0.01, 48_000: 0.001}
    assert {step: recipe.rate(step) for step in at} == pytest.approx(at)


@pytest.mark.parametrize(
    ("more", "depth", "steps", "warm_up"),
    [
        ([], 56, 64_000, 0),
        ([], 110, 64_000, 400),
        (["--fraction", "0.01"], 110, 640, 4),
        (["--epochs", "160"], 20, 160 * 390, 0),
    ],
)
def test_steps_and_warm_up_follow_the_fraction(more, depth, steps, warm_up):
    chosen = cifar10.options().parse_args(more)
    recipe = cifar10.recipe_of(chosen, depth, 50_000)
    assert (recipe.steps, recipe.warm_up) == (steps, warm_up)


def test_a_batch_is_shifted_and_mirrored_and_depends_on_its_step_alone(small):
    images = cifar10_images.load(small)
    recipe = PaperRecipe(batch_size=64)
    epoch = [recipe.batch(images, 0, step) for step in range(4)]
    assert sorted(np.concatenate([y for _, y in epoch])) == sorted(images.y_train)
    x, _ = recipe.batch(images, 0, 2)
    assert np.array_equal(x, epoch[2][0]) and x.shape == (64, 8, 8, 3)
    still = PaperRecipe(batch_size=64, shift=0).batch(images, 0, 2)[0]
    order = np.random.default_rng([0, 0]).permutation(256)[128:192]
    same = (still == images.x_train[order]).all((1, 2, 3))
    mirrored = (still == images.x_train[order, :, ::-1]).all((1, 2, 3))
    assert (same | mirrored).all() and 16 < same.sum() < 48


def test_images_lose_their_mean_and_a_fraction_is_always_the_same(small):
    whole, tenth = cifar10_images.load(small), cifar10_images.load(small, 0.1)
    assert np.abs(whole.x_train.mean(0)).max() < 1e-5
    assert whole.x_train.std() == pytest.approx(1, abs=1e-4) and whole.num_classes == 10
    assert (len(tenth.x_train), len(tenth.x_test)) == (26, 6)
    assert np.array_equal(tenth.x_test, cifar10_images.load(small, 0.1).x_test)


def test_the_binary_version_is_read(tmp_path):
    made = arrays(train=10, test=2, side=32)
    for i, name in enumerate([*cifar10_images.TRAIN_FILES, cifar10_images.TEST_FILE]):
        part, place = ("test", slice(0, 2)) if i == 5 else ("train", slice(2 * i, 2 * i + 2))
        planes = made[f"x_{part}"][place].transpose(0, 3, 1, 2).reshape(2, -1)
        labels = made[f"y_{part}"][place, None].astype(np.uint8)
        np.concatenate([labels, planes], 1).astype(np.uint8).tofile(tmp_path / name)
    np.savez(tmp_path / "same.npz", **made)
    binary, same = (cifar10_images.load(p) for p in (tmp_path, tmp_path / "same.npz"))
    assert binary.name == "CIFAR-10" and same.name == "same"
    for name in cifar10_images.ARRAYS:
        assert np.array_equal(getattr(binary, name), getattr(same, name)), name


def test_without_images_cifar10_is_downloaded(monkeypatch):
    from keras import datasets

    made = arrays()
    part = [(made[f"x_{p}"], made[f"y_{p}"][:, None]) for p in ("train", "test")]
    monkeypatch.setattr(datasets.cifar10, "load_data", lambda: tuple(part))
    assert np.array_equal(cifar10_images.load(None).y_train, made["y_train"])


@pytest.mark.parametrize("framework", ["torch", "tensorflow"])
def test_an_interrupted_run_goes_on_as_if_nothing_had_happened(
    framework, small, tmp_path, monkeypatch, capsys
):
    which = ["--framework", framework]
    call(small, tmp_path / "whole", *which)
    learner, taken = LEARNERS[framework], []

    class Stopped(learner):
        def step(self, *given):
            if len(taken) == 6:  # the second network has taken two of its four steps
                raise KeyboardInterrupt
            taken.append(given)
            return super().step(*given)

    monkeypatch.setitem(cifar10_recipe.LEARNERS, framework, Stopped)
    with pytest.raises(KeyboardInterrupt):
        call(small, tmp_path / "parts", *which)
    left = sorted(path.name for path in (tmp_path / "parts").iterdir())
    assert left == [f"cifar10-{framework}-8-plain-0.npz", "cifar10.partial"]
    with pytest.raises(ValueError, match="--resume"):
        call(small, tmp_path / "parts", *which)
    taken.clear()
    call(small, tmp_path / "parts", *which, "--resume")
    assert len(taken) == 2
    for one, other in zip(rows(tmp_path / "whole"), rows(tmp_path / "parts"), strict=True):
        assert {**one, "seconds": 0} == {**other, "seconds": 0}
    assert [path.name for path in (tmp_path / "parts").iterdir()] == ["cifar10.json"]
    assert capsys.readouterr().out.count("Errors in per cent") == 2


def test_both_frameworks_take_the_same_steps(small):
    images = cifar10_images.load(small)
    recipe = PaperRecipe(batch_size=32, learning_rate=0.01, steps=8)
    losses = {}
    for framework, learner in LEARNERS.items():
        module = __import__(f"companion.{framework}", fromlist=["cifar_resnet"])
        model = learner(module.cifar_resnet(8, 4, seed=0), recipe, "cpu")
        steps = [(*recipe.batch(images, 0, s), recipe.rate(s)) for s in range(3)]
        losses[framework] = [float(model.step(*step)) for step in steps]
    assert losses["torch"] == pytest.approx(losses["tensorflow"], rel=1e-3)


def test_rows_of_other_depths_stay_and_the_table_has_them_all(small, tmp_path, capsys):
    call(small, tmp_path / "out", "--arms", "residual")
    arguments = ["--images", str(small), "--out", str(tmp_path / "out"), "--depths", "14"]
    cifar10.main([*arguments, "--seeds", "0", "--epochs", "1", "--arms", "plain", "--resume"])
    assert [(r["depth"], r["arm"]) for r in rows(tmp_path / "out")] == [
        (14, "plain"),
        (8, "residual"),
    ]
    capsys.readouterr()
    cifar10.main(["--table", "--out", str(tmp_path / "out")])
    printed = capsys.readouterr().out
    assert printed.count("Errors in per cent") == 2 and "diverged" not in printed


def test_the_table_puts_the_papers_numbers_beside_cifar10s():
    def row(depth, arm, error, images="CIFAR-10"):
        place = {"depth": depth, "arm": arm, "images": images}
        return {**place, "test_error": error, "train_error": error}

    found = [row(20, "residual", 9.0), row(20, "residual", 8.0), row(20, "plain", None)]
    last = cifar10.table(found).splitlines()[-1].split("  ")
    cells = [cell.strip() for cell in last if cell.strip()]
    assert cells == ["20", "diverged", "8.50 ± 0.71 (2)", "8.75", "diverged", "8.50 ± 0.71 (2)"]
    assert "8.75" not in cifar10.table([row(20, "plain", 9.0, "mine")])


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (["--depths", "21"], "depth"),
        (["--depths", "8", "8"], "depths"),
        (["--seeds", "-1"], "seed"),
        (["--epochs", "0"], "epochs"),
        (["--fraction", "0"], "fraction"),
        (["--fraction", "2"], "fraction"),
        (["--fraction", "0.1"], "fraction"),  # of 256 images it leaves no batch
        (["--checkpoint", "0"], "checkpoint"),
        (["--threads", "0"], "threads"),
        (["--device", "cuda"], "device"),
        (["--device", "tpu"], "device"),
        (["--device", "cpu:0"], "device"),
        (["--device", "cuda:99"], "device"),
        (["--framework", "tensorflow", "--device", "mps"], "device"),
        (["--images", "nowhere.npz"], "images"),
    ],
)
def test_a_bad_option_is_refused_before_anything_is_written(more, message, small, tmp_path):
    import torch

    if "cuda" in more and torch.cuda.is_available():
        pytest.skip("there is one")
    with pytest.raises(ValueError, match=message):
        call(small, tmp_path / "out", *more)
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("x_train", np.zeros((256, 8, 8, 3), np.float32), "x_train"),
        ("x_test", np.zeros((64, 9, 9, 3), np.uint8), "x_train and x_test"),
        ("y_train", np.zeros(3, int), "y_train"),
        ("y_test", np.full(64, -1), "y_test"),
        ("y_test", None, "y_test"),
    ],
)
def test_images_of_another_form_are_refused(name, value, message, tmp_path):
    made = {key: array for key, array in {**arrays(), name: value}.items() if array is not None}
    np.savez(tmp_path / "odd.npz", **made)
    with pytest.raises(ValueError, match=message):
        cifar10_images.load(tmp_path / "odd.npz")


def test_a_folder_without_the_files_and_a_checkpoint_of_another_run_are_refused(small, tmp_path):
    with pytest.raises(ValueError, match="data_batch_1"):
        cifar10_images.load(tmp_path)
    (tmp_path / "data_batch_1.bin").write_bytes(b"123")
    with pytest.raises(ValueError, match="3073"):
        cifar10_images.load(tmp_path)
    import companion.torch as ct

    images, stored = cifar10_images.load(small), tmp_path / "stored.npz"
    for steps, seed in ((1, 0), (1, 1)):
        recipe = PaperRecipe(steps=steps)
        learner = LEARNERS["torch"](ct.cifar_resnet(8, 4, seed=0), recipe, "cpu")
        if seed == 0:
            cifar10_recipe.train(learner, recipe, images, seed, stored, every=1)
        else:
            with pytest.raises(ValueError, match="resume"):
                cifar10_recipe.train(learner, recipe, images, seed, stored, every=1)


def test_a_run_that_diverges_is_a_row_without_numbers(small, tmp_path, monkeypatch):
    class Broken(LEARNERS["torch"]):
        def step(self, *given):
            return float("nan")

    monkeypatch.setitem(cifar10_recipe.LEARNERS, "torch", Broken)
    call(small, tmp_path / "out", "--arms", "plain")
    assert rows(tmp_path / "out")[0]["test_error"] is None
