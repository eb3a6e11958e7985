"""The lists of figures and exercises: complete, in order, each with a link and its kind."""

from __future__ import annotations

import re
from pathlib import Path

import indexes
import pytest
from sphinx.testing.util import SphinxTestApp

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGE = """# {title}

```{{figure}} x.png
:name: fig-{name}
What $x$ is, by *depth*, see [there](index.md).
```

```{{exercise}}
:label: {name}-recall
*Recall.* How many [paths](index.md) are there?
```

```{{exercise}}
:label: {name}-derive
*Derive.* Compute $2^L$.
```
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    source = tmp_path_factory.mktemp("indexes")
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(BOOK / '_ext')!r})\n"
        "extensions = ['myst_parser', 'sphinx_exercise', 'chapter_numbers', 'indexes']\n"
        "numfig = True\nmyst_enable_extensions = ['dollarmath']\nsuppress_warnings = ['*']\n"
    )
    pages = ("10_code", "02_idea", "02_stream", "figures_index", "exercises_index")
    listed = "\n".join(pages)
    (source / "index.md").write_text(f"# Book\n\n```{{toctree}}\n{listed}\n```\n")
    for page in pages[:3]:
        (source / f"{page}.md").write_text(PAGE.format(title=page, name=page[3:]))
    for page in ("figures_index", "exercises_index"):
        (source / f"{page}.md").write_text((BOOK / f"{page}.md").read_text("utf-8"))
    app = SphinxTestApp("html", srcdir=source, freshenv=True)
    app.build()
    yield app
    app.cleanup()


def rows(built, page):
    text = (Path(built.outdir) / f"{page}.html").read_text("utf-8")
    found = re.findall(r"<tr[^>]*>(.*?)</tr>", text, re.S)
    cells = [re.findall(r"<td[^>]*>(.*?)</td>", row, re.S) for row in found]
    return text, [row for row in cells if row]


def words(cell):
    return re.sub(r"<[^>]+>", "", cell).strip()


def test_figures_are_listed_by_number_with_their_captions(built):
    text, found = rows(built, "figures_index")
    assert [words(row[0]) for row in found] == ["2.1", "2.2", "10.1"]
    assert 'href="02_idea.html#fig-idea"' in found[0][0]
    assert found[0][1].count("<a ") == 0 and "<em>depth</em>" in found[0][1]
    assert words(found[1][2]) == "2B 02_stream"
    assert text.index("Chapter 2") < text.index("Chapter 10")


def test_exercises_are_listed_with_kind_and_time(built):
    _, found = rows(built, "exercises_index")
    assert [[words(cell) for cell in row[:3]] for row in found] == [
        ["2.1", "Recall", "2"], ["2.2", "Derive", "10"],
        ["2.3", "Recall", "2"], ["2.4", "Derive", "10"],
        ["10.1", "Recall", "2"], ["10.2", "Derive", "10"],
    ]  # fmt: skip
    assert 'href="02_idea.html#idea-recall"' in found[0][0]
    assert words(found[0][3]) == "How many paths are there?"


def test_the_page_states_the_rules_of_thumb():
    text = (BOOK / "exercises_index.md").read_text("utf-8")
    for kind, minutes in indexes.MINUTES.items():
        assert f"{kind.capitalize()}*" in text
        assert re.search(rf"{minutes} (or more )?to {kind}", text)
