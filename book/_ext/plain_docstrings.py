"""Read the companion's docstrings, where a parameter's line is ``name: what it is``.

That line is shorter to read in the source than numpydoc's two; napoleon wants the two.
"""

from __future__ import annotations

import re
from typing import Any

from sphinx.application import Sphinx

SECTIONS = {"Parameters", "Attributes"}
ENTRY = re.compile(r"^([A-Za-z_][\w, ]*): (.+)$")
INLINE = re.compile(r"(?<=\.) (?=[a-z_]+: )")


def split_entries(
    app: Sphinx, what: str, name: str, obj: Any, options: Any, lines: list[str]
) -> None:
    """Rewrite ``name: text`` under Parameters and Attributes as name, then indented text."""
    result: list[str] = []
    section = ""
    for i, line in enumerate(lines):
        if i + 1 < len(lines) and lines[i + 1] and set(lines[i + 1]) == {"-"}:
            section = line.strip()
        entry = ENTRY.match(line)
        if section == "Raises" and entry and " " not in entry[1]:
            result += [entry[1], f"    {entry[2]}"]
        elif section in SECTIONS and entry:
            for part in INLINE.split(line):
                names, text = part.split(": ", 1)
                result += [names, f"    {text}"]
        else:
            result.append(line)
    lines[:] = result


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("autodoc-process-docstring", split_entries, priority=400)  # napoleon comes at 500
    return {"parallel_read_safe": True, "parallel_write_safe": True}
