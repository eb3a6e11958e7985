"""Numbers that a reader can cite: chapters, pages, sections, figures and exercises."""

from __future__ import annotations

import copy
import re
from pathlib import Path
from types import SimpleNamespace

import chapter_numbers as numbers
import pytest
import yaml
from sphinx.testing.util import SphinxTestApp

ROOT = Path(__file__).resolve().parents[2]
BOOK = ROOT / "book"
GIVEN = {"costs": 10, "costs_numbers": 10}


def environment():
    """What Sphinx has counted through the whole book, in the order of its pages."""
    pages = {"book/04_gradients": 2, "book/04_scale": 1, "book/06_images": 1, "book/costs": 2}
    counted, last = {"book/welcome": {"figure": {"w": (1,)}, "displaymath": {"q": (1,)}}}, 0
    for docname, count in pages.items():
        found = {f"{docname}-{i}": (last + i,) for i in range(1, count + 1)}
        counted[docname] = {"exercise": found, "figure": {"a": (last + 2,)}}
        last += count
    return SimpleNamespace(toc_fignumbers=counted)


def counted(env, kind):
    return [n for kinds in env.toc_fignumbers.values() for n in kinds.get(kind, {}).values()]


def test_numbers_begin_again_with_every_chapter_and_go_on_over_its_pages():
    env = environment()
    changed = numbers.number_things(env, GIVEN)
    assert changed == sorted(env.toc_fignumbers)
    exercises = [("4", 1), ("4", 2), ("4", 3), ("6", 1), ("10", 1), ("10", 2)]
    assert counted(env, "exercise") == exercises
    assert counted(env, "figure") == [("4", 1), ("4", 2), ("6", 1), ("10", 1)]
    welcome = env.toc_fignumbers["book/welcome"]
    assert welcome["figure"] == {}  # no chapter, no number
    assert welcome["displaymath"] == {"q": (1,)}  # a formula with a label needs one


def test_a_book_that_has_not_changed_is_not_written_again():
    env = environment()
    before = copy.deepcopy(env.toc_fignumbers)
    numbers.number_things(env, GIVEN)
    numbers.running_numbers(None, env)
    assert env.toc_fignumbers == before  # what Sphinx compares with
    assert numbers.number_things(env, GIVEN) == []


@pytest.mark.parametrize(
    ("page", "expected"),
    [("book/04_scale", 4), ("book/costs", 10), ("book/glossary", None), ("book/10_x", 10)],
)
def test_a_pages_chapter(page, expected):
    assert numbers.chapter(page, GIVEN) == expected


def test_pages_of_a_chapter_have_letters_in_reading_order():
    includes = {
        "book/welcome": ["book/03_algorithm", "book/04_scale", "book/04_gradients", "book/06_all"],
        "book/06_all": ["book/06_images", "book/06_speech"],
    }
    order = numbers.reading_order(includes, "book/welcome")
    assert numbers.labels(order, includes) == {
        "book/03_algorithm": "3",
        "book/04_scale": "4A",
        "book/04_gradients": "4B",
        "book/06_all": "6",
        "book/06_images": "6A",
        "book/06_speech": "6B",
    }


def test_every_page_of_the_chapters_has_a_chapter_and_chapters_come_in_order():
    given = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))["sphinx"]["config"]
    toc = yaml.safe_load((ROOT / "_toc.yml").read_text("utf-8"))["parts"][0]["chapters"]
    pages = [entry["file"] for chapter in toc for entry in (chapter, *chapter.get("sections", ()))]
    found = [numbers.chapter(page, given["page_chapters"]) for page in pages]
    assert found.pop(pages.index("book/sheet")) is None  # it is printed, on one page
    assert None not in found and found == sorted(found)
    assert set(found) == set(range(1, 12))


PAGE = """# Scale

## In one minute

## Four remedies

See {numref}`other` and {numref}`fig-a`.

### Deeper

## A second

```{figure} x.png
:name: fig-a
A curve.
```
"""


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    source = tmp_path_factory.mktemp("numbers")
    (source / "conf.py").write_text(
        f"import sys\nsys.path.insert(0, {str(BOOK / '_ext')!r})\n"
        "extensions = ['myst_parser', 'chapter_numbers']\nnumfig = True\n"
        "html_secnumber_suffix = ' '\n"
        "numfig_format = {'figure': 'Figure %s', 'section': 'section %s'}\n"
        "suppress_warnings = ['*']\n"
    )
    (source / "index.md").write_text(
        "# Book\n\n```{toctree}\n04_scale\n04_time\n05_code\nglossary\n```\n"
    )
    (source / "04_scale.md").write_text(PAGE)
    second = PAGE.replace("fig-a", "fig-b").replace("## A second", "(other)=\n## A second")
    (source / "04_time.md").write_text(second)
    (source / "05_code.md").write_text("# Code\n\n## First\n")
    (source / "glossary.md").write_text("# Glossary\n\n## Words\n")
    app = SphinxTestApp("html", srcdir=source, freshenv=True)
    app.build()
    yield app
    app.cleanup()


def page(built, name):
    return (Path(built.outdir) / f"{name}.html").read_text("utf-8")


def headings(text):
    inside = re.findall(r"<h[1-3]>(.*?)<a class=\"headerlink", text)
    return [re.sub(r"<[^>]+>", "", heading) for heading in inside]


def test_headings_say_their_numbers_and_anchors_do_not(built):
    assert headings(page(built, "04_scale")) == [
        "4A Scale", "In one minute", "4A.1 Four remedies", "Deeper", "4A.2 A second",
    ]  # fmt: skip
    assert headings(page(built, "05_code")) == ["5 Code", "5.1 First"]
    assert headings(page(built, "glossary")) == ["Glossary", "Words"]
    assert 'id="four-remedies"' in page(built, "04_scale")


def test_contents_say_the_numbers(built):
    text = page(built, "index")
    entries = re.findall(r'class="reference internal" href="[^"]*">([^<]*)</a>', text)
    for entry in ("4A Scale", "4A.1 Four remedies", "4B Scale", "5 Code", "Glossary", "Words"):
        assert entry in entries
    assert "In one minute" in entries


def test_references_say_the_numbers(built):
    text = page(built, "04_time")
    assert ">section 4B.2<" in text and ">Figure 4.2<" in text
    assert '<span class="caption-number">Figure 4.2 </span>' in text
