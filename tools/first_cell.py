"""Write the first code cell of every notebook: it installs what the page needs, if it is missing.

python -m tools.first_cell [--check]

The cells differ in the extras alone (tools/extras.py finds them). The address of the package is
empty in the repository, where the package is installed from the checkout, and filled in where the
book is published (book/_ext/published.py).
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from tools.extras import EXTRAS, ROOT, extras

ID = "needs-package"
#: The module that shows whether an extra is there.
MODULES = {extra: module for module, found in reversed(EXTRAS.items()) for extra in found} | {
    "tensorflow": "tensorflow"
}
CELL = """\
# Does nothing where the page's packages are installed, as they are in the book's checkout.
import subprocess
import sys
from importlib import import_module, invalidate_caches
from importlib.util import find_spec

PACKAGE = ""
NEEDS = {
%s
}
if not all(map(find_spec, ["companion", *NEEDS.values()])):
    # A TensorFlow that is here stays, whether it came as tensorflow or as tensorflow-cpu.
    extras = ",".join(e for e in NEEDS if e != "tensorflow" or not find_spec(e))
    if not PACKAGE:
        message = "packages are missing; in the book's checkout run: pip install '.[%%s]'"
        raise ModuleNotFoundError(message %% extras)
    print(f"installing residual-companion[{extras}] from {PACKAGE}, once, for minutes")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "install", "--quiet"]
    subprocess.check_call([*pip, f"residual-companion[{extras}] @ {PACKAGE}"])
    invalidate_caches()
if "tensorflow" in NEEDS and find_spec("triton"):
    import_module("triton")  # after TensorFlow it would end the process: its issue 124205
"""


def source(needed: list[str]) -> str:
    """Return the cell of a page that needs these extras."""
    return (CELL % "\n".join(f'    "{e}": "{MODULES[e]}",' for e in needed)).rstrip("\n")


def cell(needed: list[str]) -> dict[str, Any]:
    """Return it as a notebook stores it, run where it had nothing to do."""
    return {
        "cell_type": "code",
        "execution_count": 1,
        "id": ID,
        "metadata": {"tags": ["remove-cell"]},
        "outputs": [],
        "source": source(needed).splitlines(keepends=True),
    }


def with_cell(notebook: str, needed: list[str]) -> str:
    """Return a notebook's text with this cell as its first of code.

    Raises
    ------
    ValueError: the first code cell is another one.
    """
    page = json.loads(notebook)
    first = next((c for c in page["cells"] if c["cell_type"] == "code"), {})
    if first.get("id") != ID:
        raise ValueError(f"the first code cell must have the id {ID}, has {first.get('id')!r}")
    first.clear()
    first.update(cell(needed))
    return json.dumps(page, indent=1, ensure_ascii=False) + "\n"


def outdated(folder: Path = ROOT / "book") -> dict[Path, str]:
    """Return the notebooks whose cell is not what their page needs, and what each should be."""
    pages = {path: path.read_text("utf-8") for path in sorted(folder.glob("*.ipynb"))}
    right = {path: with_cell(text, extras(path)) for path, text in pages.items()}
    return {path: text for path, text in right.items() if text != pages[path]}


def main(arguments: list[str]) -> int:
    """Write the cells, or with --check name those that are to be written."""
    if arguments not in ([], ["--check"]):
        print("usage: python -m tools.first_cell [--check]", file=sys.stderr)
        return 2
    found = outdated()
    for path, text in found.items():
        print(path.relative_to(ROOT))
        if not arguments:
            path.write_text(text, "utf-8")
    return int(bool(found and arguments))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
