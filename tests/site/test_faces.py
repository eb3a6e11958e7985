"""The faces that ship with the book hold what its pages show, and the names that they may bear."""

from __future__ import annotations

import re
import unicodedata

import pytest
from fontTools.ttLib import TTFont

from tools.fonts import FACES, VENDOR, characters, faces

FORMULAS = sorted((VENDOR / "katex" / "fonts").glob("*.woff2"))


def held(path) -> set[str]:
    return {chr(code) for code in TTFont(path).getBestCmap()}


@pytest.fixture(scope="module")
def shown() -> tuple[set[str], set[str]]:
    return characters()


@pytest.mark.parametrize("face", ["serif", "serif-italic", "serif-bold"])
def test_a_text_face_holds_the_western_letters_of_all_pages(face, shown):
    western = {c for c in shown[0] if ord(c) < 0x100 and unicodedata.category(c)[0] not in "CZ"}
    assert len(western) > 90
    assert western <= held(VENDOR / "fonts" / f"{face}.woff2")


def test_the_faces_of_formulas_hold_every_sign_of_all_formulas(shown):
    signs = {c for c in shown[1] if unicodedata.category(c) not in ("Cf", "Cc")}
    assert len(signs) > 80
    assert signs <= set().union(*(held(path) for path in FORMULAS))


def test_the_sheet_names_every_face_and_no_other():
    sheet = (VENDOR / "katex" / "katex.min.css").read_text("utf-8")
    assert set(re.findall(r"url\(fonts/([^)]+)\)", sheet)) == {path.name for path in FORMULAS}


@pytest.mark.parametrize("face", sorted(FACES))
def test_a_changed_face_bears_no_reserved_name_and_keeps_its_copyright(face):
    names = TTFont(VENDOR / "fonts" / f"{face}.woff2")["name"].names
    assert {record.nameID for record in names} <= {0, 13, 14}
    assert any(re.search("opyright|©", r.toUnicode()) for r in names if r.nameID == 0)


def test_the_sheet_of_text_faces_is_the_one_that_the_faces_make():
    assert (VENDOR / "fonts" / "faces.css").read_text("utf-8") == faces()
