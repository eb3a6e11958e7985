"""What several test files share."""

from __future__ import annotations

import importlib
import sys
from pathlib import Path

import pytest

EXPERIMENTS = Path(__file__).resolve().parents[1] / "experiments"


@pytest.fixture
def experiment(monkeypatch):
    """Import a script of the stored runs by its name; afterwards no name of theirs is taken."""
    monkeypatch.syspath_prepend(str(EXPERIMENTS))
    yield importlib.import_module
    for path in EXPERIMENTS.glob("*.py"):
        sys.modules.pop(path.stem, None)
