"""What each page pays before its first number: CPU seconds of its imports, each in a new process.

Only the import statements of a notebook are run, in their order. The median of three runs; about 3
minutes on one core.

    python -m companion.book.experiments.imports
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path
from statistics import median

from companion.book import pages
from companion.book.experiments import common

SURROUNDINGS = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}


def statements(notebook: Path) -> list[str]:
    """Return the import statements of the notebook's cells, those inside functions left out."""
    cells = json.loads(notebook.read_text("utf-8"))["cells"]
    sources = ("".join(cell["source"]) for cell in cells if cell["cell_type"] == "code")
    nodes = (node for source in sources for node in ast.parse(source).body)
    return [ast.unparse(n) for n in nodes if isinstance(n, (ast.Import, ast.ImportFrom))]


def seconds(code: str) -> float:
    """Return the CPU seconds of the code in a new process, in which nothing else is loaded."""
    timed = f"import time\nstart = time.process_time()\n{code}\nprint(time.process_time() - start)"
    done = subprocess.run(
        [sys.executable, "-c", timed],
        check=True,
        cwd=pages.FOLDER,
        env={**os.environ, **SURROUNDINGS},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    return float(done.stdout.split()[-1])


if __name__ == "__main__":
    rows: list[dict] = []
    for path in sorted(pages.FOLDER.glob("*.ipynb")):
        lines = statements(path)
        code, names = "\n".join(lines), " ".join(lines)
        common.noted(
            rows,
            page=path.stem,
            torch="torch" in names,
            tensorflow=any(n in names for n in ("tensorflow", "keras")),
            seconds=round(median(seconds(code) for _ in range(3)), 2),
        )
    common.store("imports", "companion/book/experiments/imports.py", rows)
