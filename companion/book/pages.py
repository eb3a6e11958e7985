"""Where the notebooks and the bibliography are.

In a checkout they stand in ``book`` beside the package. A wheel holds copies inside the package,
of the notebooks their code alone: enough to run a page's cells again, not to read it.
"""

from __future__ import annotations

from pathlib import Path

_CHECKOUT, _INSTALLED = Path(__file__).parents[2] / "book", Path(__file__).with_name("pages")

#: The folder of ``*.ipynb`` and ``references.bib``.
FOLDER = _CHECKOUT if (_CHECKOUT / "references.bib").is_file() else _INSTALLED
