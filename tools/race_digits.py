"""Write the digits that the race on the welcome page trains on, as a script of printable letters.

    python -m tools.race_digits

Pixels are coded one by one with an arithmetic coder (Witten, Neal and Cleary 1987), whose
probabilities are counts of what came before in the same contexts: 115,008 pixels, 17 levels, in
28 kB, where 4 bits each would not suffice and take 57. ``decodeDigits`` in race/decode.js is the
twin of ``code`` here, number for number; a test compares what it gives with the data set.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np

from companion.data import digits8

FILE = Path(__file__).resolve().parents[1] / "book" / "_static" / "live" / "race" / "digits.js"
HEAD = """\
/* Handwritten digits, 8 x 8: E. Alpaydin, C. Kaynak (1998), UCI Machine Learning Repository,
   doi:10.24432/C50P49, the 1,797 of scikit-learn. Licence: CC BY 4.0. Written, in the order and the
   split of companion.data.digits8, by tools/race_digits.py; read by decode.js. */
"""
LETTERS = "".join(chr(c) for c in range(35, 127) if chr(c) != "\\")  # 91 of them: 13 bits in two
SIDE, LEVELS, CLASSES = 8, 16, 10
#: A context's own counts are weighed against what the wider context before it expects.
PRIOR = (1, 6, 12, 8)

Coder = Callable[[float, int], int]


def digits() -> tuple[np.ndarray, np.ndarray]:
    """Return pixels (1797, 64) from 0 to 16 and labels (1797,), the training images first."""
    data = digits8()
    images = np.concatenate([data.x_train, data.x_test]).reshape(-1, SIDE * SIDE)
    labels = np.concatenate([data.y_train, data.y_test])
    return np.rint(LEVELS * images).astype(np.uint8), labels.astype(np.uint8)


class Counts:
    """How often each bit came in each context."""

    def __init__(self) -> None:
        self.seen: dict[tuple[int, int, int], list[int]] = {}

    def code(self, contexts: tuple[int, ...], node: int, coder: Coder, bit: int = 0) -> int:
        """Code one bit with the probability that the contexts, wide to narrow, give it."""
        p = 0.5
        found = [
            self.seen.setdefault((which, context, node), [0, 0])
            for which, context in enumerate(contexts)
        ]
        for (zeros, ones), prior in zip(found, PRIOR, strict=False):
            p = (ones + prior * p) / (zeros + ones + prior)
        bit = coder(p, bit)
        for counts in found:
            counts[bit] += 1
        return bit


def grade(value: int, edges: tuple[int, ...]) -> int:
    return sum(value >= edge for edge in edges)


def contexts(image: np.ndarray, at: int, label: int) -> tuple[int, ...]:
    """Return what is known of a pixel before it is coded: place, label, two neighbors."""
    up = int(image[at - SIDE]) if at >= SIDE else 0
    left = int(image[at - 1]) if at % SIDE else 0
    coarse = 3 * grade(up, (1, 10)) + grade(left, (1, 10))
    fine = 5 * grade(up, (1, 4, 9, 14)) + grade(left, (1, 4, 9, 14))
    place = at * CLASSES + label
    return fine, at * 9 + coarse, place * 9 + coarse, place * 25 + fine


def code_value(counts: Counts, where: tuple[int, ...], first: int, coder: Coder, value: int) -> int:
    """Code four bits, the highest first; what has been said is part of the node."""
    node = 1
    for shift in (3, 2, 1, 0):
        node = 2 * node + counts.code(where, first + node, coder, value >> shift & 1)
    return node - 16


def code(coder: Coder, pixels: np.ndarray, labels: np.ndarray) -> None:
    """Code every label and pixel; what a coder that decodes returns is kept."""
    counts = Counts()
    for row, image in enumerate(pixels):
        labels[row] = label = code_value(counts, (0,), 16, coder, int(labels[row]))
        for at in range(SIDE * SIDE):
            where, value = contexts(image, at, int(label)), int(image[at])
            if counts.code(where, 0, coder, int(value == 0)):
                image[at] = 0
            elif counts.code(where, 1, coder, int(value == LEVELS)):
                image[at] = LEVELS
            else:
                image[at] = code_value(counts, where, 1, coder, value)


class Encoder:
    """Narrows an interval of 32 bits, and gives out a byte once both its ends share it."""

    def __init__(self) -> None:
        self.low, self.high, self.bytes = 0, 2**32 - 1, bytearray()

    def __call__(self, p: float, bit: int) -> int:
        middle = self.low + int((self.high - self.low) * p)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while (self.low ^ self.high) >> 24 == 0:
            self.bytes.append(self.high >> 24)
            self.low, self.high = self.low << 8 & 2**32 - 1, self.high << 8 & 2**32 - 1 | 255
        return bit

    def finish(self) -> bytes:
        """Return all bytes; the last four lie in the interval."""
        return bytes(self.bytes) + self.high.to_bytes(4, "big")


def letters(data: bytes) -> str:
    """Return bytes as text: each thirteen bits are two letters."""
    bits = "".join(f"{byte:08b}" for byte in data)
    values = [int(bits[i : i + 13].ljust(13, "0"), 2) for i in range(0, len(bits), 13)]
    return "".join(LETTERS[v // 91] + LETTERS[v % 91] for v in values)


def script() -> str:
    """Return the text of digits.js."""
    encoder = Encoder()
    code(encoder, *digits())
    return f'{HEAD}window.raceDigits = "{letters(encoder.finish())}";\n'


def main() -> None:
    FILE.write_text(script(), encoding="utf-8")


if __name__ == "__main__":
    main()
