"""make says what it can do."""

from __future__ import annotations

import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def test_bare_make_explains_itself():
    out = subprocess.run(["make"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert all(f"make {t}" in out for t in ("book", "test", "lab", "refresh", "serve", "clean"))
