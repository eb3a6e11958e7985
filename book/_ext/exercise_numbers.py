"""Number exercises by chapter, as 4.6: the sixth of chapter 4, over all pages of that chapter.

A page's chapter is the number that its name begins with; a page without one counts under its first
letter.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from typing import Any

from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

KIND = "exercise"


def chapter(docname: str) -> str:
    """Return "4" for "book/04_scale", "C" for "book/costs"."""
    name = docname.rpartition("/")[2]
    number = re.match(r"\d+", name)
    return str(int(number[0])) if number else name[0].upper()


def running_numbers(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Put Sphinx's own numbers back, which it compares with the new ones to see what changed."""
    env.toc_fignumbers = copy.deepcopy(getattr(env, "running_numbers", env.toc_fignumbers))
    return []


def number_by_chapter(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Replace the numbers that run through the whole book; return the pages where they change."""
    env.running_numbers = copy.deepcopy(env.toc_fignumbers)
    before = getattr(env, "chapter_numbers", {})
    running = sorted(
        (number[-1], docname, id)
        for docname, kinds in env.toc_fignumbers.items()
        for id, number in kinds.get(KIND, {}).items()
    )
    counts: Counter[str] = Counter()
    now: dict[tuple[str, str], Any] = {}
    for _, docname, id in running:
        counts[chapter(docname)] += 1
        now[docname, id] = chapter(docname), counts[chapter(docname)]
        env.toc_fignumbers[docname][KIND][id] = now[docname, id]
    env.chapter_numbers = now
    return sorted({at[0] for at in now if before.get(at) != now[at]})


def setup(app: Sphinx) -> dict[str, bool]:
    # Sphinx numbers what is new at the priority 500.
    app.connect("env-get-updated", running_numbers, priority=100)
    app.connect("env-get-updated", number_by_chapter, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
