"""Figures that compute in the page: keys, pointers, and what is there without scripts."""

from __future__ import annotations

import re

import pytest
from live_figure import LIVE

from tools import stills


@pytest.mark.parametrize("name", stills.FIGURES)
def test_the_still_picture_is_what_the_script_draws(name, browser):
    page = browser.new_page()
    drawn = stills.still(page, name)
    page.close()
    assert drawn == (LIVE / name / "figure.html").read_text("utf-8"), "python -m tools.stills"


@pytest.mark.parametrize("name", stills.FIGURES)
@pytest.mark.parametrize("width", [1000, 390])
def test_without_scripts_the_still_picture_is_there(name, width, opened):
    page = opened(name, java_script_enabled=False, viewport={"width": width, "height": 900})
    shown = page.get_by_role("img")
    assert shown.count() == 1 and shown.is_visible()
    assert len(shown.get_attribute("aria-label")) > 100
    assert page.locator(".live-says").is_visible()
    assert not page.locator("input, button").first.is_visible()  # nothing that would not work


@pytest.mark.parametrize("name", stills.FIGURES)
@pytest.mark.parametrize("width", [1000, 390])
def test_the_living_figure_takes_the_place_of_the_still(name, width, opened):
    size = {"width": width, "height": 900}
    still = opened(name, scripts=False, viewport=size)
    live = opened(name, viewport=size)
    live.wait_for_selector(".live-on")
    box = "document.querySelector('figure').getBoundingClientRect().toJSON()"
    assert still.evaluate(box) == live.evaluate(box)
    assert not still.locator("input").first.is_enabled()
    assert live.locator("input, button").first.is_enabled()
    assert live.evaluate("document.documentElement.scrollWidth") <= width
    live.add_style_tag(content="* {letter-spacing: 0.12em; word-spacing: 0.16em}")
    assert live.evaluate("document.documentElement.scrollWidth") <= width


SLIDERS = {
    "chain": ("depth", "weight"),
    "block": ("scale", "shortcut", "point", "blocks"),
    "depth": ("blocks", "scale"),
}


@pytest.mark.parametrize("name, control", [(n, c) for n, ids in SLIDERS.items() for c in ids])
def test_keys_move_a_figure_and_what_it_says(name, control, opened):
    page = opened(name)
    page.wait_for_selector(".live-on")
    slider = page.locator(f"#live-{name}-{control}")
    picture = page.locator(".live-panels")
    shown = page.locator(f"div:has(> #live-{name}-{control}) .live-value")

    def state():
        return [
            slider.get_attribute("aria-valuetext"),
            picture.get_attribute("aria-label"),
            picture.inner_html(),
            page.locator(".live-says").inner_text(),
        ]

    slider.focus()
    before = state()
    for key in ("ArrowLeft", "PageDown", "Home", "End"):
        page.keyboard.press(key)
        after = state()
        assert after[2] != before[2] or key == "End"
        if key == "ArrowLeft":
            assert all(a != b for a, b in zip(after, before, strict=True))
        assert after[0].startswith(f"{shown.inner_text()}. ")
        assert not re.search(r"NaN|Infinity|undefined|null|\{", "".join(after))
        before = after


@pytest.mark.parametrize("weight", ["0", "-1"])
def test_a_chain_with_a_factor_of_zero_can_be_drawn(weight, opened):
    page = opened("chain")
    page.locator("#live-chain-weight").fill(weight)
    assert re.search(r"\b0 (in|with)", page.locator(".live-says").inner_text())
    assert "NaN" not in page.locator(".live-panels").inner_html()


def test_division_tames_the_chain(opened):
    page = opened("chain")
    said = []
    for name in ("1", "√L", "L"):
        page.get_by_label(name, exact=True).check()
        said.append(page.locator(".live-says").inner_text())
    assert "6.38 × 10⁸" in said[0] and f"{(1 + 0.5 / 50**0.5) ** 50:.3g} with" in said[1]
    assert f"{1.01**50:.3g} with" in said[2]
    assert all("8.88 × 10⁻¹⁶" in text for text in said)


@pytest.mark.parametrize("touch", [False, True])
def test_the_point_of_a_block_follows_the_pointer(touch, opened):
    page = opened("block", has_touch=touch)
    page.wait_for_selector(".live-on")
    point = page.locator("#live-block-point")
    box = page.locator(".live-drag").bounding_box()
    at = (box["x"] + 0.25 * box["width"], box["y"] + box["height"] / 2)
    if touch:
        page.touchscreen.tap(*at)
    else:
        page.mouse.move(*at)
        page.mouse.down()
    assert float(point.input_value()) == pytest.approx(-2.1, abs=0.1)
    if not touch:
        page.mouse.move(box["x"] + 3 * box["width"], at[1])  # past the edge of the picture
        page.mouse.up()
        assert float(point.input_value()) == 3
        page.mouse.move(*at)
        assert float(point.input_value()) == 3


@pytest.fixture
def pad(opened):
    """The figure of the digit, drawn on."""
    page = opened("digit", has_touch=True)
    assert page.locator("#live-digit-channel").is_disabled()
    page.get_by_role("button", name="Draw your own").click()
    page.wait_for_selector(".live-pad[role=application]")
    return page


def inked(page) -> int:
    """How many pieces of ink there are on the pad."""
    paths = page.locator(".live-pad .live-ink").evaluate_all("all => all.map(p => p.outerHTML)")
    return sum(path.count("z") for path in paths)


def test_the_kernels_are_loaded_when_somebody_draws(opened):
    page = opened("digit")
    page.wait_for_selector(".live-on")
    assert not page.evaluate("'companionKernels' in window")
    assert inked(page) > 20
    page.get_by_role("button", name="Draw your own").click()
    page.wait_for_selector(".live-pad[role=application]")
    assert inked(page) == 0
    assert page.evaluate("document.activeElement.matches('.live-pad')")
    page.get_by_role("button", name="The page").click()
    assert inked(page) > 20


def test_a_tap_on_the_still_pad_opens_it(opened):
    page = opened("digit", has_touch=True, viewport={"width": 390, "height": 900})
    page.wait_for_selector(".live-on")
    box = page.locator(".live-pad").bounding_box()
    page.touchscreen.tap(box["x"] + 20, box["y"] + 20)
    page.wait_for_selector(".live-pad[role=application]")
    assert inked(page) == 0


def test_a_digit_is_drawn_with_the_mouse(pad):
    box = pad.locator(".live-pad").bounding_box()
    empty = pad.locator(".live-maps").inner_html()
    pad.mouse.move(box["x"] + 0.3 * box["width"], box["y"] + 0.3 * box["height"])
    pad.mouse.down()
    pad.mouse.move(box["x"] + 0.7 * box["width"], box["y"] + 0.7 * box["height"])
    pad.mouse.up()
    drawn = inked(pad)
    assert drawn >= 10  # one stroke without gaps, though there was one event
    assert pad.locator(".live-maps").inner_html() != empty
    pad.mouse.move(box["x"] + 0.1 * box["width"], box["y"] + 0.9 * box["height"])
    assert inked(pad) == drawn


def test_a_digit_is_drawn_with_a_finger(pad):
    box = pad.locator(".live-pad").bounding_box()
    pad.touchscreen.tap(box["x"] + box["width"] / 2, box["y"] + box["height"] / 2)
    assert inked(pad) > 0
    assert pad.locator(".live-pad").evaluate("e => getComputedStyle(e).touchAction") == "none"


def test_a_digit_is_drawn_and_erased_with_keys(pad):
    said = pad.locator(".live-says")
    place = said.inner_text()
    pad.keyboard.press("ArrowRight")
    pad.keyboard.press("ArrowRight")
    moved = said.inner_text()
    assert moved != place
    numbers = [re.search(r"column (\d+)", text)[1] for text in (place, moved)]
    assert int(numbers[1]) == int(numbers[0]) + 1  # two pixels of the image, one of the stream
    pad.keyboard.press("Space")
    assert inked(pad) > 0
    assert said.inner_text() != moved
    pad.keyboard.press("Backspace")
    assert pad.locator('.live-pad [fill-opacity="1"]').count() == 0
    for key in ("ArrowUp", "ArrowLeft") * 30:
        pad.keyboard.press(key)
    assert "row 1, column 1:" in said.inner_text()


def test_without_the_shortcut_the_sum_is_the_branch(pad):
    pad.get_by_role("button", name="The page").click()
    value = r"−?\d+\.\d\d"
    with_it = pad.locator(".live-says").inner_text()
    pad.get_by_label("shortcut", exact=True).uncheck()
    without = pad.locator(".live-says").inner_text()
    carried, branch, total, _ = (float(v.replace("−", "-")) for v in re.findall(value, with_it))
    assert total == pytest.approx(carried + branch, abs=0.02) and carried != 0
    assert float(re.findall(value, without)[0].replace("−", "-")) == branch
    channel = pad.locator("#live-digit-channel")
    channel.focus()
    pad.keyboard.press("ArrowRight")
    assert "Channel" in channel.get_attribute("aria-valuetext")
    assert pad.locator(".live-says").inner_text() != without


@pytest.mark.parametrize("name, part", [
    ("chain", ".live-line.live-plain"), ("block", ".live-line.live-plain"),
    ("depth", ".live-line.live-plain"), ("digit", ".live-ink"),
])  # fmt: skip
def test_a_change_of_theme_needs_no_redraw(name, part, opened):
    page = opened(name)
    page.wait_for_selector(".live-on")
    paint = "e => getComputedStyle(e).stroke + getComputedStyle(e).fill"
    light, markup = page.locator(part).first.evaluate(paint), page.locator(".live").inner_html()
    page.evaluate("document.body.dataset.theme = 'dark'")
    assert page.locator(part).first.evaluate(paint) != light
    assert page.locator(".live").inner_html() == markup
    moving = "e => document.getAnimations().length"
    assert page.locator(".live").evaluate(moving) == 0  # nothing for reduced motion to still


def test_every_word_of_a_figure_stands_in_the_catalogue():
    for name in ("common.js", *(f"{name}/{name}.js" for name in stills.FIGURES)):
        text = (LIVE / name).read_text("utf-8")
        code = re.sub(r"(?m)//.*$", "", re.sub(r"(?s)/\*.*?\*/", "", text))
        sentences = re.findall(r"[\"'`]([A-Z][a-z]+ [^\"'`]*)[\"'`]", code)
        assert not sentences, (name, sentences)


def test_each_figure_stands_in_its_chapter():
    chapters = {"chain": "01_", "block": "02_", "digit": "03_", "depth": "04_"}
    assert set(chapters) == set(stills.FIGURES)
    for path in sorted(LIVE.parents[1].glob("*.ipynb")):
        for name in re.findall(r"\{live-figure\} (\w+)", path.read_text("utf-8")):
            assert path.name.startswith(chapters.pop(name, path.name)), (path.name, name)
    assert not chapters
