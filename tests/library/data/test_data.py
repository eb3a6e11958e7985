"""The data that ship inside this package and others: shapes, splits, terms, what is refused."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from functools import cache

import numpy as np
import pytest

from companion.data import _shipped
from companion.data.brain import brain
from companion.data.dates import dates
from companion.data.digits import digits8
from companion.data.photographs import photographs
from companion.data.speech import japanese_vowels

digits, vowels, pairs, photos = map(cache, (digits8, japanese_vowels, dates, photographs))
scans = cache(brain)


def rows(array):
    return {row.tobytes() for row in array}


def test_small_digits_are_split_evenly_and_always_alike():
    d = digits()
    assert d.x_train.shape == (1437, 8, 8, 1) and d.x_test.shape == (360, 8, 8, 1)
    assert d.x_train.dtype == np.float32 and d.y_train.dtype == d.y_test.dtype == np.int64
    for x in (d.x_train, d.x_test):
        assert set(np.unique(x * 16)) == set(range(17))
    assert np.bincount(d.y_test).tolist() == [36] * 10 and set(d.y_train) == set(range(10))
    assert not rows(d.x_train) & rows(d.x_test)
    assert d.y_test[:10].tolist() == [6, 6, 6, 2, 5, 6, 6, 2, 2, 1]
    assert (digits8().x_train == d.x_train).all()


def test_small_digits_carry_their_own_labels():
    d = digits()
    means = np.stack([d.x_train[d.y_train == k].mean(0) for k in range(10)])
    nearest = ((d.x_test[:, None] - means) ** 2).sum((2, 3, 4)).argmin(1)
    assert (nearest == d.y_test).mean() > 0.85


def test_vowels_keep_the_original_split_and_their_lengths():
    v = vowels()
    assert v.x_train.shape == (270, 29, 12) and v.x_test.shape == (370, 29, 12)
    assert v.x_train.dtype == np.float32 and v.lengths_train.dtype == v.y_test.dtype == np.int64
    assert np.bincount(v.y_train).tolist() == [30] * 9
    assert np.bincount(v.y_test).tolist() == [31, 35, 88, 44, 29, 24, 40, 50, 29]
    lengths = np.concatenate([v.lengths_train, v.lengths_test])
    assert (lengths.min(), lengths.max()) == (7, 29)
    for x, ends in ((v.x_train, v.lengths_train), (v.x_test, v.lengths_test)):
        assert ((x != 0).all(2) == (np.arange(29) < ends[:, None])).all()
    assert not rows(v.x_train) & rows(v.x_test)


def test_vowels_are_normalised_by_training_frames_alone():
    v = vowels()
    frames = v.x_train[np.arange(29) < v.lengths_train[:, None]]
    assert np.allclose(frames.mean(0), 0, atol=1e-5) and np.allclose(frames.std(0), 1, atol=1e-5)
    others = v.x_test[np.arange(29) < v.lengths_test[:, None]]
    assert abs(others.mean(0)).max() > 0.05
    # The first two numbers of the file: coefficient 1 in the first two frames of speaker 1.
    first = v.x_train[0] * v.std + v.mean
    assert np.allclose(first[:2, 0], [1.860936, 1.891651], atol=1e-5) and v.lengths_train[0] == 20


def test_vowels_leave_a_validation_part_of_every_speaker():
    v = vowels()
    part = v.validation(90)
    assert np.bincount(part.y_test).tolist() == [10] * 9 and len(part.x_train) == 180
    assert (part.x_test == v.x_train[180:]).all() and len(part.lengths_test) == 90
    assert not rows(part.x_train) & rows(part.x_test)
    for size in (0, 270, 1.5):
        with pytest.raises(ValueError, match="size"):
            v.validation(size)


def test_scans_have_a_gap_between_the_parts():
    b = scans()
    assert b.x_train.shape == (40, 112, 96, 1) and b.x_test.shape == (16, 112, 96, 1)
    assert b.y_train.shape == (40, 112, 96) and b.y_test.shape == (16, 112, 96)
    assert b.x_train.dtype == np.float32 and b.y_train.dtype == b.z_test.dtype == np.int64
    assert abs(b.z_test[:, None] - b.z_train).min() == 6
    assert b.z_train.min() < b.z_test.min() and b.z_test.max() < b.z_train.max()
    part = b.validation()
    assert len(part.x_test) == len(part.y_test) == 8 and len(part.x_train) == 32
    assert abs(part.z_test[:, None] - part.z_train).min() == 18
    assert not set(part.z_test) & set(b.z_test)


def test_scans_show_what_their_labels_say():
    clean = brain(noise=0)
    assert clean.x_train.min() == 0 and 0.9 < clean.x_train.max() <= 1
    for x, y, z, shares in (
        (clean.x_train[..., 0], clean.y_train, clean.z_train, [0.750, 0.164, 0.086]),
        (clean.x_test[..., 0], clean.y_test, clean.z_test, [0.683, 0.193, 0.124]),
    ):
        nothing, grey, white = (x[y == k].mean() for k in range(3))
        assert np.bincount(y.ravel()) / y.size == pytest.approx(shares, abs=1e-3)
        assert nothing < 0.1 < 0.5 < grey < 0.75 < white
        lowest = y[z.argmin()] > 0  # cerebellum: it lies at the back, which is down
        assert np.argwhere(lowest)[:, 0].mean() > 64
        middle = x[abs(z).argmin()]
        assert abs(middle - middle[:, ::-1]).mean() < 0.05 < abs(middle - middle[::-1]).mean()


def test_noise_on_scans_is_asked_for_and_repeatable():
    clean, b = brain(noise=0), scans()
    added = b.x_train - clean.x_train
    assert added.std() == pytest.approx(0.08, rel=0.01) and abs(added.mean()) < 1e-3
    assert (b.y_train == clean.y_train).all() and (brain().x_test == b.x_test).all()
    assert (brain(seed=1).x_train != b.x_train).mean() > 0.99
    assert abs(np.corrcoef(added[0].ravel(), added[1].ravel())[0, 1]) < 0.05


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: brain(noise=-0.1), "noise"),
        (lambda: brain(noise=float("nan")), "noise"),
        (lambda: brain(seed=None), "seed"),
    ],
)
def test_bad_arguments_are_refused_by_name(call, named):
    with pytest.raises(ValueError, match=named):
        call()


@pytest.mark.parametrize(
    ("load", "package", "install"),
    [
        (dates, "babel", "residual-companion[language]"),
        (japanese_vowels, "sktime", "residual-companion[speech]"),
        (brain, "nilearn", "residual-companion[medical]"),
        (photographs, "skimage", "residual-companion[photographs]"),
        (photographs, "PIL", "residual-companion[photographs]"),
    ],
)
def test_a_missing_package_says_what_to_install(load, package, install, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        importlib.util, "find_spec", lambda name, *a: None if name == package else find(name, *a)
    )
    with pytest.raises(ModuleNotFoundError) as raised:
        load()
    assert f"pip install '{install}'" in str(raised.value) and raised.value.name == package
    if load in (dates, brain):  # bad arguments come first
        with pytest.raises(ValueError, match="seed"):
            load(seed=-1)


def test_a_package_without_the_file_says_to_upgrade():
    with pytest.raises(
        FileNotFoundError, match="data/no.png.*--upgrade 'residual-companion.photographs.'"
    ):
        _shipped.file("skimage", "data/no.png", "residual-companion[photographs]")


@pytest.mark.parametrize(
    ("load", "licence", "origin"),
    [
        (digits, "CC BY 4.0", "scikit-learn"),
        (pairs, "Unicode License V3", "Babel"),
        (vowels, "CC BY 4.0", "sktime"),
        (scans, "Copyright (C) 1993-2004 Louis Collins, McConnell Brain Imaging Centre", "nilearn"),
        (photos, "CC0 (brick, camera, chelsea, coffee, grass, gravel)", "scikit-image"),
    ],
)
def test_every_set_names_its_terms_and_its_source(load, licence, origin):
    assert licence in load().licence and origin in load().origin and load().name


def test_loading_needs_no_network_and_imports_no_other_package():
    code = (
        "import socket, sys; socket.socket = socket.create_connection = None; "
        "import importlib; m = lambda n: importlib.import_module('companion.data.' + n); "
        "m('brain').brain(); m('dates').dates(10); m('digits').digits8(); "
        "m('photographs').photographs(); m('speech').japanese_vowels(); "
        "print({'sklearn', 'sktime', 'nilearn', 'skimage', 'scipy', 'pandas'} & set(sys.modules))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"
