"""The race's still picture: digits of the data set, and the end of a real run."""

from __future__ import annotations

import base64
import io
import re
import shutil

import numpy as np
import pytest

from tools import race_still
from tools.race_digits import digits

MARKUP = race_still.FIGURE.read_text("utf-8")


def test_its_digits_are_the_first_of_their_class_that_test():
    from matplotlib.image import imread

    images, labels = digits()
    found = re.findall(r'<img alt="(\d)" src="data:image/png;base64,([^"]+)">', MARKUP)
    assert [int(label) for label, _ in found] == list(race_still.SHOWN)
    for label, address in found:
        row = 1437 + np.flatnonzero(labels[1437:] == int(label))[0]
        picture = imread(io.BytesIO(base64.b64decode(address)))
        levels = np.minimum(images[row], 15).reshape(8, 8)
        np.testing.assert_allclose(picture[..., 3], levels / 15, atol=1e-6)
        assert not picture[..., :3].any()
    assert race_still.with_digits(MARKUP) == MARKUP


def test_it_is_the_end_of_the_run_that_the_figure_makes():
    browser = shutil.which("chromium") or shutil.which("google-chrome")
    if browser is None:
        pytest.skip("no Chromium on this machine")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=browser, args=["--no-sandbox"])
        again = race_still.run(chromium.new_page(), MARKUP).strip() + "\n"
        chromium.close()
    # Another release of the browser may round otherwise: all but numbers is the same.
    numbers = re.compile(
        r"[\d.⁻⁰¹²³⁴⁵⁶⁷⁸⁹]+|<span style.*?</span>| d=\"[^\"]*\"| class=\"race-wrong\""
    )
    assert numbers.sub("#", again).replace(' class=""', "") == numbers.sub("#", MARKUP).replace(
        ' class=""', ""
    )
    accuracy = [re.findall(r"<b>(\d+) %</b>", text) for text in (again, MARKUP)]
    np.testing.assert_allclose(*np.array(accuracy, dtype=int), atol=15)
