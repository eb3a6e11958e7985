"""Hand gettext the words that scripts show, and give pages those of their language.

All of them stand in ``_static/live/words.js``: its strings are the messages of the catalogue
"scripts", and a page in another language loads the same file with its translations.
"""

from __future__ import annotations

import json
import re
from pathlib import Path

from babel.messages.catalog import Catalog
from babel.messages.pofile import read_po, write_po
from sphinx.application import Sphinx

FILE = Path("live") / "words.js"
DOMAIN = "scripts"
STRING = re.compile(r'"(?:[^"\\\n]|\\.)*"')
COMMENT = re.compile(r"/\*.*?\*/|^\s*//[^\n]*", re.S | re.M)


def messages(script: str) -> list[str]:
    """Return the strings of a script that hold a word, each once, in their order."""
    strings = (json.loads(match[0]) for match in STRING.finditer(COMMENT.sub("", script)))
    return list(dict.fromkeys(text for text in strings if re.search(r"[^\W\d_]{2}", text)))


def in_language(script: str, catalog: dict[str, str]) -> str:
    """Return a script with the strings that a catalogue has translated."""

    def told(match: re.Match[str]) -> str:
        text = json.loads(match[0])
        return json.dumps(catalog[text], ensure_ascii=False) if catalog.get(text) else match[0]

    return STRING.sub(told, script)


def catalog_of(app: Sphinx) -> dict[str, str]:
    """Return the translations of the scripts' words into the language of the build."""
    for folder in app.config.locale_dirs:
        file = Path(app.confdir, folder, app.config.language, "LC_MESSAGES", f"{DOMAIN}.po")
        if file.is_file():
            with file.open("rb") as opened:
                return {str(m.id): str(m.string) for m in read_po(opened) if m.id and m.string}
    return {}


def finish(app: Sphinx, error: Exception | None) -> None:
    """Write the catalogue's template, or the script in the language of the pages."""
    if error:
        return
    source = [
        path
        for folder in app.config.html_static_path
        if (path := Path(app.confdir, folder, FILE)).is_file()
    ]
    if not source:
        return
    script = source[0].read_text("utf-8")
    if app.builder.name == "gettext":
        template = Catalog(project=app.config.project, version=app.config.version)
        for message in messages(script):
            template.add(message, locations=[(FILE.as_posix(), 1)])
        with (Path(app.outdir) / f"{DOMAIN}.pot").open("wb") as opened:
            write_po(opened, template, width=0)
    elif app.builder.format == "html" and (catalog := catalog_of(app)):
        target = Path(app.outdir) / "_static" / FILE
        target.write_text(in_language(script, catalog), "utf-8")


def setup(app: Sphinx) -> dict[str, bool]:
    app.connect("build-finished", finish, priority=900)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
