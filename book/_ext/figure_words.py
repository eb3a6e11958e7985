"""Hand gettext the words that stand outside of the text: in figures, their controls, and outputs.

Sphinx reads paragraphs, titles and tables. What a cell shows is HTML or printed lines, and a figure
that computes is HTML of its own; beside each of them stands an invisible node with its messages.
Numbers are left out of a message, as {0}, {1}: it stays the same when a page runs again, and each
language puts them where they belong. The lines of one label are one message.
"""

from __future__ import annotations

import html
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from docutils import nodes
from sphinx import addnodes
from sphinx.application import Sphinx
from sphinx.transforms import SphinxTransform
from sphinx.transforms.post_transforms import SphinxPostTransform

Translate = Callable[[str], str]

NUMBER = re.compile(r"(?<![A-Za-z_])[-−+]?\d+(?:[.,]\d+)*(?:[eE][-+]?\d+)?")
#: What a message must have beside its numbers and formulas.
LETTERS = re.compile(r"[^\W\d_]{2}")
TAG = re.compile(
    r"<(?:!--.*?--|/?[a-zA-Z][\w:-]*(?:\s+[^\s=>\"'/]+(?:\s*=\s*(?:\"[^\"]*\"|'[^']*'|[^\s>]+))?)*"
    r"\s*/?)>",
    re.S,
)
#: Attributes that are shown or said; the values of a slider are a list of them.
SAID = re.compile(
    r"(?P<name>\b(?:aria-label|aria-valuetext|alt|title|placeholder|data-frame|data-values))"
    r"=\"(?P<value>[^\"]*)\""
)
LABEL = re.compile(r"(?P<open><text\b[^>]*>)(?P<words>.*?)(?P<close></text>)", re.S)
#: One label of matplotlib, which may have several lines.
GROUP = re.compile(r"<g id=\"[^\"]*\btext_\d+\">(?P<inner>.*?)</g>", re.S)
PART = re.compile(r"<tspan\b[^>]*>.*?</tspan>", re.S)
SILENT = ("script", "style", "code", "pre")
HELD = "\x00{}\x00"


def masked(words: str) -> tuple[str, list[str]]:
    """Return a message with its numbers as {0}, {1}, and the numbers."""
    numbers: list[str] = []

    def mask(match: re.Match[str]) -> str:
        numbers.append(match[0])
        return f"{{{len(numbers) - 1}}}"

    return NUMBER.sub(mask, words), numbers


def filled(message: str, numbers: Sequence[str]) -> str:
    """Return a message with its numbers."""
    for i, number in enumerate(numbers):
        message = message.replace(f"{{{i}}}", number)
    return message


def translated(words: str, translate: Translate) -> str:
    """Return plain words translated as one message, white space around them kept."""
    core = words.strip()
    message, numbers = masked(core)
    if not LETTERS.search(re.sub(r"\{\d+\}", "", message)):
        return words
    at = words.index(core)
    told = filled(translate(message), numbers)
    return words[:at] + told + words[at + len(core) :]


def in_lines(printed: str, translate: Translate) -> str:
    """Return what a cell has printed, each line translated."""
    return "".join(translated(line, translate) for line in printed.splitlines(keepends=True))


def in_label(labels: Sequence[re.Match[str]], translate: Translate) -> list[str]:
    """Return the lines of one label translated as one message; formulas keep their place."""
    held: list[str] = []

    def hold(match: re.Match[str]) -> str:
        held.append(match[0])
        return HELD.format(chr(0x2460 + len(held)))  # a sign that no label has

    lines = [html.unescape(PART.sub(hold, label["words"])) for label in labels]
    if not LETTERS.search(re.sub("\x00.\x00", "", " ".join(lines))):
        return [label[0] for label in labels]
    signs = [HELD.format(chr(0x2461 + i)) for i in range(len(held))]
    message, numbers = masked("\n".join(lines))
    told = filled(translate(shown(message, signs)), numbers)
    told = html.escape(told, quote=False)
    for i, part in enumerate(held):
        told = told.replace(f"&lt;{i}&gt;", part)
    parts = told.split("\n")
    parts = [*parts[: len(labels) - 1], " ".join(parts[len(labels) - 1 :])]
    parts += [""] * (len(labels) - len(parts))
    return [
        label["open"] + line + label["close"] for label, line in zip(labels, parts, strict=True)
    ]


def shown(message: str, signs: Sequence[str]) -> str:
    """Return a message whose formulas are shown to a translator as <0>, <1>."""
    for i, sign in enumerate(signs):
        message = message.replace(sign, f"<{i}>")
    return message


def in_html(text: str, translate: Translate) -> str:
    """Return HTML with its words, labels and names translated."""
    done: list[str] = []

    def hold(piece: str) -> str:
        done.append(piece)
        return f"<held-{len(done) - 1}>"

    def group(match: re.Match[str]) -> str:
        labels = list(LABEL.finditer(match["inner"]))
        new = match["inner"]
        for label, line in zip(labels, in_label(labels, translate), strict=True):
            new = new.replace(label[0], hold(line), 1)
        return match[0].replace(match["inner"], new)

    text = GROUP.sub(group, text)
    text = LABEL.sub(lambda m: hold(in_label([m], translate)[0]), text)
    out, end, silent = [], 0, ""
    for tag in TAG.finditer(text):
        words = text[end : tag.start()]
        out.append(words if silent else _words(words, translate))
        out.append(SAID.sub(lambda m: _said(m, translate), tag[0]))
        end = tag.end()
        name = re.match(r"</?([\w:-]+)", tag[0])
        if name and name[1] in SILENT:
            silent = "" if tag[0].startswith("</") else name[1]
    text = "".join([*out, _words(text[end:], translate)])
    return re.sub(r"<held-(\d+)>", lambda m: done[int(m[1])], text)


def _words(words: str, translate: Translate) -> str:
    if not words.strip():
        return words
    plain = html.unescape(words)
    told = translated(plain, translate)
    return words if told == plain else html.escape(told, quote=False)


def _said(match: re.Match[str], translate: Translate) -> str:
    values = match["value"].split("|") if match["name"] == "data-values" else [match["value"]]
    told = "|".join(
        html.escape(translated(html.unescape(value), translate)).replace("|", "/")
        for value in values
    )
    return f'{match["name"]}="{told}"'


class Words(nodes.Invisible, nodes.Element, addnodes.translatable):
    """The messages of an output that stands beside it."""

    target: nodes.Element
    told: dict[str, str]

    def preserve_original_messages(self) -> None:
        """They are kept when the node is made."""

    def extract_original_messages(self) -> Sequence[str]:
        """Return the messages, for gettext."""
        return self["messages"]

    def apply_translated_message(self, original_message: str, translated_message: str) -> None:
        """Note a translation; all of them are put into the output at once."""
        self.told[original_message] = translated_message


def outputs(document: nodes.document) -> Iterator[tuple[nodes.Element, Callable[..., str]]]:
    """Yield what shows words that Sphinx does not read, and how they are read."""
    for raw in document.findall(nodes.raw):
        if raw.get("format") == "html":
            yield raw, in_html
    for container in document.findall(nodes.container):
        if "cell_output" not in container["classes"]:
            continue
        for block in container.findall(nodes.literal_block):
            bundle = block.parent.parent
            rich = isinstance(bundle, nodes.container) and any(
                child.get("mime_type") in ("text/html", "text/markdown")
                for child in bundle.children
                if isinstance(child, nodes.Element)
            )
            if not rich:  # else the words are those for a terminal
                yield block, in_lines


def beside(target: nodes.Element) -> nodes.Element:
    """Return the node next to which messages are kept, whichever form of an output is chosen."""
    place: Any = target
    while place is not None and place.get("nb_element") != "mime_bundle":
        place = place.parent
    return place if place is not None else target


class FindWords(SphinxTransform):
    default_priority = 16  # captions have become text; translation comes at 20

    def apply(self, **options: Any) -> None:
        for target, read in list(outputs(self.document)):
            messages: dict[str, None] = {}

            def note(message: str, kept: dict[str, None] = messages) -> str:
                kept[message] = None
                return message

            read(target.astext(), note)
            if not messages:
                continue
            words = Words("", messages=list(messages))
            words.target, words.told = target, {}
            words.source, words.line = self.document["source"], target.line or 1
            place = beside(target)
            place.parent.insert(place.parent.index(place) + 1, words)


class PutWords(SphinxTransform):
    default_priority = 21

    def apply(self, **options: Any) -> None:
        for words in self.document.findall(Words):
            if not words.told:
                continue
            read = in_html if isinstance(words.target, nodes.raw) else in_lines
            text = read(words.target.astext(), lambda m, told=words.told: told.get(m, m))
            words.target.rawsource = text
            words.target.children = []
            words.target += nodes.Text(text)


class ForgetWords(SphinxPostTransform):
    """Take the messages away where pages are written."""

    default_priority = 1

    def run(self, **options: Any) -> None:
        if self.app.builder.name != "gettext":
            for words in list(self.document.findall(Words)):
                words.parent.remove(words)


def setup(app: Sphinx) -> dict[str, bool]:
    app.add_node(Words)
    app.add_transform(FindWords)
    app.add_transform(PutWords)
    app.add_post_transform(ForgetWords)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
