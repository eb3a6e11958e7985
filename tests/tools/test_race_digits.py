"""The race's digits: what is written is what the script writes, and can be read back."""

from __future__ import annotations

import numpy as np

from tools import race_digits


class Decoder:
    """The encoder's opposite: says of each bit on which side of the division the number lies."""

    def __init__(self, data: bytes) -> None:
        self.data, self.low, self.high = iter(data[4:]), 0, 2**32 - 1
        self.number = int.from_bytes(data[:4], "big")

    def __call__(self, p: float, bit: int) -> int:
        middle = self.low + int((self.high - self.low) * p)
        bit = int(self.number <= middle)
        if bit:
            self.high = middle
        else:
            self.low = middle + 1
        while (self.low ^ self.high) >> 24 == 0:
            self.low, self.high = self.low << 8 & 2**32 - 1, self.high << 8 & 2**32 - 1 | 255
            self.number = self.number << 8 & 2**32 - 1 | next(self.data, 0)
        return bit


def test_the_stored_script_is_what_the_tool_writes():
    assert race_digits.FILE.read_text("utf-8") == race_digits.script()


def test_what_is_coded_can_be_read_back():
    pixels, labels = (values[:60] for values in race_digits.digits())
    encoder = race_digits.Encoder()
    race_digits.code(encoder, pixels.copy(), labels.copy())
    found = np.zeros_like(pixels), np.zeros_like(labels)
    race_digits.code(Decoder(encoder.finish()), *found)
    np.testing.assert_array_equal(found[0], pixels)
    np.testing.assert_array_equal(found[1], labels)


def test_letters_hold_thirteen_bits_in_two():
    text = race_digits.letters(bytes(range(256)))
    assert len(text) == 2 * -(-256 * 8 // 13)
    assert set(text) <= set(race_digits.LETTERS)
    assert len(race_digits.LETTERS) == 91 and not set('"\\\n') & set(race_digits.LETTERS)
    values = [race_digits.LETTERS.index(letter) for letter in text]
    bits = "".join(f"{91 * a + b:013b}" for a, b in zip(values[::2], values[1::2], strict=True))
    assert bytes(int(bits[i : i + 8], 2) for i in range(0, 2048, 8)) == bytes(range(256))
