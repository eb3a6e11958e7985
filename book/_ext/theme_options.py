"""Hand furo the options that it knows.

Jupyter Book passes on what its own theme takes; every option that a theme does not know is a
warning, and a warning stops the build.
"""

from __future__ import annotations

import configparser
from pathlib import Path

import furo
from sphinx.application import Sphinx
from sphinx.config import Config


def known_options() -> set[str]:
    """Return the names of furo's options, from its own declaration."""
    theme = configparser.RawConfigParser()
    theme.read(Path(furo.THEME_PATH) / "theme.conf", encoding="utf-8")
    return set(theme["options"])


def drop_unknown(app: Sphinx, config: Config) -> None:
    """Forget the options of the other theme."""
    known = known_options()
    config.html_theme_options = {k: v for k, v in config.html_theme_options.items() if k in known}
    # Furo declares this setting only once it is loaded, later than settings are read.
    config.pygments_dark_style = "a11y-high-contrast-dark"


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("config-inited", drop_unknown, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
