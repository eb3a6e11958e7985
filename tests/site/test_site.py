"""The built pages in a real browser: nothing from elsewhere, nothing broken, nothing unnamed."""

from __future__ import annotations

import os
import re
from pathlib import Path

import pytest

from companion.book.claims import ledger
from tests.site.conftest import SITE

PAGES = sorted(str(p.relative_to(SITE)) for p in SITE.glob("book/**/*.html"))


def test_there_are_pages() -> None:
    chapters = "01_background 02_idea 02_stream 03_algorithm 04_gradients 04_scale 04_conditioning"
    expected = f"welcome {chapters} 04_time 05_code 06_budget 08_without 08_production api/torch"
    assert {f"book/{name}.html" for name in expected.split()} <= set(PAGES)


# A browser allows less from file:// than from a server, so every page is read there.
SERVED = [f"book/{name}.html" for name in ("welcome", "04_scale", "09_faq", "api/torch")]


@pytest.mark.parametrize(
    "scheme, name", [("file", n) for n in PAGES] + [("http", n) for n in SERVED]
)
def test_page(scheme, name, browser, server) -> None:
    base = server if scheme == "http" else SITE.as_uri() + "/"
    page = browser.new_page(viewport={"width": 390, "height": 844})
    outside, problems = [], []
    page.on("request", lambda r: outside.append(r.url) if not own(r.url, base) else None)
    page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
    page.on("pageerror", lambda e: problems.append(str(e)))
    page.on("requestfailed", lambda r: problems.append(r.url))
    page.on("response", lambda r: problems.append(r.url) if r.status >= 400 else None)
    page.goto(base + name)
    page.wait_for_load_state("networkidle")
    assert page.locator(".math").count() <= page.locator(".math .katex").count()  # none is source
    assert not outside
    assert not problems
    unnamed = page.eval_on_selector_all(
        "img", "all => all.filter(i => !i.alt.trim() || /[/\\\\]|\\.(png|svg)$/.test(i.alt)).length"
    )
    assert unnamed == 0
    assert page.locator("article svg[role=img]:not([aria-label])").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    # Other fonts are wider; this is what WCAG 2.2 (1.4.12) has every page bear.
    page.add_style_tag(content="* {letter-spacing: 0.12em; word-spacing: 0.16em}")
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    page.close()


@pytest.mark.parametrize("name", PAGES)
def test_a_page_does_not_say_where_it_was_built(name) -> None:
    text = (SITE / name).read_text(encoding="utf-8")
    assert text.find(str(SITE.parents[1])) == -1


def own(url: str, base: str) -> bool:
    return url.startswith((base, "data:", "blob:"))


def test_a_chosen_framework_stays_chosen(browser, server) -> None:
    page = browser.new_page()
    page.goto(server + "book/05_code.html")
    page.locator("label.sd-tab-label", has_text="TensorFlow").first.click()
    chosen = page.locator("label.sd-tab-label[data-sync-id=tf]")
    assert chosen.count() >= 4
    for again in range(2):
        for i in range(chosen.count()):
            state = chosen.nth(i).evaluate("e => document.getElementById(e.htmlFor).checked")
            assert state, (again, i)
        page.goto(server + "book/welcome.html")
        page.goto(server + "book/05_code.html")
    page.close()


@pytest.mark.skipif("SCREENSHOTS" not in os.environ, reason="SCREENSHOTS names no folder")
@pytest.mark.parametrize("name", PAGES)
@pytest.mark.parametrize("width", [1280, 390])
@pytest.mark.parametrize("theme", ["light", "dark"])
def test_take_screenshots(name, width, theme, browser, server) -> None:
    page = browser.new_page(viewport={"width": width, "height": 900}, color_scheme=theme)
    page.goto(server + name)
    page.wait_for_load_state("networkidle")
    folder = Path(os.environ["SCREENSHOTS"])
    folder.mkdir(parents=True, exist_ok=True)
    target = folder / f"{Path(name).stem}-{width}-{theme}.png"
    page.screenshot(path=target, full_page=True)
    assert target.stat().st_size > 10_000
    page.close()


def turning(browser, server, name, index=0):
    page = browser.new_page(viewport={"width": 390, "height": 844})
    page.goto(server + name)
    turn = page.locator(".companion-turn").nth(index)
    return page, turn.locator("input"), turn.locator(".companion-frames > div")


def visible(frames):
    return [i for i in range(frames.count()) if frames.nth(i).is_visible()]


@pytest.mark.parametrize("name", ["01_background", "03_algorithm", "04_scale"])
def test_a_slider_moves_its_figure(name, browser, server):
    page, control, frames = turning(browser, server, f"book/{name}.html")
    assert len(visible(frames)) == 1
    control.focus()
    page.keyboard.press("Home")
    assert visible(frames) == [0] and frames.nth(0).locator("svg").is_visible()
    page.keyboard.press("End")
    assert visible(frames) == [frames.count() - 1]
    said = control.get_attribute("aria-valuetext")
    assert said == page.locator(".companion-turn output").first.inner_text() and said
    page.close()


@pytest.mark.parametrize("name", ["02_idea", "04_gradients"])
def test_a_choice_changes_its_figure_by_key_and_by_touch(name, browser, server):
    page, options, frames = turning(browser, server, f"book/{name}.html")
    assert options.count() == frames.count() >= 5 and visible(frames) == [0]
    options.first.focus()
    page.keyboard.press("ArrowRight")
    assert visible(frames) == [1]
    options.last.check()
    assert visible(frames) == [frames.count() - 1]
    page.close()


def test_passing_over_a_path_shows_it(browser, server):
    page, options, frames = turning(browser, server, "book/04_gradients.html")
    page.locator(".companion-turn label").nth(3).hover()
    assert visible(frames) == [3]
    page.close()


def test_paper_shows_every_position(browser, server):
    page, control, frames = turning(browser, server, "book/02_idea.html")
    page.emulate_media(media="print")
    assert visible(frames) == list(range(frames.count()))
    assert not control.first.is_visible()
    page.close()


@pytest.mark.parametrize("theme", ["light", "dark"])
def test_the_sheet_prints_on_one_page(theme, browser, server):
    page = browser.new_page(color_scheme=theme)
    page.goto(server + "book/sheet.html")
    printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 1
    a4 = [float(side) for side in re.search(rb"/MediaBox\s*\[([^\]]+)\]", printed)[1].split()[2:]]
    assert a4 == pytest.approx([595, 842], abs=2)  # points
    page.emulate_media(media="print")
    page.set_viewport_size({"width": 718, "height": 1055})  # A4 less its margins, in CSS pixels
    sheet = page.locator("#residual-connections-on-a-page")
    assert sheet.evaluate("e => getComputedStyle(e).color") == "rgb(0, 0, 0)"
    assert page.locator("#residual-connections-on-a-page > section").count() == 8
    wider = "all => all.filter(e => e.scrollWidth > e.clientWidth + 1).length"
    assert sheet.locator("table, p, li, div.math").evaluate_all(wider) == 0  # nothing is cut
    assert not page.locator(".sidebar-drawer, .cell_input").first.is_visible()
    page.close()


def test_every_verdict_is_linked_to_its_cell(browser, server):
    seen = 0
    for name in PAGES:
        page = browser.new_page()
        page.goto(server + name)
        for link in page.locator('a[href^="#claim-"]').all():
            target = page.locator(link.get_attribute("href"))
            assert target.count() == 1, (name, link.get_attribute("href"))
            assert f"Claim {link.inner_text()}." in target.evaluate(
                "e => e.closest('.cell').innerText"
            )
            seen += 1
        page.close()
    assert seen >= 21


def test_every_line_of_the_ledger_leads_to_its_cell(browser, server):
    page = browser.new_page()
    page.goto(server + "book/ledger.html")
    links = page.locator('a[href*="#claim-"]').evaluate_all("all => all.map(a => a.href)")
    assert len(links) == len(set(links)) == len(ledger())
    by_page: dict[str, list[str]] = {}
    for link in links:
        address, _, anchor = link.partition("#")
        by_page.setdefault(address, []).append(anchor)
    for address, anchors in by_page.items():
        page.goto(address)
        for anchor in anchors:
            cell = page.locator(f"#{anchor}")
            text = cell.evaluate("e => e.closest('.cell').innerText")
            assert f"Claim {anchor.removeprefix('claim-')}." in text, (address, anchor)
    page.close()
