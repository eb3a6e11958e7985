"""Cards beside links open for a mouse, for a keyboard and for a finger, and close again."""

from __future__ import annotations

import pytest

from tests.site.conftest import SITE

PAGE = "book/04_scale.html"
TERM = "article a.glossary-term"


@pytest.fixture(params=["file", "http"])
def address(request, server):
    return (SITE.as_uri() + "/" if request.param == "file" else server) + PAGE


def test_a_card_opens_on_hover_and_stays_while_it_is_read(browser, address):
    page = browser.new_page(viewport={"width": 1280, "height": 900})
    page.goto(address)
    assert page.evaluate("!window.companionCards")  # nothing is loaded before it is asked for
    link = page.locator(TERM).first
    link.hover()
    card = page.locator(".link-card")
    card.wait_for(state="visible")
    assert card.get_attribute("role") == "tooltip" and len(card.inner_text()) > 40
    assert link.get_attribute("aria-describedby") == card.get_attribute("id")
    card.hover()
    page.wait_for_timeout(600)
    assert card.is_visible()
    page.keyboard.press("Escape")
    assert card.is_hidden() and link.get_attribute("aria-describedby") is None
    page.close()


def test_a_card_opens_on_focus_and_closes_when_it_goes(browser, address):
    page = browser.new_page()
    page.goto(address)
    page.locator("article h1").click()
    for _ in range(80):
        page.keyboard.press("Tab")
        if page.evaluate(f"document.activeElement.matches({TERM!r})"):
            break
    page.locator(".link-card").wait_for(state="visible")
    page.keyboard.press("Tab")
    page.keyboard.press("Escape")
    assert page.locator(".link-card").is_hidden()
    page.close()


def test_a_tap_opens_a_card_and_a_second_one_follows_the_link(browser, address):
    page = browser.new_page(viewport={"width": 390, "height": 844}, has_touch=True, is_mobile=True)
    page.goto(address)
    link = page.locator(TERM).first
    link.tap()
    card = page.locator(".link-card")
    card.wait_for(state="visible")
    assert page.url == address
    box = card.bounding_box()
    assert box["x"] >= 0 and box["x"] + box["width"] <= 390
    page.wait_for_timeout(400)
    link.tap()
    page.wait_for_url("**/glossary.html#*")
    page.close()


def test_every_term_and_citation_has_a_card(browser, server):
    page = browser.new_page()
    page.goto(server + PAGE)
    page.locator(TERM).first.hover()
    page.wait_for_function("window.companionCards")
    without = page.evaluate(
        """() => [...document.querySelectorAll(
            'article a.glossary-term, article a[href*="bibliography.html#"]')]
          .map(a => a.href.slice(new URL('..', document.baseURI).href.length))
          .filter(key => !window.companionCards[key])"""
    )
    assert without == []
    page.close()
