"""A small book with the names of the real one's pages, to build with a setting of one's own."""

from __future__ import annotations

import json
from pathlib import Path

from page_map import page_map
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
SUMMARY = (
    "A residual block does two things with its input. A branch computes $2^L$ of it, a shortcut "
    "carries it past, and a merge, nearly always an addition, makes one signal of the two."
)
PAGES = {
    **{page: f"# Title of {page}\n\n## In one minute\n\n{SUMMARY}\n" for page in page_map()},
    "book/welcome": "# The welcome page\n\nWords.\n\n## How to teach from it\n\nWords.\n",
    "book/api/index": f"# The companion\n\n{SUMMARY}\n",
    "book/changelog": f"# Changelog\n\n{SUMMARY}\n",
    "book/cite": f"# How to cite\n\n{SUMMARY}\n\n## Licences\n\nWords.\n",
}
NOTEBOOK = "book/02_idea"
EXTENSIONS = ("page_head", "page_furniture", "site_files", "theme_options")


def notebook(text: str) -> str:
    """Return a notebook with this text and a cell that has printed."""
    shown = {"name": "stdout", "output_type": "stream", "text": ["kept\n"]}
    code = {"cell_type": "code", "execution_count": 1, "id": "b", "metadata": {}}
    cells = [
        {"cell_type": "markdown", "id": "a", "metadata": {}, "source": text},
        {**code, "outputs": [shown], "source": "print('kept')"},
    ]
    metadata = {
        "kernelspec": {"display_name": "Python", "language": "python", "name": "python3"},
        "language_info": {"name": "python", "pygments_lexer": "ipython3"},
    }
    return json.dumps({"cells": cells, "metadata": metadata, "nbformat": 4, "nbformat_minor": 5})


def build(folder: Path) -> Path:
    """Build the small book as the environment says where it is published; return its pages."""
    source, out = folder / "source", folder / "html"
    for page, text in PAGES.items():
        is_notebook = page == NOTEBOOK
        file = source / (f"{page}.ipynb" if is_notebook else f"{page}.md")
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(notebook(text) if is_notebook else text, "utf-8")
    listed = "\n".join(page.removeprefix("book/") for page in PAGES if page != "book/welcome")
    welcome = source / "book/welcome.md"
    contents = f"\n```{{toctree}}\n{listed}\n```\n"
    welcome.write_text(PAGES["book/welcome"] + contents, "utf-8")
    with docutils_namespace():  # what one book registers does not reach the next
        app = Sphinx(
            str(source),
            None,
            str(out),
            str(folder / "doctrees"),
            "html",
            confoverrides={
                "extensions": ["myst_nb", *EXTENSIONS],
                "nb_execution_mode": "off",
                "root_doc": "book/welcome",
                "html_theme": "furo",
                "html_title": "Residual Connections: Every Claim Measured",
                "html_sourcelink_suffix": "",
                "html_static_path": [str(BOOK / "_static"), str(BOOK / "_vendor")],
                "html_css_files": ["book.css", "furniture.css"],
                "templates_path": [str(BOOK / "_templates")],
                "myst_enable_extensions": ["dollarmath"],
                "book_description": "Of the small book. " * 7,
            },
            status=None,
            warningiserror=True,
        )
        app.build()
    return out
