"""A claim measured again: its notebook, executed up to the cell that records it."""

from __future__ import annotations

import os
import sys
from typing import Any

from companion.book import pages
from companion.book.claims import Claim
from companion.book.claims.core import KEY

#: What the stored numbers were measured with; a setting of your own stays.
SURROUNDINGS = {"OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "TQDM_DISABLE": "1"}


def measured(claim: Claim) -> dict[str, Any]:
    """Execute the claim's notebook up to its cell and return the numbers that it records.

    Raises
    ------
    ValueError: no notebooks, or no such cell. ImportError: nbclient is missing.
    RuntimeError: a cell failed, or recorded nothing.
    """
    path = pages.FOLDER / f"{claim.notebook}.ipynb"
    if not path.is_file():
        raise ValueError(
            f"ledger --run needs the book's notebooks: {pages.FOLDER} has no {path.name}; the "
            "stored verdict needs none: python -m companion ledger"
        )
    try:
        import ipykernel  # noqa: F401 - runs the cells
        import nbformat
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, DeadKernelError
    except ImportError as error:
        raise ImportError("ledger --run needs pip install nbclient ipykernel") from error

    notebook = nbformat.read(path, as_version=4)
    tag = f"claim-{claim.id}"
    last = [i for i, c in enumerate(notebook.cells) if tag in c.metadata.get("tags", [])]
    if len(last) != 1:
        raise ValueError(f"{path} must have one cell tagged {tag}, has {len(last)}")
    wanted = notebook.cells[: last[0] + 1]
    # Nothing is installed here: the package is there, and what else is missing is an error.
    wanted = [c for c in wanted if c.get("id") != "needs-package"]
    notebook.cells = [c for c in wanted if c.cell_type == "code"]
    print(f"running {len(notebook.cells)} cells of {path.name} …", file=sys.stderr)
    resources = {"metadata": {"path": str(path.parent)}}
    client = NotebookClient(
        notebook,
        timeout=600,
        kernel_name="python3",
        resources=resources,
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute(env={**SURROUNDINGS, **os.environ})
    except (CellExecutionError, DeadKernelError) as error:
        reason = getattr(error, "evalue", "") or "the kernel died"
        raise RuntimeError(f"{path.name} failed before {tag}: {reason}") from error
    for output in notebook.cells[-1].outputs:
        recorded = output.get("metadata", {}).get(KEY)
        if recorded and recorded["id"] == claim.id:
            return dict(recorded["numbers"])
    raise RuntimeError(f"the cell {tag} of {path.name} recorded nothing")
