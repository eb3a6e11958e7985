"""What pyproject.toml cannot say: a wheel holds the code of the book's notebooks."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from setuptools import setup
from setuptools.command.build_py import build_py


def code(notebook: str) -> str:
    """Return a notebook's JSON with its code cells alone, and without what they printed."""
    page = json.loads(notebook)
    cells = [cell for cell in page["cells"] if cell["cell_type"] == "code"]
    for cell in cells:
        cell.update(outputs=[], execution_count=None)
    return json.dumps({**page, "cells": cells}, indent=1, ensure_ascii=False) + "\n"


class WithPages(build_py):
    """Copies what ``companion.book.pages`` finds beside the package in a checkout."""

    def run(self) -> None:
        package = Path(self.build_lib, "companion")
        if not self.editable_mode:  # an earlier build may have left what the source has no more
            shutil.rmtree(package, ignore_errors=True)
        super().run()
        if self.editable_mode:
            return
        folder = package / "book" / "pages"
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(Path("book").glob("*.ipynb")):
            (folder / path.name).write_text(code(path.read_text("utf-8")), "utf-8")
        bibliography = Path("book", "references.bib")
        (folder / bibliography.name).write_text(bibliography.read_text("utf-8"), "utf-8")


setup(cmdclass={"build_py": WithPages})
