"""A real browser, and the built site on a server of its own."""

from __future__ import annotations

import functools
import os
import shutil
import threading
from collections.abc import Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from live_figure import LIVE, assets

from tests.limits import HANG_SECONDS

SITE = Path(__file__).resolve().parents[2] / "_build" / "html"
BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
FLAGS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture(scope="module")
def server() -> Iterator[str]:
    handler = functools.partial(Quiet, directory=str(SITE))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{http.server_port}/"
        http.shutdown()


@pytest.fixture(scope="module")
def browser():
    if BROWSER is None:
        if os.environ.get("CI"):
            pytest.fail("Chromium is needed: install Debian's package chromium")
        pytest.skip("no Chromium on this machine; install it to test the pages")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(
            executable_path=BROWSER, args=FLAGS, timeout=1000 * HANG_SECONDS
        )
        yield Browser(chromium)
        chromium.close()


class Browser:
    """Opens pages whose every wait, for an address or an element, has the one limit."""

    def __init__(self, chromium) -> None:
        self.chromium = chromium

    def new_page(self, **options):
        page = self.chromium.new_page(**options)
        page.set_default_timeout(1000 * HANG_SECONDS)  # milliseconds; those of navigation too
        return page


#: A page's colours, as book.css and the theme set them.
THEME = """
body { --paper: #fcfbf8; --ink: #1c2230; --soft: #5a6275; --hairline: #e4e1d9;
  --companion-residual: #0b5394; --companion-plain: #b5450b }
body[data-theme="dark"] { --paper: #12151b; --ink: #e8e6e0; --soft: #a2a9b8; --hairline: #2b303b;
  --companion-residual: #6bb1ee; --companion-plain: #f0925a }
body { margin: 1rem; font: 18px/1.6 serif; background: var(--paper); color: var(--ink) }
article { max-width: 46rem; margin: auto }
"""


def document(name: str, scripts: bool = True, folder: Path = LIVE) -> str:
    """A page that holds one figure of a folder, as the directive puts it there."""
    listed = assets(name)
    at = {path: (folder.parent / path).as_uri() for paths in listed.values() for path in paths}
    styles = "".join(f'<link rel="stylesheet" href="{at[path]}">' for path in listed["styles"])
    deferred = "".join(f'<script defer src="{at[path]}"></script>' for path in listed["scripts"])
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8"><title>A figure</title>'
        '<meta name="viewport" content="width=device-width"><style>'
        f"{THEME}</style>{styles}{deferred if scripts else ''}</head><body><article><figure>"
        f"{(LIVE / name / 'figure.html').read_text('utf-8')}"
        "<figcaption>A caption.</figcaption></figure></article></body></html>"
    )


@pytest.fixture
def opened(browser, tmp_path):
    """Open a page with a figure from a file, and see that nothing fails or comes from elsewhere."""
    pages, problems = [], []

    def show(name: str, scripts: bool = True, **options):
        file = tmp_path / f"{name}-{scripts}.html"
        file.write_text(document(name, scripts), "utf-8")
        page = browser.new_page(**{"viewport": {"width": 1000, "height": 900}, **options})
        page.on("pageerror", lambda e: problems.append(str(e)))
        page.on("console", lambda m: problems.append(m.text) if m.type == "error" else None)
        page.on("request", lambda r: None if r.url.startswith("file:") else problems.append(r.url))
        pages.append(page)
        page.goto(file.as_uri())
        return page

    yield show
    for page in pages:
        page.close()
    assert not problems
