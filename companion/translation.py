"""Translation as next-token prediction: pairs as arrays, decoding, exact match."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from companion import _checks
from companion.data import DatePairs


@dataclass(frozen=True)
class Translation:
    """Pairs as one sequence of tokens each, for a model that predicts the next token.

    A sequence is the source, padded on the left, then ``<start>`` and the target. Only the target's
    tokens are labels; all others are -1, which the loss and the accuracy ignore.

    Attributes
    ----------
    x_train, x_test: (N, T) int64 tokens, T = source + target - 1.
    y_train, y_test: (N, T) int64, the token that follows, or -1.
    num_classes: of the joint vocabulary; target tokens come after those of the source.
    start: position of ``<start>`` in every sequence.
    pairs: what it was made from.
    """

    x_train: np.ndarray
    y_train: np.ndarray
    x_test: np.ndarray
    y_test: np.ndarray
    num_classes: int
    start: int
    pairs: DatePairs

    @classmethod
    def from_pairs(cls, pairs: DatePairs) -> Translation:
        """Return the task that these pairs set."""
        x_train, y_train = _lines(pairs.x_train, pairs.y_train, len(pairs.source_vocabulary))
        x_test, y_test = _lines(pairs.x_test, pairs.y_test, len(pairs.source_vocabulary))
        classes = len(pairs.source_vocabulary) + len(pairs.target_vocabulary)
        start = pairs.x_train.shape[1]
        return cls(x_train, y_train, x_test, y_test, classes, start, pairs)

    def take(self, examples: int) -> Translation:
        """Return the task with only the first so many training sequences."""
        examples = _checks.positive_int("examples", examples)
        return replace(self, x_train=self.x_train[:examples], y_train=self.y_train[:examples])

    def translate(self, predict: Callable[[np.ndarray], np.ndarray], *texts: str) -> list[str]:
        """Return the model's translations of texts, by greedy decoding.

        Parameters
        ----------
        predict: maps tokens (N, T) to logits (N, T, num_classes).
        texts: at least one.

        Raises
        ------
        ValueError: no text, or one that the data's ``encode`` refuses.
        """
        if not texts:
            raise ValueError("texts must hold at least one, got none")
        return self._completed(predict, self.pairs.encode(*texts))

    def exact_match(
        self, predict: Callable[[np.ndarray], np.ndarray], examples: int = 500
    ) -> float:
        """Return the fraction of the first ``examples`` test dates whose translation is exact."""
        examples = _checks.positive_int("examples", examples)
        read = self._completed(predict, self.pairs.x_test[:examples])
        return float(np.mean(np.array(read) == self.pairs.iso_test[:examples]))

    def _completed(
        self, predict: Callable[[np.ndarray], np.ndarray], sources: np.ndarray
    ) -> list[str]:
        offset, length = len(self.pairs.source_vocabulary), self.pairs.y_train.shape[1]
        blank = np.zeros((len(sources), length), np.int64)
        blank[:, 0] = self.pairs.y_train[0, 0]  # <start>
        lines, _ = _lines(sources, blank, offset)
        for at in range(self.start, lines.shape[1]):
            token = predict(lines)[:, at, offset:].argmax(1)
            if at + 1 < lines.shape[1]:
                lines[:, at + 1] = token + offset
        targets = np.column_stack([lines[:, self.start :] - offset, token])
        return self.pairs.decode(targets)


def _lines(source: np.ndarray, target: np.ndarray, offset: int) -> tuple[np.ndarray, np.ndarray]:
    moved = np.zeros_like(source)
    for row, tokens in zip(moved, source, strict=True):
        used = np.count_nonzero(tokens)
        row[len(row) - used :] = tokens[:used]
    x = np.concatenate([moved, target[:, :-1] + offset], axis=1)
    y = np.concatenate([np.full_like(source, -1), target[:, 1:] + offset], axis=1)
    return x, y
