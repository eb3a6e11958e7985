"""The fields' tasks and scores, and one trainer for all of them."""

from __future__ import annotations

import itertools
from types import SimpleNamespace

import numpy as np
import pytest
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion import data, metrics, translation
from tests.library.harness import exhaustive_but

torch.set_num_threads(1)
RNG = np.random.default_rng(0)


@pytest.fixture(scope="module")
def dates_task():
    return translation.Translation.from_pairs(data.dates(size=300))


def test_lines_hold_source_start_and_target(dates_task):
    t, pairs = dates_task, dates_task.pairs
    assert t.x_train.shape == t.y_train.shape == (300, 51) and t.start == 40
    source, target = pairs.source_vocabulary, pairs.target_vocabulary
    for row in range(20):
        text = "".join(source[i] for i in t.x_train[row, :40] if i)
        assert text == pairs.texts_train[row] and t.x_train[row, 39] != 0  # at the right end
        assert target[t.x_train[row, 40] - len(source)] == "<start>"
        said = "".join(target[i - len(source)] for i in t.y_train[row, 40:50])
        assert said == pairs.iso_train[row]
        assert (t.x_train[row, 41:] == t.y_train[row, 40:50]).all()
    assert (t.y_train[:, :40] == -1).all() and t.y_train.max() < t.num_classes
    assert len(t.take(7).x_train) == 7


def oracle(dates_task):
    """A 'model' that knows every test line, and is asked only about what it may see."""
    known = {
        tuple(line[:40]): answer
        for line, answer in zip(dates_task.x_test, dates_task.y_test, strict=True)
    }

    def predict(lines):
        logits = np.zeros((*lines.shape, dates_task.num_classes))
        for i, line in enumerate(lines):
            answer = known[tuple(line[:40])]
            # what has been written so far must be the right beginning, the rest still blank
            for at in range(40, 51):
                logits[i, at, answer[at]] = 1
        return logits

    return predict


def test_translations_are_completed_token_by_token(dates_task):
    assert dates_task.exact_match(oracle(dates_task), 50) == 1.0
    texts, iso = dates_task.pairs.texts_test[:3], dates_task.pairs.iso_test[:3]
    assert dates_task.translate(oracle(dates_task), *texts) == list(iso)

    def wrong(lines):
        return np.roll(oracle(dates_task)(lines), 1, axis=-1)

    assert dates_task.exact_match(wrong, 50) == 0.0
    with pytest.raises(ValueError, match="texts"):
        dates_task.translate(oracle(dates_task))


def test_five_hundred_dates_are_read_unless_more_are_asked_for(dates_task):
    asked = []

    def predict(lines):
        asked.append(len(lines))
        return np.zeros((*lines.shape, dates_task.num_classes))

    assert len(dates_task.x_test) > 600
    dates_task.exact_match(predict)
    dates_task.exact_match(predict, 600)
    assert set(asked) == {500, 600}


def test_a_step_sees_what_was_written_before(dates_task):
    seen = []

    def predict(lines):
        seen.append(lines[:, 40:].copy())
        return oracle(dates_task)(lines)

    dates_task.exact_match(predict, 2)
    assert len(seen) == 11
    for step, lines in enumerate(seen):
        right = dates_task.x_test[:2, 40 : 41 + step]
        assert (lines[:, : step + 1] == right).all()
        offset = len(dates_task.pairs.source_vocabulary)
        assert (lines[:, step + 1 :] == offset).all()  # still <pad>


def test_dice_counts_overlap():
    one = np.array([[0, 1, 1], [2, 2, 0]])
    other = np.array([[0, 1, 2], [2, 2, 0]])
    assert metrics.dice(one, other, 4).tolist() == pytest.approx([1, 2 / 3, 4 / 5, 1])
    with pytest.raises(ValueError, match="same shape"):
        metrics.dice(one, other[:1], 3)


def test_psnr_of_a_known_error():
    clean = np.zeros((4, 4))
    assert metrics.psnr(clean, clean + 0.1) == pytest.approx(20)
    for restored, named in ((clean, "infinite|equal"), (clean[:2], "same shape")):
        with pytest.raises(ValueError, match=named):
            metrics.psnr(clean, restored)


TOKENS = SimpleNamespace(
    x_train=RNG.integers(0, 9, (8, 6)),
    y_train=np.where(np.arange(6) < 3, -1, RNG.integers(0, 9, (8, 6))),
    num_classes=9,
)
FRAMES = SimpleNamespace(
    x_train=RNG.normal(size=(8, 7, 4)), y_train=RNG.integers(0, 3, 8), num_classes=3
)
PIXELS = SimpleNamespace(
    x_train=RNG.normal(size=(8, 4, 4, 1)), y_train=RNG.integers(-1, 3, (8, 4, 4)), num_classes=3
)
CLEAN = SimpleNamespace(x_train=PIXELS.x_train, y_train=PIXELS.x_train * 0.5)


#: What there is to train on, a small network for it, and the loss.
TASKS = {
    "tokens": (TOKENS, lambda c: c.transformer(9, 1, 8, seed=0), "cross_entropy"),
    "frames": (FRAMES, lambda c: c.speech_resnet(3, 4, 3, seed=0), "cross_entropy"),
    "pixels": (PIXELS, lambda c: c.residual_unet(1, 3, 1, 4, seed=0), "cross_entropy"),
    "images": (CLEAN, lambda c: c.dncnn(3, 4, seed=0), "squared_error"),
}
#: Tokens with both: Keras's own Adam adds the squares of an embedding's gradients, token by token.
FIRST = [
    *(("tokens", optimizer) for optimizer in ("sgd", "adam")),
    ("frames", "adam"),
    ("pixels", "sgd"),
    ("images", "adam"),
]


def trained_alike(task, optimizer):
    given, build, loss = TASKS[task]
    settings = {"epochs": 2, "batch_size": 8, "learning_rate": 0.01, "progress": False}
    settings |= {"optimizer": optimizer, "loss": loss}
    here, there = build(cp).double(), build(ct)
    one, other = cp.fit(here, given, **settings), ct.fit(there, given, **settings)
    assert one.loss[1] < one.loss[0]
    # Keras has the rates and the means of its history in float32.
    assert one.loss == pytest.approx(other.loss, rel=1e-5)
    assert one.accuracy == pytest.approx(other.accuracy, abs=1e-6)
    x = given.x_train[:3]
    assert cp.predict(here, x).shape == ct.predict(there, x).shape


@pytest.mark.usefixtures("keras_in_double", "nothing_compiled")
@pytest.mark.parametrize(
    ("task", "optimizer"),
    exhaustive_but(itertools.product(TASKS, ("sgd", "adam")), FIRST.__contains__),
)
def test_both_frameworks_train_every_task_alike(task, optimizer):
    trained_alike(task, optimizer)


@pytest.mark.usefixtures("keras_in_double")
@pytest.mark.parametrize(("task", "optimizer"), exhaustive_but(FIRST, ("tokens", "adam").__eq__))
def test_steps_that_keras_compiles_train_alike_too(task, optimizer):
    trained_alike(task, optimizer)


def test_labels_of_minus_one_do_not_count():
    x = RNG.normal(size=(40, 6, 12)).astype(np.float32)
    y = RNG.integers(0, 5, 40)
    half = np.where(np.arange(40) < 20, y, -1)
    for framework in (cp, ct):
        model = framework.speech_resnet(3, 12, 5, seed=0)
        loss, accuracy = framework.evaluate(model, x, half)
        assert (loss, accuracy) == pytest.approx(
            framework.evaluate(model, x[:20], y[:20]), rel=1e-4
        )


@pytest.mark.parametrize(
    ("changes", "settings", "named"),
    [
        ({"y_train": TOKENS.y_train + 9}, {}, "y_train must be from 0 to 8"),
        ({"y_train": TOKENS.y_train[:, :5]}, {}, "y_train must hold one integer label"),
        ({"y_train": TOKENS.y_train * 0 - 1}, {}, "y_train must be from 0"),
        ({"x_train": TOKENS.x_train[:0]}, {}, "x_train must not be empty"),
        ({}, {"shift": 2}, "shift must be 0"),
        ({}, {"optimizer": "rmsprop"}, "optimizer must be one of"),
        ({}, {"loss": "hinge"}, "loss must be one of"),
        ({"y_train": np.ones((3, 6))}, {"loss": "squared_error"}, "y_train must have one entry"),
    ],
)
def test_what_cannot_be_trained_is_refused_before_a_step(changes, settings, named):
    given = SimpleNamespace(**{**vars(TOKENS), **changes})
    for framework in (cp, ct):
        model = framework.transformer(9, 1, 8, seed=0)
        before = framework.predict(model, TOKENS.x_train[:2])
        with pytest.raises(ValueError, match=named):
            framework.fit(model, given, epochs=1, progress=False, **settings)
        assert (framework.predict(model, TOKENS.x_train[:2]) == before).all()
