"""Setting up says in one line what is missing."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_an_old_python_is_told_so_in_one_line():
    code = (
        "import sys, runpy; sys.version_info = (3, 9, 0, 'final', 0); "
        "runpy.run_path('tools/bootstrap.py', run_name='__main__')"
    )
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 1
    assert done.stderr.strip().startswith("error: Python 3.11") and done.stderr.count("\n") == 1
