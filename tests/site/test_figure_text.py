"""Words in figures can be read: on what is behind them, in both themes, and on a phone."""

from __future__ import annotations

import io
import re

import numpy as np
import pytest
from PIL import Image

from tests.site.conftest import SITE

PAGES = sorted(
    str(p.relative_to(SITE)) for p in SITE.glob("book/**/*.html") if "<svg" in p.read_text("utf-8")
)
LEAST_PIXELS = 11
ORDINARY, LARGE = 4.5, 3.0  # WCAG 2.2, 1.4.3
# A line that crosses a word leaves it readable, a cell that covers a fifth of it does not.
SHARE = 0.2
# Every position of a slider, and nothing on its way.
ALL_FRAMES = """
.companion-frames > div[hidden] {display: block !important}
*, *::before, *::after {transition: none !important; animation: none !important}
"""
WORDS = """svg => {
  const at = svg.getBoundingClientRect();
  const alpha = e => {
    let product = +getComputedStyle(e).fillOpacity;
    for (; e && e !== svg; e = e.parentElement) product *= +getComputedStyle(e).opacity;
    return product;
  };
  return [...svg.querySelectorAll('text')].filter(t => t.textContent.trim()).map(t => {
    const box = t.getBoundingClientRect(), style = getComputedStyle(t), m = t.getScreenCTM();
    const scale = Math.sqrt(Math.abs(m.a * m.d - m.b * m.c));
    const sizes = [t, ...t.querySelectorAll('tspan')]
      .filter(e => [...e.childNodes].some(n => n.nodeType === 3 && n.data.trim()))
      .map(e => parseFloat(getComputedStyle(e).fontSize));
    return {
      words: t.textContent.trim(), fill: style.fill, alpha: alpha(t),
      pixels: Math.max(...sizes) * scale, bold: +style.fontWeight >= 700,
      box: [box.left - at.left, box.top - at.top, box.right - at.left, box.bottom - at.top],
    };
  });
}"""


def luminance(colors: np.ndarray) -> np.ndarray:
    """Return the relative luminance of colours (..., 3) from 0 to 1, as WCAG defines it."""
    linear = np.where(colors <= 0.04045, colors / 12.92, ((colors + 0.055) / 1.055) ** 2.4)
    return linear @ np.array([0.2126, 0.7152, 0.0722])


def contrast(fill: np.ndarray, alpha: float, behind: np.ndarray) -> float:
    """Return the contrast that all but ``SHARE`` of the pixels behind a word exceed."""
    seen = luminance(alpha * fill + (1 - alpha) * behind)
    below = luminance(behind)
    ratio = (np.maximum(seen, below) + 0.05) / (np.minimum(seen, below) + 0.05)
    return float(np.quantile(ratio, SHARE))


def pale(page, theme: str) -> list[str]:
    """Return the words of a page's figures that are too faint on what is behind them."""
    page.emulate_media(color_scheme=theme)
    page.evaluate("theme => { document.body.dataset.theme = theme }", theme)
    found = []
    for i, svg in enumerate(page.locator("article svg:has(text)").all()):
        if not svg.is_visible():
            continue
        words = svg.evaluate(WORDS)
        svg.evaluate("e => e.classList.add('without-words')")
        picture = np.asarray(Image.open(io.BytesIO(svg.screenshot())).convert("RGB")) / 255
        svg.evaluate("e => e.classList.remove('without-words')")
        for word in words:
            left, top, right, bottom = word["box"]
            inset = (bottom - top) * 0.2  # a line is higher than its letters
            rows = slice(max(0, round(top + inset)), round(bottom - inset) + 1)
            behind = picture[rows, max(0, round(left)) : round(right) + 1].reshape(-1, 3)
            color = re.findall(r"[\d.]+", word["fill"])
            if not len(behind) or len(color) < 3:
                found.append(f"figure {i}: {word['words']!r} outside of it, or {word['fill']}")
                continue
            fill = np.array([float(c) for c in color[:3]]) / 255
            large = word["pixels"] >= (18.66 if word["bold"] else 24)
            ratio = contrast(fill, word["alpha"], behind)
            if ratio < (LARGE if large else ORDINARY):
                found.append(f"figure {i}: {word['words']!r} {ratio:.2f} in {theme}")
    return found


def small(page) -> list[str]:
    """Return the words of a page's figures that are smaller than ``LEAST_PIXELS``."""
    found = []
    for i, svg in enumerate(page.locator("article svg:has(text)").all()):
        if svg.is_visible():
            found += [
                f"figure {i}: {word['words']!r} {word['pixels']:.1f} px"
                for word in svg.evaluate(WORDS)
                if word["pixels"] < LEAST_PIXELS - 0.05
            ]
    return found


def opened(browser, address: str, width: int):
    page = browser.new_page(viewport={"width": width, "height": 900})
    page.goto(address)
    page.wait_for_load_state("networkidle")
    page.add_style_tag(content=ALL_FRAMES + ".without-words text {visibility: hidden}")
    return page


@pytest.mark.parametrize(
    "name",
    # Every third page each time, and all of them once a week.
    [pytest.param(n, marks=[pytest.mark.exhaustive] if i % 3 else []) for i, n in enumerate(PAGES)],
)
def test_words_of_figures_stand_out_and_are_large_enough(name, browser, server) -> None:
    page = opened(browser, server + name, 1280)
    found = pale(page, "light") + pale(page, "dark")
    page.set_viewport_size({"width": 390, "height": 900})
    found += small(page)
    page.close()
    assert not found, "\n".join(found)


PLANTED = """<!doctype html><body style="background: #fcfbf8"><article>
<svg viewBox="0 0 200 100" width="200"><rect width="100" height="100" fill="#123"/>
<text x="10" y="50" font-size="12" fill="#000">on a cell</text>
<text x="110" y="50" font-size="12" fill="#000">on paper</text>
<text x="110" y="80" font-size="9" fill="#bbb">pale</text></svg></article>"""


def test_what_is_planted_is_found(browser, tmp_path) -> None:
    planted = tmp_path / "planted.html"
    planted.write_text(PLANTED, "utf-8")
    page = opened(browser, planted.as_uri(), 390)
    assert [line.split("'")[1] for line in pale(page, "light")] == ["on a cell", "pale"]
    assert [line.split("'")[1] for line in small(page)] == ["pale"]
    page.close()
