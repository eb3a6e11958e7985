"""Number chapters, pages, sections, figures and exercises, so that a reader can cite them.

A page's chapter is the number that its name begins with, or that ``page_chapters`` in _config.yml
gives it. A chapter of several pages has 4A, 4B, ... in reading order; an overview that lists the
others is the bare 6. Sections count within their page, as 4B.3, but for those that every page has;
figures, exercises and equations count through the whole chapter, as 4.3. A letter tells the one
from the other. Pages without a chapter have no numbers. Anchors and sources stay as they are.
"""

from __future__ import annotations

import copy
import re
from collections import Counter
from collections.abc import Iterable
from string import ascii_uppercase
from typing import Any

from docutils import nodes
from sphinx.application import Sphinx
from sphinx.environment import BuildEnvironment

#: The anchors of sections that every page has: no one cites them.
STANDING = {"in-one-minute", "what-you-will-need", "claims-checked", "exercises", "going-further"}

#: Sphinx's name for a formula that has a label.
EQUATION = "displaymath"


def chapter(docname: str, given: dict[str, int] | None = None) -> int | None:
    """Return 4 for "book/04_scale", what is given for "costs", and None for "book/glossary"."""
    name = docname.rpartition("/")[2]
    number = re.match(r"\d+(?=_)", name)
    return int(number[0]) if number else (given or {}).get(name)


def reading_order(includes: dict[str, list[str]], root: str) -> list[str]:
    """Return all pages in the order of the contents, each once."""
    order: dict[str, None] = {}

    def walk(docname: str) -> None:
        if docname not in order:
            order[docname] = None
            for child in includes.get(docname, ()):
                walk(child)

    walk(root)
    return list(order)


def labels(
    order: Iterable[str], includes: dict[str, list[str]], given: dict[str, int] | None = None
) -> dict[str, str]:
    """Return the label of every page that has a chapter: "3", or "4B" where it has several."""
    pages: dict[int, list[str]] = {}
    for docname in order:
        number = chapter(docname, given)
        if number is not None:
            pages.setdefault(number, []).append(docname)
    found = {}
    for number, names in pages.items():
        overview = [n for n in names if set(includes.get(n, ())) & set(names)]
        parts = [name for name in names if name not in overview]
        found |= {name: str(number) for name in overview}
        if len(names) == 1:
            found[names[0]] = str(number)
        else:
            found |= {n: f"{number}{ascii_uppercase[i]}" for i, n in enumerate(parts)}
    return found


def number_sections(toc: nodes.Node, label: str | None) -> dict[str, tuple[Any, ...]]:
    """Put numbers at the entries of a page's contents; return them by anchor."""
    numbers: dict[str, tuple[Any, ...]] = {}
    count = 0  # of the sections of this page

    def walk(node: nodes.Node, depth: int) -> None:
        nonlocal count
        for child in node.children:
            if isinstance(child, nodes.bullet_list):
                walk(child, depth + 1)
            elif isinstance(child, nodes.reference):
                anchor = child["anchorname"]
                number: tuple[Any, ...] = ()
                if label and depth == 1:
                    number = (label,)
                elif label and depth == 2 and anchor.removeprefix("#") not in STANDING:
                    count += 1
                    number = (label, count)
                child["secnumber"] = number
                numbers[anchor] = number
            elif isinstance(child, nodes.Element):
                walk(child, depth)

    walk(toc, 1)
    return numbers


def running_numbers(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Put Sphinx's own numbers back, which it compares with the new ones to see what changed."""
    env.toc_fignumbers = copy.deepcopy(getattr(env, "running_numbers", env.toc_fignumbers))
    return []


def number_things(env: BuildEnvironment, given: dict[str, int] | None = None) -> list[str]:
    """Count figures, exercises and equations by chapter; return the pages whose numbers change."""
    env.running_numbers = copy.deepcopy(env.toc_fignumbers)  # type: ignore[attr-defined]
    before = getattr(env, "chapter_numbers", {})
    running = sorted(
        (kind, number[-1], docname, id)
        for docname, kinds in env.toc_fignumbers.items()
        for kind, numbers in kinds.items()
        for id, number in numbers.items()
    )
    counts: Counter[tuple[str, int | str]] = Counter()
    now: dict[tuple[str, str, str], tuple[Any, ...]] = {}
    for kind, _, docname, id in running:
        place = chapter(docname, given) or docname
        counts[kind, place] += 1
        numbers = env.toc_fignumbers[docname][kind]
        if place != docname:
            numbers[id] = str(place), counts[kind, place]
        elif kind == EQUATION:  # its brackets stand there in any case
            numbers[id] = (counts[kind, place],)
        else:
            del numbers[id]
            continue
        now[docname, kind, id] = numbers[id]
    env.chapter_numbers = now  # type: ignore[attr-defined]
    return sorted({at[0] for at in now if before.get(at) != now[at]})


def number_book(app: Sphinx, env: BuildEnvironment) -> list[str]:
    """Number everything; return the pages to write again, all of them if a page's label changes."""
    given = app.config.page_chapters
    order = reading_order(env.toctree_includes, app.config.root_doc)
    found = labels(order, env.toctree_includes, given)
    before = getattr(env, "page_labels", {}), env.toc_secnumbers
    env.page_labels = found  # type: ignore[attr-defined]
    env.toc_secnumbers = {
        docname: number_sections(toc, found.get(docname)) for docname, toc in env.tocs.items()
    }
    for docname, title in env.titles.items():
        title["secnumber"] = (found[docname],) if docname in found else None
    things = number_things(env, given)
    changed = before != (found, env.toc_secnumbers)
    return sorted(env.found_docs) if changed else things


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_config_value("page_chapters", {}, "env", [dict])
    # Sphinx numbers what is new at the priority 500.
    app.connect("env-get-updated", running_numbers, priority=100)
    app.connect("env-get-updated", number_book, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
