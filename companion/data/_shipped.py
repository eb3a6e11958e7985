"""Data files inside installed packages, found without importing those packages.

Importing scikit-learn, sktime or nilearn takes seconds; the file that is wanted takes milliseconds.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path


def folder(package: str, install: str) -> Path:
    """Return the folder of an installed package; ``install`` is what pip is to be given.

    Raises
    ------
    ModuleNotFoundError: the package is not installed; the message says how to install it.
    """
    spec = importlib.util.find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(
            f"this data set comes with the package {package}, which is not installed: "
            f"pip install '{install}'",
            name=package,
        )
    return Path(next(iter(spec.submodule_search_locations)))


def file(package: str, inside: str, install: str) -> Path:
    """Return the path of one file, given by its path inside the package.

    Raises
    ------
    ModuleNotFoundError: the package is not installed.
    FileNotFoundError: it is, in a version that ships no such file.
    """
    path = folder(package, install) / inside
    if not path.is_file():
        raise FileNotFoundError(
            f"the installed {package} ships no {inside}: pip install --upgrade '{install}'"
        )
    return path
