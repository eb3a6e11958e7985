"""Every test starts alike and leaves the process as it found it, since their order is random."""

from __future__ import annotations

import importlib
import os
import random
import sys
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest

SEED = 0


def seed_everything() -> None:
    """Seed the generators of Python, NumPy and of each framework that has been imported."""
    random.seed(SEED)
    np.random.seed(SEED)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(SEED)
    if keras := sys.modules.get("keras"):
        keras.utils.set_random_seed(SEED)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    seed_everything()  # for the fixtures


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_call() -> None:
    seed_everything()  # for the test, whichever fixtures were made before it


def settings() -> list[tuple[Callable[[Any], object], Any]]:
    """Return what a test may change for all that follow: how to set it, and its value now."""
    found: list[tuple[Callable[[Any], object], Any]] = [(os.chdir, os.getcwd())]
    if torch := sys.modules.get("torch"):
        found += [
            (torch.set_num_threads, torch.get_num_threads()),
            (torch.set_default_dtype, torch.get_default_dtype()),
            (torch.set_grad_enabled, torch.is_grad_enabled()),
            (torch.use_deterministic_algorithms, torch.are_deterministic_algorithms_enabled()),
        ]
    if keras := sys.modules.get("keras"):
        config = keras.config
        found += [
            (config.set_floatx, config.floatx()),
            (config.set_dtype_policy, config.dtype_policy()),
            (config.set_image_data_format, config.image_data_format()),
        ]
    return found


@pytest.fixture(autouse=True)
def left_as_found() -> Iterator[None]:
    """Put back what a test has changed: the environment, the folder, what frameworks compute in."""
    environment, before = dict(os.environ), settings()
    yield
    for setter, value in before:
        setter(value)
    current = "PYTEST_CURRENT_TEST"  # pytest's own, another one at each step
    environment[current] = os.environ[current]
    if dict(os.environ) != environment:
        os.environ.clear()
        os.environ.update(environment)


@pytest.fixture
def experiment() -> Callable[[str], Any]:
    """Import a module of the stored runs by its name."""
    return lambda name: importlib.import_module(f"companion.book.experiments.{name}")
