"""Axe on every page, in both themes, on a desk and on a phone."""

from __future__ import annotations

import pytest
from axe_playwright_python.sync_playwright import Axe

from tests.site.conftest import SITE

PAGES = sorted(str(p.relative_to(SITE)) for p in SITE.glob("**/*.html"))
# Nothing fades while a colour is measured: axe would see the colour on its way.
STILL = "*, *::before, *::after {transition: none !important; animation: none !important}"
VIOLATIONS = "resultTypes: ['violations'], preload: false}).then(found => found.violations)"
COLOURS = "'color-contrast', 'link-in-text-block'"
# Colours are asked in both themes, and at 390 pixels of all but code and formulas, whose colours
# no width changes; every other rule once at each width. That halves the time.
OF_CODE_ONCE = "{exclude: [['.highlight'], ['.katex-html']]}"
RUNS = {
    (1280, "light"): [f"axe.run(document, {{{VIOLATIONS}"],
    (1280, "dark"): [f"axe.run(document, {{runOnly: [{COLOURS}], {VIOLATIONS}"],
    (390, "light"): [
        f"axe.run(document, {{rules: {{'color-contrast': {{enabled: false}}}}, {VIOLATIONS}",
        f"axe.run({OF_CODE_ONCE}, {{runOnly: [{COLOURS}], {VIOLATIONS}",
    ],
    (390, "dark"): [f"axe.run({OF_CODE_ONCE}, {{runOnly: [{COLOURS}], {VIOLATIONS}"],
}


@pytest.fixture(scope="module")
def axe() -> str:
    return Axe().axe_script


@pytest.mark.parametrize("name", PAGES)
def test_axe_finds_nothing(name, axe, browser, server) -> None:
    page = browser.new_page()
    page.goto(server + name)
    page.wait_for_load_state("networkidle")
    page.add_style_tag(content=STILL)
    page.evaluate(axe)
    problems = []
    for (width, theme), runs in RUNS.items():
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
    page.set_content("<main><img src='data:,'><p style='color: #aaa'>pale</p></main>")
    page.evaluate(axe)
    assert {"image-alt", "color-contrast"} <= {
        v["id"] for v in page.evaluate(RUNS[1280, "light"][0])
    }
    page.close()
