"""The race as a reader meets it: from file://, by keys, by touch, on paper, with little motion."""

from __future__ import annotations

import gzip
import json
import re

import pytest

from tools.race_still import FIGURE, LIVE, SCRIPTS

PLAIN, RESIDUAL = "tbody tr:nth-child(1) td", "tbody tr:nth-child(2) td"
YOURS = f"{RESIDUAL}:nth-of-type(7)"
COUNT = """() => {
  window.count = {frames: 0, draws: 0};
  (function tick() { count.frames++; requestAnimationFrame(tick); })();
  new MutationObserver(() => count.draws++)
    .observe(document.querySelector(".race-count"), {childList: true});
}"""
DONE = "document.querySelectorAll('.race-strip u').length >= {marks}"


@pytest.fixture(scope="module")
def address(tmp_path_factory):
    """A page that holds the figure alone, and loads its files as a built page does."""
    scripts = "".join(f'<script defer src="{(LIVE / s).as_uri()}"></script>' for s in SCRIPTS)
    style = f'<link rel="stylesheet" href="{(LIVE / "race" / "race.css").as_uri()}">'
    shift = """<script>window.shifted = 0;
      new PerformanceObserver((list) => list.getEntries().forEach((e) => {
        if (!e.hadRecentInput) shifted += e.value;
      })).observe({type: "layout-shift", buffered: true});</script>"""
    file = tmp_path_factory.mktemp("race") / "page.html"
    view = '<meta charset="utf-8"><meta name="viewport" content="width=device-width">'
    file.write_text(
        f"<!doctype html><html lang=en>{view}<title>Race</title>{style}{shift}{scripts}"
        f"<body>{FIGURE.read_text('utf-8')}<p>below</p></html>",
        encoding="utf-8",
    )
    return file.as_uri()


@pytest.fixture
def visit(browser, address):
    """Open the page; calm asks for reduced motion, where a run shows its end alone, and soon."""
    opened = []

    def visit(calm=True, **options):
        options = {"viewport": {"width": 1280, "height": 1000}, **options}
        motion = "reduce" if calm else "no-preference"
        page = browser.new_page(reduced_motion=motion, **options)
        page.problems = []
        page.on("pageerror", lambda error: page.problems.append(str(error)))
        page.on("console", lambda m: page.problems.append(m.text) if m.type == "error" else None)
        page.goto(address)
        opened.append(page)
        return page

    yield visit
    problems = [problem for page in opened for problem in page.problems]
    for page in opened:
        page.close()
    assert not problems


def finish(page, marks=1):
    """Wait for the end of a run; a run of both networks leaves two marks."""
    page.wait_for_function(DONE.format(marks=marks))


def sentence(page):
    return page.locator(".race-says").inner_text()


def kind(page):
    """Return which sentence of the catalogue is shown."""
    words = page.evaluate("companionWords.race")
    for group in ("look", "outcome"):
        for name, text in words[group].items():
            if re.fullmatch(re.sub(r"\\\{\w+\\\}", ".+", re.escape(text)), sentence(page)):
                return name
    raise AssertionError(sentence(page))


def percents(page):
    """Return the accuracies that stand beside the curves."""
    shown = page.locator(".race-end:not([hidden]) b").all_inner_texts()
    return [int(text.removesuffix(" %")) for text in shown]


def test_nothing_moves_until_asked_where_motion_is_reduced(visit):
    page = visit()
    still = page.locator(".race-loss").inner_html()
    page.wait_for_timeout(500)
    assert page.locator(".race-loss").inner_html() == still
    page.evaluate(COUNT)
    page.locator(".race-play").click()
    finish(page)
    assert page.evaluate("count.draws") == 1  # the end, and nothing between
    # The still picture is this run.
    assert page.locator(".race-loss .race-plain").get_attribute("d") in still


# What may come out depends on rounding; that the sentence says what came out does not.
@pytest.mark.parametrize(
    "preset, arms, kinds",
    [
        ("shallow", 2, {"level", "ahead", "behind"}),
        ("deep", 1, {"stuck", "slow"}),
        ("sum", 2, {"exploded"}),
        ("scaled", 2, {"learns", "ahead"}),
    ],
)
def test_a_click_leads_to_what_it_says(preset, arms, kinds, visit):
    page = visit()
    (button := page.locator(f"[data-preset={preset}]")).click()
    assert kind(page) == preset
    finish(page, arms)
    assert button.get_attribute("aria-pressed") == "true"
    assert kind(page) in kinds
    accuracy = percents(page)
    assert len(accuracy) == arms and all(f"{value} %" in sentence(page) for value in accuracy)
    if preset == "shallow":
        assert min(accuracy) > 80
    else:
        assert accuracy[0] < 88
    if preset == "sum":
        assert accuracy[1] < 50
        assert "10⁸" in page.locator(".race-loss .race-ticks").inner_text()
    if preset == "scaled":
        assert accuracy[1] > 88


def test_it_begins_by_itself_in_view_and_can_be_paused(visit):
    page = visit(calm=False)
    play, count = page.locator(".race-play"), page.locator(".race-count")
    page.wait_for_function("document.querySelector('.race-play').textContent === 'Pause'")
    assert kind(page) == "scaled"
    page.wait_for_function("!/step 300/.test(document.querySelector('.race-count').textContent)")
    play.click()
    page.wait_for_timeout(300)  # what was on its way
    paused = count.inner_text()
    page.wait_for_timeout(500)
    assert count.inner_text() == paused != "step 300 of 300"
    assert play.inner_text() == "Go on"
    play.click()
    finish(page, 2)
    assert count.inner_text() == "step 300 of 300" and play.inner_text() == "Run again"
    assert page.evaluate("shifted") < 0.01


def test_it_waits_below_the_fold_and_rests_in_a_hidden_tab(visit, address):
    page = visit(calm=False, viewport={"width": 1280, "height": 150})
    page.wait_for_timeout(400)
    assert page.locator(".race-play").inner_text() == "Run again"
    page.set_viewport_size({"width": 1280, "height": 1000})
    page.wait_for_function(
        "/step \\d\\d? of/.test(document.querySelector('.race-count').textContent)"
    )
    hide = """hidden => {
      Object.defineProperty(document, "hidden", {value: hidden, configurable: true});
      document.dispatchEvent(new Event("visibilitychange"));
    }"""
    page.evaluate(hide, True)
    page.wait_for_timeout(300)
    resting = page.locator(".race-count").inner_text()
    page.wait_for_timeout(500)
    assert page.locator(".race-count").inner_text() == resting != "step 300 of 300"
    page.evaluate(hide, False)
    finish(page, 2)


def test_it_draws_at_most_once_a_frame(visit):
    page = visit(calm=False, viewport={"width": 1280, "height": 150})
    page.evaluate(COUNT)
    page.set_viewport_size({"width": 1280, "height": 1000})
    finish(page, 2)
    assert 1 < page.evaluate("count.draws") <= page.evaluate("count.frames")


def test_all_of_it_by_keys(visit):
    page = visit()
    page.locator(".race-depth").focus()
    page.keyboard.press("Home")
    assert page.locator(".race-layers").inner_text() == "2" and kind(page) == "own"
    finish(page, 2)
    page.locator("[name=race-shortcut]:checked").focus()
    page.keyboard.press("ArrowUp")
    assert page.locator("[value=sqrt]").is_checked()
    finish(page, 2)
    page.locator(".race-norm").focus()
    page.keyboard.press("Space")
    finish(page, 2)
    page.locator(".race-seed-next").focus()
    page.keyboard.press("Enter")
    finish(page, 4)
    assert page.locator(".race-seed").inner_text().startswith("Seed 2")
    said = page.locator(".race-strip").get_attribute("aria-label")
    assert re.fullmatch(r"(Seed [12]: plain \d+ %, with shortcuts \d+ %\. ?){2}", said)
    assert page.locator("[data-preset][aria-pressed=true]").count() == 0
    # A digit: a stroke from the top to the bottom.
    page.locator(".race-pad").focus()
    assert page.locator(YOURS).inner_text() == "–"
    for key in ["ArrowRight"] * 3 + ["Space", "ArrowDown"] * 8:
        page.keyboard.press(key)
    page.wait_for_function(f"/\\d/.test(document.querySelector('{YOURS}').textContent)")
    page.keyboard.press("Delete")
    page.wait_for_function(f"document.querySelector('{YOURS}').textContent === '–'")


def test_names_for_those_who_do_not_see_the_picture(visit):
    page = visit()
    unnamed = """all => all.filter(e => !(e.textContent.trim() || e.getAttribute("aria-label") ||
      e.labels?.[0]?.textContent.trim())).length"""
    assert page.locator(".race :is(button, input, canvas)").evaluate_all(unnamed) == 0
    assert page.locator(".race [role=img]:not([aria-label])").count() == 0
    alts = page.locator(".race img").evaluate_all("all => all.map(i => i.alt)")
    assert alts == ["2", "3", "5", "7", "8", "9"]


def test_a_drawing_is_read_and_another_read_anew(visit):
    page = visit()
    page.locator(".race-play").click()
    finish(page, 2)
    box = page.locator(".race-pad").bounding_box()

    def stroke(*points):
        page.locator(".race-clear").click()
        at = [(box["x"] + box["width"] * x, box["y"] + box["height"] * y) for x, y in points]
        page.mouse.move(*at[0])
        page.mouse.down()
        for point in at[1:]:
            page.mouse.move(*point, steps=12)
        page.mouse.up()
        page.wait_for_function(f"/\\d/.test(document.querySelector('{YOURS}').textContent)")
        page.wait_for_timeout(300)
        return page.locator(YOURS).inner_text()

    one = stroke((0.5, 0.04), (0.5, 0.96))
    ring = [(0.5, 0.05), (0.27, 0.25), (0.25, 0.75), (0.5, 0.95), (0.73, 0.75), (0.75, 0.25)]
    nought = stroke(*ring, (0.5, 0.05))
    assert one == "1" and nought == "0"


def test_by_touch_on_a_phone(visit):
    page = visit(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.locator("[data-preset=deep]").tap()
    finish(page, 1)
    assert kind(page) in {"stuck", "slow"}
    assert page.locator(PLAIN).first.inner_text() != "–"
    assert page.locator(RESIDUAL).first.inner_text() == "–"  # it does not run
    page.locator(".race-pad").tap()
    yours = f"{PLAIN}:nth-of-type(7)"
    page.wait_for_function(f"/\\d/.test(document.querySelector('{yours}').textContent)")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    small = """all => all.filter(e => e.textContent.trim() && e.checkVisibility() &&
      parseFloat(getComputedStyle(e).fontSize) < 12).length"""
    assert page.locator(".race *").evaluate_all(small) == 0
    page.add_style_tag(content="* {letter-spacing: 0.12em; word-spacing: 0.16em}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


@pytest.mark.parametrize("width", [390, 1280])
def test_without_scripts_and_on_paper_the_still_picture_stands(width, visit):
    still = visit(java_script_enabled=False, viewport={"width": width, "height": 1000})
    paper = visit(viewport={"width": width, "height": 1000})
    paper.emulate_media(media="print")
    for page in (still, paper):
        assert page.locator(".race-says").is_visible() and page.locator(".race-loss").is_visible()
        assert re.search(r"with shortcuts \d+ %", sentence(page))
        assert page.locator(".race :is(button, input, canvas)").locator("visible=true").count() == 0
        for name in ("plain", "residual"):
            assert len(page.locator(f".race-loss .race-{name}").get_attribute("d")) > 300
    assert still.locator(".race-says").evaluate("e => e.scrollHeight <= e.clientHeight + 1")


def test_every_sentence_has_its_room(visit):
    """No sentence of the catalogue makes what stands below it move."""
    for width in (390, 768, 1280):
        page = visit(viewport={"width": width, "height": 1000})
        heights = page.evaluate(
            """() => {
              const {look, outcome} = companionWords.race;
              const says = document.querySelector(".race-says");
              return [...Object.values(look), ...Object.values(outcome)].map((text) => {
                says.textContent = text.replace(/\\{layers\\}/g, "60").replace(/\\{loss\\}/, "10⁷")
                  .replace(/\\{\\w+\\}/g, "100 %");
                return says.offsetHeight;
              });
            }"""
        )
        assert len(set(heights)) == 1, (width, heights)


def test_its_bytes():
    files = [LIVE / s for s in SCRIPTS if s != "words.js"] + [LIVE / "race" / "race.css", FIGURE]
    words = json.dumps(re.search(r"  race: \{.*?\n  \},", (LIVE / "words.js").read_text(), re.S)[0])
    sent = [gzip.compress(file.read_bytes()) for file in files] + [gzip.compress(words.encode())]
    assert sum(map(len, sent)) <= 48 * 1024
    assert sum(file.stat().st_size for file in files) <= 76 * 1024
