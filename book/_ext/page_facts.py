"""What a page says of itself: a description, and how long it takes to read.

Both are taken from the page, so that no one writes them twice; a field ``description`` at the
head of a page (or in a notebook's metadata) goes before what its first words would give.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from docutils import nodes

#: Search engines and chats show no more, and what is shorter says too little.
SHORTEST, LONGEST = 120, 160
WORDS_PER_MINUTE = 230
#: The section that a description is taken from; pages without one begin with theirs.
SUMMARY = "in-one-minute"
#: What is no prose: code, what cells print, formulas of their own line, and figures.
NOT_PROSE = (nodes.literal_block, nodes.math_block, nodes.raw, nodes.comment, nodes.image)
NOT_PROSE_CLASSES = {"cell_input", "cell_output", "headerlink", "bibliography", "highlight"}
SYMBOLS = {
    "sqrt": "√",
    "partial": "∂",
    "alpha": "α",
    "beta": "β",
    "sigma": "σ",
    "mu": "μ",
    "eta": "η",
    "cdot": "·",
    "times": "×",
    "to": "→",
    "le": "≤",
    "ge": "≥",
    "approx": "≈",
    "ne": "≠",
    "dots": "…",
    "quad": " ",
    "qquad": " ",
}


def plain(latex: str) -> str:
    """Return a short formula as words of a sentence: ``2^L``, ``1/√L``, ``∂F / ∂x``."""
    text = re.sub(r"\\(?:mathrm|mathbf|text|operatorname)\{([^{}]*)\}", r"\1", latex)
    text = re.sub(r"\\frac\{([^{}]*)\}\{([^{}]*)\}", r"\1/\2", text)
    text = re.sub(r"\\([A-Za-z]+)", lambda found: SYMBOLS.get(found[1], found[1]), text)
    text = re.sub(r"\\[,;:! ]", " ", text)
    text = re.sub(r"(?<=[√∂]) ", "", text)
    return " ".join(re.sub(r"[\\{}$]", "", text).split())


def is_prose(node: nodes.Node) -> bool:
    """Return whether a node and what is below it can be read aloud."""
    if isinstance(node, NOT_PROSE):
        return False
    return not (
        isinstance(node, nodes.Element) and NOT_PROSE_CLASSES & set(node.get("classes", []))
    )


def is_citation(node: nodes.Node) -> bool:
    """Return whether a node is a reference to the literature, with its brackets."""
    return isinstance(node, nodes.inline) and any(
        isinstance(child, nodes.reference) and "bibliography" in child.get("refuri", "")
        for child in node.children
    )


def prose(node: nodes.Node) -> Iterator[str]:
    """Yield the words below a node, formulas in plain letters, without citations."""
    if isinstance(node, nodes.math):
        yield plain(node.astext())
    elif isinstance(node, nodes.Text):
        yield node.astext()
    elif is_prose(node) and not is_citation(node):
        for child in node.children:
            yield from prose(child)


def reading_minutes(document: nodes.Node) -> int:
    """Return the minutes that the prose of a page takes, at WORDS_PER_MINUTE."""
    words = len(" ".join(prose(document)).split())
    return max(1, round(words / WORDS_PER_MINUTE))


def opening(document: nodes.document) -> str:
    """Return the first words of a page's summary, or of the page, as one line."""
    named = (s for s in document.findall(nodes.section) if SUMMARY in s["ids"])
    part: nodes.Node = next(named, document)
    text = ""
    for paragraph in part.findall(nodes.paragraph):
        above = paragraph.parent
        while above is not None and is_prose(above):
            above = above.parent
        if above is not None or isinstance(paragraph.parent, (nodes.entry, nodes.term)):
            continue
        text = " ".join(f"{text} {''.join(prose(paragraph))}".split())
        if len(text) > LONGEST:
            break
    return re.sub(r"\s+([.,;:!?])", r"\1", text)


def shortened(text: str) -> str:
    """Return whole sentences of SHORTEST to LONGEST characters, or else whole words.

    A text that is shorter comes back as it is.
    """
    if len(text) <= LONGEST:
        return text
    ends = [found.end() for found in re.finditer(r"[.!?](?=\s+[A-Z\"*(])", text)]
    whole = [end for end in ends if SHORTEST <= end <= LONGEST]
    if whole:
        return text[: whole[-1]]
    words = text[:LONGEST].rpartition(" ")[0]
    return re.sub(r"[\s,;:.(–-]+$", "", words) + "…"


def description(document: nodes.document | None, field: str = "") -> str:
    """Return what search engines and chats show of a page."""
    if field:
        return " ".join(field.split())
    return shortened(opening(document)) if document is not None else ""
