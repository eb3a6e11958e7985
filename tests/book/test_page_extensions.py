"""What the pages' own extensions do to a page, on small pages made here."""

from __future__ import annotations

import base64
import io
import sys
from pathlib import Path

import numpy as np
import pytest
from docutils import nodes
from PIL import Image

sys.path.insert(0, str(Path(__file__).resolve().parents[2] / "book" / "_ext"))

import live_figure
import one_sheet
import photographs
import quiet_cells
import self_contained
import theme_options
import typeset_math


def png(pixels: np.ndarray) -> bytes:
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "PNG")
    return out.getvalue()


def page_with(image: bytes) -> str:
    data = base64.b64encode(image).decode()
    return f'<svg><image xlink:href="data:image/png;base64,\n{data}"/></svg>'


def test_a_photograph_keeps_every_pixel_in_its_file(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (40, 30, 3), dtype=np.uint8)
    moved = photographs.extract(page_with(png(pixels)), tmp_path, "../_images/")
    (file,) = tmp_path.iterdir()
    assert moved == f'<svg><image xlink:href="../_images/{file.name}"/></svg>'
    np.testing.assert_array_equal(np.asarray(Image.open(file).convert("RGB")), pixels)


def test_a_small_image_stays_in_the_page(tmp_path):
    page = page_with(png(np.zeros((4, 4, 3), dtype=np.uint8)))
    assert photographs.extract(page, tmp_path, "x/") == page
    assert not list(tmp_path.iterdir())


def cell(output: bool, *tags: str, ids: tuple[str, ...] = ()) -> nodes.container:
    code = nodes.container("", nodes.literal_block("x", "x"), classes=["cell_input"])
    made = nodes.container("", code, classes=["cell", *(f"tag_{tag}" for tag in tags)], ids=[*ids])
    if output:
        made += nodes.container("", nodes.paragraph("", "1"), classes=["cell_output"])
    return made


@pytest.mark.parametrize(
    "shown, expected",
    [
        (cell(False, "hide-input"), True),
        (cell(False, "hide-cell"), True),
        (cell(True, "hide-input"), False),
        (cell(False), False),
    ],
)
def test_a_hidden_cell_without_output_is_quiet(shown, expected):
    assert quiet_cells.shows_nothing(shown) is expected


def test_options_of_another_theme_are_dropped():
    known = theme_options.known_options()
    assert {"light_css_variables", "dark_css_variables", "top_of_page_buttons"} <= known
    assert "launch_buttons" not in known and "show_toc_level" not in known


def test_formulas_are_typeset_without_a_node_on_the_path(monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert Path(typeset_math.node()).is_file()


class Asset:
    def __init__(self, filename, **attributes):
        self.filename, self.attributes = filename, attributes


def test_scripts_of_another_theme_go_and_the_others_wait():
    first, late = Asset("_static/scripts/furo.js"), Asset("_static/copybutton.js")
    thebe, again = Asset("_static/sphinx-thebe.js"), Asset("_static/copybutton.js")
    context = {
        "script_files": [first, late, thebe, again],
        "css_files": [],
        "pathto": lambda path, _: f"../{path}",
        "body": '<div class="highlight">',
    }
    self_contained.lighten(None, "page", "page.html", context, None)
    assert context["script_files"] == [first, late]
    assert first.attributes["defer"] == late.attributes["defer"] == "defer"
    assert "'fonts/serif'" in context["metatags"] and "katex" not in context["metatags"]
    assert '"../_static/"+face' in context["metatags"]


def test_a_figure_that_asks_for_what_is_not_known_is_refused(tmp_path, monkeypatch):
    monkeypatch.setattr(live_figure, "LIVE", tmp_path)
    (tmp_path / "chain").mkdir()
    (tmp_path / "chain" / "figure.toml").write_text('scripts = ["../words.js", "chain.js"]\n')
    assert live_figure.assets("chain")["scripts"] == ["live/words.js", "live/chain/chain.js"]
    (tmp_path / "chain" / "figure.toml").write_text('script = "chain.js"\n')
    with pytest.raises(ValueError, match=r"unknown keys \['script'\]"):
        live_figure.assets("chain")


SHEETS = """<link rel="stylesheet" type="text/css" href="../_static/a.css?v=1" />
<link rel="stylesheet" href="../_static/katex/k.css?v=2">
<link rel="stylesheet" media="print" href="../_static/p.css">"""


def test_sheets_are_joined_in_their_order_and_find_their_files(tmp_path):
    (tmp_path / "katex").mkdir()
    (tmp_path / "a.css").write_text("/* a */ p { color: red }\n")
    (tmp_path / "katex/k.css").write_text(
        "@font-face{src:url(fonts/x.woff2)} b{background:url(data:,)}"
    )
    (tmp_path / "p.css").write_text("p { color: black }")
    page = one_sheet.join_sheets(SHEETS, tmp_path)
    (written,) = tmp_path.glob("sheet-*.css")
    assert page.count('rel="stylesheet"') == 2 and f'href="../_static/{written.name}"' in page
    css = written.read_text()
    assert css.index("red") < css.index('url("katex/fonts/x.woff2")') and "url(data:,)" in css
    assert "black" not in css and "/*" not in css
    (tmp_path / "a.css").write_text("p { color: blue }")
    again = one_sheet.join_sheets(page, tmp_path)
    changed = next(path for path in tmp_path.glob("sheet-*.css") if path != written)
    assert f'href="../_static/{changed.name}"' in again and written.name not in again
    assert "blue" in changed.read_text() and one_sheet.join_sheets(again, tmp_path) == again


def test_a_page_with_one_sheet_stays_as_it_is(tmp_path):
    (tmp_path / "a.css").write_text("p {}")
    page = '<link rel="stylesheet" href="_static/a.css">'
    assert one_sheet.join_sheets(page, tmp_path) == page


@pytest.mark.parametrize(
    "body, expected", [('<div class="sd-tab-set">', 2), ("<p>sd-tab-set</p>", 0)]
)
def test_a_page_loads_what_its_elements_need(body, expected):
    context = {
        "script_files": [Asset("_static/design-tabs.js")],
        "css_files": [Asset("_static/sphinx-design.min.css")],
        "pathto": lambda path, _: path,
        "body": body,
    }
    self_contained.lighten(None, "page", "page.html", context, None)
    assert len(context["script_files"] + context["css_files"]) == expected
