"""What several test files share."""

from __future__ import annotations

import importlib
import os

import pytest


@pytest.fixture
def experiment():
    """Import a module of the stored runs by its name; the environment stays as it was."""
    before = dict(os.environ)  # experiments/__init__.py sets the number of threads
    yield lambda name: importlib.import_module(f"experiments.{name}")
    os.environ.clear()
    os.environ.update(before)
