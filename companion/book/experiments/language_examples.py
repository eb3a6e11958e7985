"""What two stacks of four LSTMs, with and without shortcuts, say of some dates, and how surely.

Trained as in language.py, seed 0. About three minutes on one core.

    python -m companion.book.experiments.language_examples
"""

from __future__ import annotations

import numpy as np
import torch

import companion.torch as cp
from companion.book.experiments import common
from companion.data import dates
from companion.translation import Translation

#: Locales whose first test date is shown.
LOCALES = ("en", "pt", "de", "pl", "ru", "he", "hi", "ja")
SETTINGS = {"epochs": 4, "batch_size": 64, "learning_rate": 0.01, "optimizer": "adam"}


def said(task: Translation, model: torch.nn.Module, row: int) -> dict:
    """The model's translation of one test date, and the probability of each character."""
    certainty: list[float] = []

    def predict(lines: np.ndarray) -> np.ndarray:
        logits = cp.predict(model, lines)
        at = task.start + len(certainty)
        odds = np.exp(logits[0, at] - logits[0, at].max())
        certainty.append(round(float(odds.max() / odds.sum()), 3))
        return logits

    (text,) = task.translate(predict, task.pairs.texts_test[row])
    return {"said": text, "sure": certainty[: len(text)]}


if __name__ == "__main__":
    torch.set_num_threads(1)
    task = Translation.from_pairs(dates(size=12_800))
    models = {}
    for residual in (True, False):
        model = cp.residual_lstm(task.num_classes, 4, 64, residual=residual, seed=0)
        cp.fit(model, task, seed=0, weight_decay=0.0, progress=False, **SETTINGS)
        models["residual" if residual else "plain"] = model
    examples = []
    for locale in LOCALES:
        row = int(np.argmax(task.pairs.locales_test == locale))
        text, iso = str(task.pairs.texts_test[row]), str(task.pairs.iso_test[row])
        spoken = {arm: said(task, model, row) for arm, model in models.items()}
        examples.append({"seed": 0, "locale": locale, "text": text, "iso": iso, **spoken})
        print(examples[-1], flush=True)
    common.store("language_examples", "companion/book/experiments/language_examples.py", examples)
