"""The one setting of where the book is published, and every address that follows from it."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import notebook_copies
import pytest
from published import (
    NOTEBOOKS_BRANCH,
    Published,
    binder_url,
    colab_url,
    published,
    source_url,
    with_address,
)

from tools.first_cell import ID, with_cell

COMMIT = "0123456789abcdef0123456789abcdef01234567"
SETTING = {"BOOK_REPOSITORY": "Some-One/the.book", "BOOK_REF": COMMIT}
PAGE = "book/02_idea.ipynb"


@pytest.fixture(autouse=True)
def unset(monkeypatch):
    for name in (*SETTING, "BOOK_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def is_set(monkeypatch):
    for name, value in SETTING.items():
        monkeypatch.setenv(name, value)


def test_without_a_setting_there_is_no_address():
    assert published() is None and published({name: " " for name in SETTING}) is None
    assert colab_url(PAGE) is binder_url(PAGE) is source_url(PAGE) is None


def test_the_site_has_the_address_that_github_pages_gives_it_or_its_own():
    assert published(SETTING) == Published(
        "Some-One/the.book", COMMIT, "https://some-one.github.io/the.book/"
    )
    of_owner = {**SETTING, "BOOK_REPOSITORY": "Some-One/some-one.github.io"}
    assert published(of_owner).url == "https://some-one.github.io/"
    for given in ("https://book.example/a", "https://book.example/a/"):
        assert published({**SETTING, "BOOK_URL": given}).url == "https://book.example/a/"


@pytest.mark.parametrize(
    "name, value",
    [("BOOK_REPOSITORY", v) for v in ("book", "a/b/c", "a b/c", "-a/b", "a/..", "a/b?c", "a/ü")]
    + [("BOOK_REF", v) for v in ("", "-x", "a..b", "a b", "/a", "a/", "a//b", "x.lock", "a~1", '"')]
    + [("BOOK_URL", v) for v in ("x", "ftp://a", "https://", "https://a/?b", "https://a/#b")]
    + [("BOOK_URL", v) for v in ("https://u:p@a/", "https://a b/", "javascript:x")],
)
def test_a_bad_setting_is_named(name, value):
    with pytest.raises(ValueError, match=name):
        published({**SETTING, name: value})


@pytest.mark.parametrize("name", ["BOOK_REF", "BOOK_URL"])
def test_a_setting_without_a_repository_is_an_error(name):
    with pytest.raises(ValueError, match="BOOK_REPOSITORY"):
        published({name: "https://book.example/"})


def test_addresses(is_set):
    base = "Some-One/the.book"
    assert source_url(PAGE) == f"https://github.com/{base}/blob/{COMMIT}/{PAGE}"
    assert colab_url(PAGE) == (
        f"https://colab.research.google.com/github/{base}/blob/{NOTEBOOKS_BRANCH}/{PAGE}"
    )
    assert binder_url(PAGE) == (
        f"https://mybinder.org/v2/gh/{base}/{COMMIT}?urlpath=lab%2Ftree%2Fbook%2F02_idea.ipynb"
    )
    assert published().package == f"https://github.com/{base}/archive/{COMMIT}.zip"


def test_a_ref_with_a_slash_stays_one_part_for_binder(is_set, monkeypatch):
    monkeypatch.setenv("BOOK_REF", "release/1.0")
    assert "/Some-One/the.book/release%2F1.0?" in binder_url(PAGE)
    assert "/blob/release/1.0/" in source_url(PAGE)


@pytest.mark.parametrize("path", ["", "/etc/passwd", "../x", "a/../../x", "a\\b"])
@pytest.mark.parametrize("address", [colab_url, binder_url, source_url])
def test_a_path_is_one_of_the_repository(path, address, is_set):
    with pytest.raises(ValueError, match="path must name a file"):
        address(path)


def notebook() -> str:
    cells = [{"cell_type": "code", "id": ID}, {"cell_type": "markdown", "source": ["é\n"]}]
    return with_cell(json.dumps({"cells": cells, "nbformat": 4}), ["figures"])


def test_the_address_changes_its_line_and_nothing_else():
    before, package = notebook(), published(SETTING).package
    after = with_address(before, package)
    changed = [(a, b) for a, b in zip(before.split("\n"), after.split("\n"), strict=True) if a != b]
    assert changed == [
        ('    "PACKAGE = \\"\\"\\n",', f'    "PACKAGE = \\"{package}\\"\\n",'),
    ]
    assert with_address(after, "") == before


def test_no_address_is_put_where_none_belongs():
    with pytest.raises(ValueError, match="PACKAGE"):
        with_address('{"cells": []}', "https://a/b.zip")
    for bad in ('https://a/"+x+"', "https://a/\\n", "https://a/ b", "https://a/\nb"):
        with pytest.raises(ValueError, match="address"):
            with_address(notebook(), bad)


def test_downloads_hold_the_address_of_what_is_published(tmp_path, is_set, monkeypatch):
    copy = tmp_path / "_sources" / "book" / "page.ipynb"
    copy.parent.mkdir(parents=True)
    copy.write_text(notebook(), "utf-8")
    app = SimpleNamespace(builder=SimpleNamespace(format="html"), outdir=str(tmp_path))
    notebook_copies.fill(app, ValueError("a build that failed"))
    assert copy.read_text("utf-8") == notebook()
    notebook_copies.fill(app, None)
    assert copy.read_text("utf-8") == with_address(notebook(), published().package)
    monkeypatch.delenv("BOOK_REPOSITORY")
    monkeypatch.delenv("BOOK_REF")
    notebook_copies.fill(app, None)
    assert copy.read_text("utf-8") == notebook()


def test_the_build_uses_it():
    config = (Path(__file__).resolve().parents[2] / "_config.yml").read_text("utf-8")
    assert "    notebook_copies: book/_ext/\n" in config
