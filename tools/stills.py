"""Write the still pictures of the figures that compute in the page: their own first drawing.

    python -m tools.stills

Each figure is drawn by its script in Chromium, and what it drew, numbers and alternative text
included, is what a page shows without scripts, and until they have loaded.
"""

from __future__ import annotations

import re
import shutil
import tomllib
from pathlib import Path
from typing import Any

LIVE = Path(__file__).resolve().parents[1] / "book" / "_static" / "live"
FIGURES = ("chain", "block", "digit", "depth")

_STILL = """name => {
  const place = document.querySelector(".live");
  place.dataset.live = name;
  const live = window.companionLive;
  if (name === "digit") {
    place.replaceChildren(...live.digit.build(live.digit.unpack(window.companionKernels), true));
  }
  place.className = "live";
  place.querySelector(".live-controls").disabled = true;
  return place.outerHTML;
}"""


def scripts(name: str) -> list[Path]:
    """Return the scripts of a figure, in their order."""
    listed = tomllib.loads((LIVE / name / "figure.toml").read_text("utf-8"))
    return [(LIVE / name / file).resolve() for file in listed["scripts"]]


def still(page: Any, name: str) -> str:
    """Return a figure's markup as its script first draws it, one element a line.

    Parameters
    ----------
    page: an empty page of a browser. name: the figure's folder.
    """
    # The digit is built below, when its kernels are there.
    named = "" if name == "digit" else f' data-live="{name}"'
    page.set_content(f'<div class="live"{named}></div>')
    kernels = [LIVE / name / "kernels.js"] if name == "digit" else []
    for script in [*kernels, *scripts(name)]:
        page.add_script_tag(path=script)
    markup = re.sub(
        r"(?=<(?:svg|path|text|fieldset|figure|ul|p|div)\b)", "\n", page.evaluate(_STILL, name)
    )
    return markup.strip() + "\n"


def main() -> None:
    """Write figure.html of every figure."""
    from playwright.sync_api import sync_playwright

    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for name in FIGURES:
            page = browser.new_page()
            (LIVE / name / "figure.html").write_text(still(page, name), "utf-8")
            page.close()
        browser.close()


if __name__ == "__main__":
    main()
