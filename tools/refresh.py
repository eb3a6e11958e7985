"""Run notebooks in place. Run twice, they are the same to the byte: no times, no progress bars.

The numbers with which they settle the article's claims go into the companion's ledger.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import nbformat
from nbclient import NotebookClient

from companion.book import claims
from companion.book.claims.core import KEY
from tests.limits import HANG_SECONDS
from tools.processor import KEY as PROCESSOR
from tools.processor import processor

KEEP_CELL = {"tags"}
MEASURED = Path(claims.__file__).with_name("measured.json")


def refresh(path: Path) -> None:
    """Execute every cell of the notebook and store its outputs; on an error, change nothing."""
    notebook = nbformat.read(path, as_version=4)
    for cell in notebook.cells:
        cell.metadata = {k: v for k, v in cell.metadata.items() if k in KEEP_CELL}
    NotebookClient(
        notebook,
        timeout=HANG_SECONDS,
        startup_timeout=HANG_SECONDS,
        kernel_name="python3",
        record_timing=False,
        coalesce_streams=True,
        resources={"metadata": {"path": str(path.parent)}},
    ).execute()
    for cell in notebook.cells:
        if cell.cell_type == "code":
            cell.outputs = [o for o in cell.outputs if o.get("name") != "stderr"]
    notebook.metadata["language_info"] = {"name": "python"}
    notebook.metadata[PROCESSOR] = processor()
    nbformat.write(notebook, path)
    keep_numbers(path.stem, settled(notebook))


def settled(notebook: nbformat.NotebookNode) -> dict[str, dict[str, float]]:
    """Return the numbers of every claim that the notebook settles, by the claim's id."""
    outputs = (o for c in notebook.cells if c.cell_type == "code" for o in c.outputs)
    found = (o.metadata[KEY] for o in outputs if KEY in o.get("metadata", {}))
    return {claim["id"]: dict(claim["numbers"]) for claim in found}


def keep_numbers(notebook: str, numbers: dict[str, dict[str, float]]) -> None:
    """Put these numbers in the place of all that the ledger had from this notebook."""
    kept = json.loads(MEASURED.read_text("utf-8")) if MEASURED.exists() else {}
    kept = {id: n for id, n in kept.items() if claims.CLAIMS[id].notebook != notebook}
    ordered = dict(sorted({**kept, **numbers}.items()))
    MEASURED.write_text(json.dumps(ordered, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    for name in sys.argv[1:]:
        print(name, flush=True)
        refresh(Path(name).resolve())
