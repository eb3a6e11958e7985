"""Write the still picture of the race: what the figure itself shows at the end of a run.

    python -m tools.race_still

The figure's own script trains both networks in Chromium, with the settings and the seed that it
starts from; what then stands in the page is written back to figure.html. The test digits are put
in as they are in the data set.
"""

from __future__ import annotations

import base64
import re
import shutil
import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np

from tools.race_digits import digits

LIVE = Path(__file__).resolve().parents[1] / "book" / "_static" / "live"
FIGURE = LIVE / "race" / "figure.html"
SCRIPTS = ("words.js", "race/digits.js", "race/decode.js", "race/engine.js", "race/race.js")
#: The table shows the first test image of each.
SHOWN = (2, 3, 5, 7, 8, 9)


def png(pixels: bytes) -> str:
    """Return an 8 x 8 image, from 0 (clear) to 16 (black), as the address of a PNG of 4 bits.

    The palette has sixteen colors: 16 is drawn as 15.
    """
    values = [min(15, value) for value in pixels]
    rows = b"".join(
        b"\0" + bytes(values[i] << 4 | values[i + 1] for i in range(r, r + 8, 2))
        for r in range(0, 64, 8)
    )
    clear = bytes(255 * level // 15 for level in range(16))
    chunks = [
        (b"IHDR", struct.pack(">IIBBBBB", 8, 8, 4, 3, 0, 0, 0)),
        (b"PLTE", bytes(48)),
        (b"tRNS", clear),
        (b"IDAT", zlib.compress(rows, 9)),
        (b"IEND", b""),
    ]
    data = b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in chunks
    )
    return "data:image/png;base64," + base64.b64encode(data).decode()


def with_digits(markup: str) -> str:
    """Return the figure's markup with six test digits in the table's head."""
    images, labels = digits()
    test = len(labels) - 360 + np.arange(360)
    shown = iter([next(row for row in test if labels[row] == digit) for digit in SHOWN])

    def image(_: re.Match[str]) -> str:
        row = next(shown)
        return f'<img alt="{labels[row]}" src="{png(images[row].tobytes())}">'

    return re.sub(r"<img[^>]*>", image, markup)


def run(page: Any, markup: str) -> str:
    """Train in a page, as fast as it can, and return the markup at the end."""
    page.emulate_media(reduced_motion="reduce")
    page.set_content(f"<!doctype html><body>{markup}")
    for script in SCRIPTS:
        page.add_script_tag(path=LIVE / script)
    page.locator(".race-play").click()
    # However long it takes: a busy machine is slow.
    page.wait_for_function("document.querySelectorAll('.race-strip u').length === 2", timeout=0)
    # The strip is of runs that the reader has seen.
    return page.evaluate(
        """() => {
          const root = document.querySelector("[data-live=race]");
          root.classList.remove("race-on");
          root.querySelectorAll(".race-strip i").forEach((box) => box.replaceChildren());
          root.querySelector(".race-strip").setAttribute("aria-label", companionWords.race.none);
          return root.outerHTML;
        }"""
    )


def main() -> None:
    from playwright.sync_api import sync_playwright

    browser = shutil.which("chromium") or shutil.which("google-chrome")
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        still = run(chromium.new_page(), with_digits(FIGURE.read_text("utf-8")))
        chromium.close()
    FIGURE.write_text(still.strip() + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
