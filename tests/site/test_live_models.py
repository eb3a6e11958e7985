"""Trained networks in the page: they say what the same weights say in PyTorch."""

from __future__ import annotations

import math
import re
import shutil

import numpy as np
import pytest
import torch
from live_figure import LIVE, assets

from companion.book import live_models, results
from companion.book.experiments import live_dates, live_lesions
from companion.data import dates, digits8
from companion.data.dates import normalize_text
from companion.torch import lesions
from companion.translation import Translation
from tests.site.conftest import document
from tools import live_weights as exported

WEIGHTS = {"lesions": ["lesions/weights.js"], "dates": ["dates/residual.js", "dates/plain.js"]}
ARMS = ("residual", "plain")


@pytest.fixture(scope="module")
def compute(browser):
    """Evaluate an expression on a page that has the scripts of a figure and its weights."""
    pages = {}

    def evaluate(name: str, expression: str, argument: object = None):
        if name not in pages:
            page = pages[name] = browser.new_page()
            for path in assets(name)["scripts"]:
                page.add_script_tag(path=LIVE.parent / path)
            for path in WEIGHTS[name]:
                page.add_script_tag(path=LIVE / path)
        return pages[name].evaluate(expression, argument)

    yield evaluate
    for page in pages.values():
        page.close()


@pytest.mark.parametrize("name", WEIGHTS)
def test_the_pages_files_are_made_from_the_stored_weights(name):
    files = exported.FIGURES[name]()
    assert {*files} == {*WEIGHTS[name], f"{name}/figure.html"}
    for path, content in files.items():
        assert (LIVE / path).read_text("utf-8") == content, f"{path}: python -m tools.live_weights"


def network(arm):
    weights = live_models.load("live_lesions")[arm]
    return live_lesions.with_weights(arm, live_models.rounded(weights))


LOGITS = """([arm, order]) => {
  const { network, digits } = companionLive.lesions;
  const net = network(companionWeights.lesions[arm], arm === "residual");
  return digits(companionWeights.lesions).map(({ image }) => [...net.logits(image, order)]);
}"""


@pytest.mark.parametrize("arm", ARMS)
def test_the_logits_of_all_test_digits_are_pytorchs(arm, compute):
    model, x = network(arm), torch.from_numpy(digits8().x_test).double()
    whole = list(range(live_lesions.BLOCKS))

    def check(order):
        with torch.no_grad():
            expected = model(x).numpy()
        found = np.array(compute("lesions", LOGITS, [arm, order]))
        np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-9)
        return found

    intact = check(whole)
    with lesions.without_blocks(model, ["1.blocks.2", "1.blocks.6"]):
        assert np.abs(check([0, 1, 3, 4, 5, 7]) - intact).max() > 0.1
    with lesions.swapped_blocks(model, "1.blocks.1", "1.blocks.4"):
        assert np.abs(check([0, 4, 2, 3, 1, 5, 6, 7]) - intact).max() > 0.1


def test_the_digits_are_the_test_part(compute):
    found = compute("lesions", "() => companionLive.lesions.digits(companionWeights.lesions)")
    images = np.array([one["image"] for one in found])
    np.testing.assert_array_equal(images, digits8().x_test.reshape(-1, 64))
    assert [one["label"] for one in found] == digits8().y_test.tolist()


@pytest.fixture(scope="module")
def task():
    return Translation.from_pairs(dates(size=1))


TRANSLATED = """([arm, texts]) => {
  const { task } = companionWeights["dates.residual"];
  const packed = companionWeights[`dates.${arm}`];
  const net = companionLive.dates.translator(packed, task, arm === "residual");
  const plain = ({ character, sure, logits, looks }) =>
    ({ character, sure, logits: [...logits], looks: looks.map((block) => [...block]) });
  return texts.map((text) => net.translated(text).written.map(plain));
}"""


class ExactPositions(torch.nn.Module):
    """The library's positions, whose angles it computes in 32 bits, in 64."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        half = x.shape[2] // 2
        rates = torch.exp(torch.arange(half).double() * (-math.log(1e4) / half))
        angles = torch.arange(x.shape[1]).double()[:, None] * rates
        return x + torch.cat([angles.sin(), angles.cos()], dim=1) / math.sqrt(half)


@pytest.mark.parametrize("positions, close", [("exact", 1e-9), ("library", 1e-5)])
@pytest.mark.parametrize("arm", ARMS)
def test_translations_are_pytorchs_logit_by_logit_and_look_by_look(
    arm, positions, close, task, compute
):
    weights = live_models.rounded(live_models.load("live_dates")[arm])
    model, pairs = live_dates.with_weights(arm, weights), task.pairs
    if positions == "exact":
        model.positions = ExactPositions()
    offset = len(pairs.source_vocabulary)
    firsts = [int(np.argmax(pairs.locales_test == name)) for name in set(pairs.locales_test)]
    texts = [*map(str, pairs.texts_test[firsts]), "Q 3 March 1987", "2031", "x"]
    lines = []

    def predict(given):
        lines[:] = [given]
        with torch.no_grad():
            return model(torch.from_numpy(given)).numpy()

    expected = task.translate(predict, *texts)
    logits, reads = predict(lines[0])[:, :, offset:], live_dates.attention_maps(model, lines[0])
    found = compute("dates", TRANSLATED, [arm, texts])
    for row, (said, written) in enumerate(zip(expected, found, strict=True)):
        assert "".join(one["character"] for one in written) == said
        for i, one in enumerate(written):
            at = task.start + i
            np.testing.assert_allclose(one["logits"], logits[row, at], rtol=close, atol=close)
            odds = np.exp(logits[row, at] - logits[row, at].max())
            assert one["sure"] == pytest.approx(odds.max() / odds.sum(), rel=close)
            for block, looks in enumerate(one["looks"]):
                mean = reads[block][row, :, at, : at + 1].mean(0)
                np.testing.assert_allclose(looks, mean, rtol=close, atol=close)


def test_texts_are_normalized_as_in_python(task, compute):
    texts = [
        "  3\u00a0MARCH\u202f1987 ",
        "E\u0301te\u0301\u200b 5",
        "\u0130stanbul \u1e9e \u03a3\u03a3",
        "a\ufeff\x1cb\x85c\td",
        "",
        *map(str, task.pairs.texts_test[::50]),
    ]
    found = compute("dates", "(texts) => texts.map(companionLive.dates.normalized)", texts)
    assert found == [normalize_text(text) for text in texts]


def test_the_error_function_is_pythons(compute):
    points = [*np.linspace(-7, 7, 281), 1e-12, 5.999, 6.001]
    found = compute("dates", "(points) => points.map(companionLive.dates.erf)", points)
    np.testing.assert_allclose(found, [math.erf(p) for p in points], rtol=1e-13, atol=0)


def test_weights_that_are_cut_short_are_refused(compute):
    cut = """() => {
      const { tensors, data } = companionWeights.lesions.plain;
      try { companionLive.models.unpacked({ tensors, data: data.slice(0, -8) }); }
      catch (error) { return String(error); }
    }"""
    assert re.search("Error", compute("lesions", cut) or "")


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("width", [1000, 390])
def test_without_scripts_there_is_a_picture_with_a_name(name, width, opened):
    page = opened(name, java_script_enabled=False, viewport={"width": width, "height": 900})
    shown = page.get_by_role("img")
    assert shown.count() == 1 and shown.is_visible()
    assert len(shown.get_attribute("aria-label")) > 100
    assert page.locator("button, input, select").count() == 0  # nothing that would not work
    assert page.evaluate("document.documentElement.scrollWidth") <= width


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_come_when_they_are_asked_for_and_their_size_is_said(name, opened):
    page, loaded = opened(name), []
    page.on("request", lambda request: loaded.append(request.url))
    button = page.get_by_role("button")
    assert button.count() == 1
    assert page.evaluate("window.companionWeights") is None
    files = [LIVE / path for path in WEIGHTS[name]]
    said = page.locator("[data-live] .live-buttons").inner_text()
    assert f"{round(files[0].stat().st_size / 1024)} KiB" in said
    page.keyboard.press("Tab")
    page.keyboard.press("Enter")
    page.wait_for_selector(".live-on")
    assert [url.rsplit("/", 1)[-1] for url in loaded] == [files[0].name]
    assert page.evaluate("document.activeElement !== document.body")


@pytest.mark.parametrize("name", WEIGHTS)
def test_weights_that_do_not_come_can_be_asked_for_again(name, browser, tmp_path):
    copy = tmp_path / "live"
    shutil.copytree(LIVE, copy)
    weights = copy / WEIGHTS[name][0]
    content = weights.read_bytes()
    weights.unlink()
    file = tmp_path / "figure.html"
    file.write_text(document(name, folder=copy), "utf-8")
    page = browser.new_page()
    page.goto(file.as_uri())
    page.get_by_role("button").click()
    page.get_by_text("could not be loaded").wait_for()
    assert page.get_by_role("img").is_visible()
    weights.write_bytes(content)
    page.get_by_role("button").click()
    page.wait_for_selector(".live-on")
    page.close()


def alive(page):
    page.get_by_role("button").click()
    page.wait_for_selector(".live-on")
    return page


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_a_living_figure_fits_a_phone_and_can_be_read(name, theme, opened):
    page = alive(opened(name, viewport={"width": 390, "height": 844}))
    page.evaluate("theme => { document.body.dataset.theme = theme }", theme)
    page.add_style_tag(content="* {letter-spacing: 0.12em; word-spacing: 0.16em}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    sizes = page.locator("button, select, input[type=text]").evaluate_all(
        "all => all.filter(e => e.offsetParent).map(e => Math.min(e.offsetWidth, e.offsetHeight))"
    )
    assert len(sizes) > 5 and min(sizes) >= 24
    unnamed = page.locator("button, input, select").evaluate_all(
        "all => all.filter(e => !(e.ariaLabel || e.textContent.trim() || e.labels?.length)).length"
    )
    assert unnamed == 0
    colours = page.locator("[data-live] :is(p, button, label, text, span, b)").evaluate_all(
        "all => all.filter(e => e.textContent.trim()).map(e => {"
        " const s = getComputedStyle(e);"
        " return e.tagName === 'text' ? s.fill : s.color; })"
    )
    paper = luminance(page.evaluate("getComputedStyle(document.body).backgroundColor"))
    for colour in set(colours):
        bright, dim = sorted((luminance(colour), paper), reverse=True)
        assert (bright + 0.05) / (dim + 0.05) >= 4.5, colour


def luminance(colour: str) -> float:
    parts = np.array([int(part) for part in re.findall(r"\d+", colour)[:3]]) / 255
    linear = np.where(parts <= 0.04045, parts / 12.92, ((parts + 0.055) / 1.055) ** 2.4)
    return float(linear @ [0.2126, 0.7152, 0.0722])


def counts(page) -> list[int]:
    said = page.locator(".live-says").inner_text()
    return [int(n) for n in re.search(r"(\d+) with shortcuts, (\d+) plain", said).groups()]


def test_taking_blocks_out_by_key_gives_the_stored_runs_numbers(opened):
    page, total = alive(opened("lesions")), len(digits8().y_test)
    runs = {a: results.runs("live_lesions", arm=a, weights="int8", seed=0)[0] for a in ARMS}
    whole = [round(runs[arm]["accuracy"] * total) for arm in ARMS]
    assert counts(page) == whole
    assert page.evaluate("document.activeElement.textContent") == "1"  # the first block
    for block in range(live_lesions.BLOCKS):
        button = page.get_by_role("button", name=f"Take out block {block + 1}")
        page.keyboard.press("Space")
        assert button.get_attribute("aria-pressed") == "true"
        assert f"Taken out: {block + 1}." in page.locator(".live-says").inner_text()
        assert counts(page) == [round(runs[arm]["each"][block] * total) for arm in ARMS]
        page.keyboard.press("Space")  # and back
        page.keyboard.press("Tab")
    assert counts(page) == whole
    float_ = [results.runs("live_lesions", arm=a, weights="float", seed=0)[0] for a in ARMS]
    note = page.locator(".lesions-note").inner_text()
    for row in float_:
        assert str(round(row["accuracy"] * total)) in note


def test_two_blocks_change_places_and_all_go_back(opened):
    page = alive(opened("lesions"))
    whole = counts(page)
    one, other = page.locator("select").all()
    one.select_option(label="2")
    other.select_option(label="5")
    page.get_by_role("button", name="change places").click()
    assert "Order of the blocks: 1, 5, 3, 4, 2, 6, 7, 8." in page.locator(".live-says").inner_text()
    shown = page.locator(".lesions-board button").all_inner_texts()
    assert shown == list("15342678")
    model, digits = network("residual").float(), digits8()
    with lesions.swapped_blocks(model, "1.blocks.1", "1.blocks.4"):
        right = live_lesions.accuracy(model, digits) * len(digits.y_test)
    assert counts(page)[0] == round(right)
    page.get_by_role("button", name="Take out block 5").click()
    assert "of these, taken out: 5" in page.locator(".live-says").inner_text()
    page.get_by_role("button", name="Put all back").click()
    assert counts(page) == whole
    assert page.locator(".lesions-board button").all_inner_texts() == list("12345678")


def test_the_next_mistake_is_one(opened):
    page = alive(opened("lesions"))
    page.get_by_role("button", name="Take out block 1").click()
    page.get_by_role("button", name="Next mistake").click()
    said = page.locator(".lesions-one").inner_text()
    label, residual = re.search(r"is a (\d)\. With shortcuts it is read as (\d)", said).groups()
    assert label != residual
    page.get_by_role("button", name="Next digit").click()
    assert page.locator(".lesions-one").inner_text() != said


def answer(page, row=0) -> str:
    return "".join(
        page.locator(".dates-answer .dates-row")
        .nth(row)
        .locator(".dates-character")
        .all_inner_texts()
    )


def test_a_typed_date_is_translated_at_once_and_said_after_a_pause(task, opened):
    page = alive(opened("dates"))
    weights = live_models.load("live_dates")
    models = {arm: live_dates.with_weights(arm, live_models.rounded(weights[arm])) for arm in ARMS}

    def expected(arm, text):
        with torch.no_grad():
            predict = lambda x: models[arm](torch.from_numpy(x)).numpy()  # noqa: E731
            return task.translate(predict, text)[0]

    text = "5 luglio 2011"
    page.keyboard.press("Control+a")
    page.keyboard.type(text)
    assert answer(page) == expected("residual", text)
    said = page.locator("#live-dates-says")
    page.wait_for_function(
        "t => document.querySelector('#live-dates-says').textContent.includes(t)", arg=text
    )
    assert said.inner_text() == f"{text} is translated as {expected('residual', text)}."
    page.get_by_role("button", name="without shortcuts").click()
    page.wait_for_function("() => companionWeights['dates.plain']")
    page.locator(".dates-answer.live-plain").wait_for()
    assert answer(page, 1) == expected("plain", text)


def test_a_test_date_is_judged_and_an_unfit_text_is_named(task, opened):
    page = alive(opened("dates"))
    index = next(i for i, (locale, *_) in enumerate(examples(page)) if locale == "de")
    locale, text, iso = examples(page)[index]
    page.locator("select").select_option(value=str(index))
    assert page.locator("input[type=text]").input_value() == text
    right = answer(page) == iso
    marked = page.locator("button.dates-wrong").count()
    assert (marked == 0) == right
    verdict = "which is right." if right else f"right is {iso}."
    page.get_by_text(verdict).wait_for()
    field = page.get_by_label("A date, as people write it")
    field.fill("x" * 41)
    page.get_by_text("may have 40 characters; this one has 41").wait_for()
    assert answer(page) == ""
    field.fill("")
    page.get_by_text("No date has been typed").wait_for()
    field.fill("3 ☃ 1987")
    page.get_by_text("no locale of the training data writes: 1.").wait_for()


def examples(page):
    return page.evaluate("companionWeights['dates.residual'].task.examples")


def test_attention_follows_the_chosen_character_and_block(opened):
    page = alive(opened("dates"))
    heights = "all => all.map(e => e.style.height)"
    bars = page.locator(".dates-source .dates-bar")
    first = bars.evaluate_all(heights)
    page.locator(".dates-answer button").nth(8).click()
    second = bars.evaluate_all(heights)
    assert second != first and "character 9" in page.locator(".dates-looks").inner_text()
    page.get_by_role("radio", name="1").check()
    assert bars.evaluate_all(heights) != second
    shares = [int(n) for n in re.findall(r"(\d+) %", page.locator(".dates-looks").inner_text())]
    assert len(shares) == 3 and 98 <= sum(shares) <= 102
    named = page.get_by_role("img").get_attribute("aria-label")
    assert page.locator(".dates-looks").inner_text() in named


def test_what_the_page_says_of_years_that_were_not_taught(compute):
    texts = ["15 August 1950", "15 August 2049", "15 August 1947"]
    found = compute("dates", TRANSLATED, ["residual", texts])
    said = ["".join(one["character"] for one in written) for written in found]
    assert said[:2] == ["1950-08-15", "2049-08-15"] and said[2] != "1947-08-15"
