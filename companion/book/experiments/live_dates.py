"""Two Transformers that read dates in the page: with shortcuts, and the same without them.

The network that 06_language has its reader train, four blocks of 32 channels with the norm after
the branch, but trained for ten times as long: two epochs on 128,000 lines. Each arm has the rate
that the search of language.py found for it. The weights are stored beside the run; figures of the
page hold them in eight bits. Ten minutes on one core.

    python -m companion.book.experiments.live_dates
"""

from __future__ import annotations

import sys
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

import companion.torch as cp
from companion.book import live_models, results
from companion.book.experiments import common
from companion.book.experiments.language import COMMON
from companion.data import dates
from companion.translation import Translation

BLOCKS, CHANNELS, HEADS = 4, 32, 4
#: Arms, and their names in language.py.
ARMS = {"residual": "post", "plain": "none, post"}
LINES, SEED = 128_000, 0
SETTINGS: dict[str, Any] = {"epochs": 2, "batch_size": 32, **COMMON}
#: The date that is shown where no script runs: a locale's first in the test part.
SHOWN = "pt"


def network(vocabulary: int, arm: str, seed: int = SEED) -> nn.Sequential:
    residual = arm == "residual"
    return cp.transformer(
        vocabulary, BLOCKS, CHANNELS, HEADS, norm="post", residual=residual, seed=seed
    )


def learning_rate(arm: str) -> float:
    """The rate that the search of language.py found for this arm."""
    (rate,) = {
        row["learning_rate"]
        for row in results.runs("language", model="transformer", depth=4, arm=ARMS[arm])
        if row.get("part") is None
    }
    return float(rate)


def weights_of(model: nn.Module) -> dict[str, np.ndarray]:
    return {name: tensor.numpy().copy() for name, tensor in model.state_dict().items()}


def with_weights(arm: str, weights: dict[str, np.ndarray]) -> nn.Sequential:
    """The network with these weights, in float64."""
    model = network(len(weights["embedding.weight"]), arm).double()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights.items()})
    return model.eval()


def attention_maps(model: nn.Sequential, lines: np.ndarray) -> list[np.ndarray]:
    """What each block's heads read: (N, heads, T, T) for each block."""
    maps: list[np.ndarray] = []

    def kept(layer: nn.Module, given: tuple[Tensor, ...]) -> None:
        (x,) = given

        def split(y: Tensor) -> Tensor:
            return y.unflatten(2, (layer.heads, -1)).transpose(1, 2)

        query, key = split(layer.query(x)), split(layer.key(x))
        scores = query @ key.transpose(2, 3) / query.shape[3] ** 0.5
        later = torch.ones_like(scores[0, 0], dtype=torch.bool).triu(1)
        maps.append(scores.masked_fill(later, -torch.inf).softmax(3).detach().numpy())

    layers = [m for m in model.modules() if isinstance(m, cp.Attention)]
    hooks = [layer.register_forward_pre_hook(kept) for layer in layers]
    try:
        with torch.no_grad():
            model(torch.from_numpy(lines))
    finally:
        for hook in hooks:
            hook.remove()
    return maps


def scores(model: nn.Module, task: Translation) -> dict[str, float]:
    """Of all test pairs: dates without a fault, and characters after a right beginning."""
    count = len(task.x_test)
    exact = task.exact_match(lambda x: cp.predict(model, x), count)
    _, characters = cp.evaluate(model, task.x_test, task.y_test)
    return {"exact": round(exact, 4), "characters": round(characters, 4)}


def trained(task: Translation, arm: str) -> tuple[dict[str, Any], dict[str, np.ndarray]]:
    model = network(task.num_classes, arm)
    with common.cpu_seconds() as seconds:
        cp.fit(model, task, learning_rate=learning_rate(arm), seed=SEED, **SETTINGS)
    weights = weights_of(model)
    in_bytes = with_weights(arm, live_models.rounded(weights)).float()
    row = {
        **scores(model, task),
        **{f"{key}_int8": value for key, value in scores(in_bytes, task).items()},
        "parameters": sum(array.size for array in weights.values()),
        "test_pairs": len(task.x_test),
        "cpu_seconds": round(seconds[0], 1),
    }
    return row, weights


def shown(task: Translation, arm: str, weights: dict[str, np.ndarray]) -> dict[str, Any]:
    """What the network of eight bits says of one date, how surely, and what each block reads."""
    model, pairs = with_weights(arm, live_models.rounded(weights)), task.pairs
    row = int(np.argmax(pairs.locales_test == SHOWN))
    text, lines = str(pairs.texts_test[row]), np.empty(0)
    sure: list[float] = []

    def predict(given: np.ndarray) -> np.ndarray:
        nonlocal lines
        lines = given
        with torch.no_grad():
            logits = model(torch.from_numpy(given))
        offset = len(pairs.source_vocabulary)
        odds = logits[0, task.start + len(sure), offset:].softmax(0)
        sure.append(round(float(odds.max()), 4))
        return logits.numpy()

    (said,) = task.translate(predict, text)
    used = slice(task.start - len(text), task.start)
    reads = [
        block[0].mean(0)[task.start : task.start + len(said), used].round(4).tolist()
        for block in attention_maps(model, lines)
    ]
    return {
        "text": text,
        "iso": str(pairs.iso_test[row]),
        "said": said,
        "sure": sure,
        "reads": reads,
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    whole = Translation.from_pairs(dates(size=LINES))
    runs = common.Runs("live_dates", __file__)
    kept = live_models.load("live_dates") if "--resume" in sys.argv else {}

    def train(arm: str) -> dict[str, Any]:
        row, kept[arm] = trained(whole, arm)
        live_models.save("live_dates", kept)
        return row

    for which in ARMS:
        place = {"arm": which, "seed": SEED, "learning_rate": learning_rate(which)}
        runs.row(lambda a=which: train(a), **place, lines=LINES, epochs=SETTINGS["epochs"])
    for which in ARMS:
        runs.row(lambda a=which: shown(whole, a, kept[a]), part="shown", arm=which)
    runs.store()
