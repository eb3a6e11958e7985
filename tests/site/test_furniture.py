"""What stands around the text, in a real browser: the bar, the chooser, the search, a reference."""

from __future__ import annotations

import pytest

from tests.site.conftest import SITE

LOCAL = SITE.as_uri() + "/"
TABS = "label.sd-tab-label[data-sync-group=framework]"


@pytest.fixture
def page(browser):
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    yield opened
    opened.close()


def test_a_copy_on_disk_can_be_searched(page):
    outside = []
    page.on("request", lambda r: outside.append(r.url) if not r.url.startswith("file:") else None)
    page.goto(LOCAL + "book/02_idea.html")
    box = page.locator("input[name=q]:visible")
    assert box.count() == 1
    box.fill("bottleneck")
    box.press("Enter")
    page.wait_for_selector("#search-results ul.search li a")
    found = page.locator("#search-results ul.search li a")
    addresses = found.evaluate_all("all => all.map(a => a.href)")
    assert len(addresses) > 3 and any("/book/" in address for address in addresses)
    assert page.locator("input[name=q]:visible").count() == 1
    found.first.click()
    page.wait_for_url(LOCAL + "book/**")
    assert not outside


@pytest.mark.parametrize("width", [390, 1280])
def test_the_name_of_the_book_is_read_once(width, page):
    page.set_viewport_size({"width": width, "height": 900})
    page.goto(LOCAL + "book/04_scale.html")
    seen = page.locator(".site-name, .mobile-header .brand, .sidebar-brand-text")
    assert [t for t in seen.all() if t.is_visible()][0].inner_text() == "Residual Connections"
    assert sum(element.is_visible() for element in seen.all()) == 1


def test_the_parts_are_in_the_bar_or_in_the_drawer(page):
    page.goto(LOCAL + "book/04_scale.html")
    bar, drawer = page.locator(".site-bar nav a"), page.locator(".drawer-parts a")
    assert bar.count() == drawer.count() + 1 == 5  # and the search
    assert bar.first.is_visible() and not drawer.first.is_visible()
    page.set_viewport_size({"width": 390, "height": 844})
    assert not bar.first.is_visible()
    page.locator("label.nav-overlay-icon").click()
    drawer.last.click()
    page.wait_for_url("**/api/index.html")


def chosen(page) -> set[str]:
    """Return the frameworks whose tabs are open."""
    found = page.locator(TABS).evaluate_all(
        "all => all.map(l => [document.getElementById(l.htmlFor).checked, l.dataset.syncId])"
    )
    return {framework for is_open, framework in found if is_open}


def test_the_framework_is_chosen_once_for_the_book(page):
    page.goto(LOCAL + "book/05_code.html")
    choice = page.locator(".site-bar select.framework")
    assert choice.input_value() == "torch" and chosen(page) == {"torch"}
    choice.select_option("tf")
    assert chosen(page) == {"tf"}
    page.goto(LOCAL + "book/02_idea.html")
    assert choice.input_value() == "tf" and chosen(page) == {"tf"}
    page.locator(f"{TABS}[data-sync-id=torch]").first.click()
    assert choice.input_value() == "torch" and chosen(page) == {"torch"}
    assert page.locator(".drawer-parts select").input_value() == "torch"
    page.reload()
    assert choice.input_value() == "torch" and chosen(page) == {"torch"}


def test_a_reference_can_be_copied(page):
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(LOCAL + "book/04_scale.html")
    reference = page.locator(".cite-page")
    assert not reference.locator("pre").first.is_visible()
    reference.locator("summary").click()
    assert reference.locator("pre").count() == reference.locator("button.copybtn").count() == 2
    entry = reference.locator("pre").last.inner_text()
    assert entry.startswith("@incollection{residual_connections_04_scale,")
    reference.locator("button.copybtn").last.click()
    assert page.evaluate("navigator.clipboard.readText()").strip() == entry.strip()


OWN = ".site-bar, .mobile-header, .content-icon-container, .page-line, .where-next, .cite-page"
WATCH = """
window.moved = [];
new PerformanceObserver(list => {
  for (const shift of list.getEntries())
    for (const {node} of shift.sources) {
      const element = node && (node.closest ? node : node.parentElement);
      if (element && element.closest("OWN")) window.moved.push(element.className);
    }
}).observe({type: "layout-shift", buffered: true});
""".replace("OWN", OWN)


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("name", ["book/04_scale.html", "book/glossary.html", "search.html"])
def test_nothing_moves_and_targets_are_large_enough(width, name, page):
    page.set_viewport_size({"width": width, "height": 900})
    page.add_init_script(WATCH)
    page.goto(LOCAL + name)
    page.wait_for_load_state("networkidle")
    assert page.evaluate("window.moved") == []
    own = ".site-bar a, .page-line a, .where-next a, .cite-page summary, select.framework"
    small = """all => all.map(e => [e.innerText, e.getBoundingClientRect()])
        .filter(([, box]) => box.width && (box.height < 24 || box.width < 24))
        .map(([words]) => words)"""
    assert page.locator(own).evaluate_all(small) == []


def test_a_page_without_scripts_is_whole(browser):
    context = browser.chromium.new_context(java_script_enabled=False)
    still = context.new_page()
    still.goto(LOCAL + "book/04_scale.html")
    assert still.locator(".site-bar nav a").first.is_visible()
    assert not still.locator(".site-bar select").is_visible()  # it could choose nothing
    assert still.locator(".page-line a", has_text="Download notebook").is_visible()
    context.close()


def test_paper_has_the_text_alone(page):
    page.goto(LOCAL + "book/04_scale.html")
    page.emulate_media(media="print")
    for part in (".site-bar", ".page-line", ".where-next", ".cite-page"):
        assert not page.locator(part).is_visible()
