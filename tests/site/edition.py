"""An edition of a part of the book in another language, to see what words a catalogue reaches.

Its translations are not Chinese: every word becomes one sign, so that what is left in Latin letters
stands where no catalogue reaches.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import yaml
from babel.messages.mofile import write_mo
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).resolve().parents[2]
LANGUAGE = "zh_CN"
SIGN = "文"
WORD = re.compile(r"[^\W\d_]+(?:['’][^\W\d_]+)?")
#: What a translator leaves as it is: code, formulas, roles and their targets, markup, numbers.
KEPT = re.compile(
    r"\{(?:term|ref)\}`(?P<term>[^`<]+)`|\{[\w:.-]+\}(?:`[^`]*`)?|``.*?``|`[^`]*`|\$\$.*?\$\$|\$[^$]*\$"
    r"|\]\([^)]*\)|\]\[[^\]]*\]|\[\^[^\]]+\]|<[^>]*>|&\w+;|%(?:\(\w+\))?[sd]|https?://\S+",
    re.S,
)


def marked(message: str) -> str:
    """Return a message with a sign for each word, and its markup as it was."""
    out, end = [], 0
    for kept in KEPT.finditer(message):
        out.append(WORD.sub(SIGN, message[end : kept.start()]))
        if kept["term"]:  # a term is shown in another language and found by its own name
            role = kept[0].partition("`")[0]
            out.append(f"{role}`{WORD.sub(SIGN, kept['term'])} <{kept['term']}>`")
        else:
            out.append(kept[0])
        end = kept.end()
    return "".join([*out, WORD.sub(SIGN, message[end:])])


def source(folder: Path, pages: Sequence[str]) -> Path:
    """Make a book of which these pages are the real ones and all others a title; return its path."""
    book = folder / "book"
    book.mkdir(parents=True)
    for path in ("companion", "CITATION.cff", "LICENSE", "README.md", "CHANGELOG.md"):
        (folder / path).symlink_to(ROOT / path)
    for path in (ROOT / "book").iterdir():
        if path.suffix not in (".ipynb", ".md") or path.stem in pages:
            (book / path.name).symlink_to(path)
        else:
            (book / f"{path.stem}.md").write_text("# 文\n\n文\n", "utf-8")
    shutil.copy(ROOT / "_toc.yml", folder)
    settings = yaml.safe_load((ROOT / "_config.yml").read_text("utf-8"))
    settings["sphinx"]["config"] |= {
        "language": LANGUAGE,
        "locale_dirs": ["locale"],
        "gettext_compact": True,
        "nb_mime_priority_overrides": [["gettext", "text/markdown", 1], ["gettext", "text/html", 2]],
    }
    (folder / "_config.yml").write_text(yaml.safe_dump(settings, allow_unicode=True), "utf-8")
    return folder


def run(folder: Path, *arguments: str) -> str:
    """Build the book of a folder; return what was said."""
    program = "from jupyter_book.cli.main import main; main()"
    command = [sys.executable, "-c", program, "build", str(folder), *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=folder)
    if done.returncode:
        raise RuntimeError(done.stdout[-2000:] + done.stderr[-4000:])
    return done.stderr


def translate(folder: Path) -> int:
    """Fill the catalogues that gettext has found with marked words; return how many messages."""
    target = folder / "locale" / LANGUAGE / "LC_MESSAGES"
    target.mkdir(parents=True)
    count = 0
    for template in sorted((folder / "_build" / "gettext").rglob("*.pot")):
        with template.open("rb") as opened:
            catalog = read_po(opened, locale=LANGUAGE)
        for message in catalog:
            if message.id:
                message.string = marked(str(message.id))
                count += 1
        with (target / f"{template.stem}.po").open("wb") as opened:
            write_po(opened, catalog, width=0)
        with (target / f"{template.stem}.mo").open("wb") as opened:
            write_mo(opened, catalog)
    return count


def edition(folder: Path, pages: Sequence[str]) -> Path:
    """Build pages in the marked language; return the folder of the site."""
    source(folder, pages)
    run(folder, "--builder", "custom", "--custom-builder", "gettext", "-q")
    translate(folder)
    run(folder, "-q")
    return folder / "_build" / "html"
