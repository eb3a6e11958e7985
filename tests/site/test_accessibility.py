"""Axe on every page, in both themes, on a desk and on a phone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.site.conftest import SITE

# A page that leads on to another one at once has nothing to read.
PAGES = sorted(
    str(p.relative_to(SITE))
    for p in (*SITE.glob("*.html"), *SITE.glob("book/**/*.html"))
    if 'http-equiv="refresh"' not in p.read_text("utf-8")
)
# Nothing fades while a colour is measured: axe would see the colour on its way.
STILL = "*, *::before, *::after {transition: none !important; animation: none !important}"
ALL_BUT_COLOURS = """axe.run(document, {
  rules: {'color-contrast': {enabled: false}, 'link-in-text-block': {enabled: false}},
  resultTypes: ['violations'], preload: false,
}).then(found => found.violations)"""
# Colours depend on the theme, and are asked of two of each kind of text: elements of the same tags
# and classes, up to the page, have the same colours, and a page holds thousands of them.
COLOURS = """(() => {
  const seen = {};
  const include = [...document.querySelectorAll('body *')].filter(element => {
    if (![...element.childNodes].some(n => n.nodeType === 3 && n.data.trim())) return false;
    const formula = element.closest('.katex-html');
    let kind = formula ? getComputedStyle(element).color : element.tagName;
    for (let e = formula || element; e !== document.body; e = e.parentElement)
      kind += `>${e.tagName}.${e.getAttribute('class')}`;
    seen[kind] = (seen[kind] || 0) + 1;
    return seen[kind] <= 2;
  });
  return axe.run({include}, {
    runOnly: ['color-contrast', 'link-in-text-block'], resultTypes: ['violations'], preload: false,
  }).then(found => found.violations);
})()"""
RUNS = {
    (1280, "light"): [ALL_BUT_COLOURS, COLOURS],
    (1280, "dark"): [COLOURS],
    (390, "light"): [ALL_BUT_COLOURS, COLOURS],
    (390, "dark"): [COLOURS],
}


@pytest.fixture(scope="module")
def axe() -> str:
    return Axe().axe_script


#: Every third page each time, the widths and themes in turn; all of all once a week.
SOME = [(name, i % len(RUNS)) for i, name in enumerate(PAGES[::3])]


@pytest.mark.parametrize("name, run", SOME)
def test_axe_finds_nothing_in_one_width_and_theme(name, run, axe, browser, server) -> None:
    chosen = list(RUNS)[run]
    look(name, {chosen: [ALL_BUT_COLOURS, COLOURS]}, axe, browser, server)


@pytest.mark.exhaustive
@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(name, axe, browser, server) -> None:
    look(name, RUNS, axe, browser, server)


def look(name, runs_of, axe, browser, server) -> None:
    page = browser.new_page()
    page.goto(server + name)
    page.wait_for_load_state("networkidle")
    page.add_style_tag(content=STILL)
    page.evaluate(axe)
    problems = []
    for (width, theme), runs in runs_of.items():
        page.set_viewport_size({"width": width, "height": 844})
        page.emulate_media(color_scheme=theme)
        page.evaluate("theme => { document.body.dataset.theme = theme }", theme)
        page.wait_for_timeout(100)  # milliseconds, for what the page does when its width changes
        for violation in (found for run in runs for found in page.evaluate(run)):
            for node in violation["nodes"]:
                problems.append(
                    f"{width} {theme} {violation['id']}: {node['target'][0]}"
                    f" {node['html'][:160]} {node['failureSummary'][:300]}"
                )
    page.close()
    assert not problems, "\n".join(problems)


def test_axe_finds_what_is_planted(axe, browser) -> None:
    page = browser.new_page()
    page.set_content(
        "<main><img src='data:,'><p>dark</p><p>dark</p><p class='other' style='color: #aaa'>pale"
    )
    page.evaluate(axe)
    assert "image-alt" in {violation["id"] for violation in page.evaluate(ALL_BUT_COLOURS)}
    (found,) = page.evaluate(COLOURS)
    assert found["id"] == "color-contrast" and "pale" in found["nodes"][0]["html"]
    page.close()
