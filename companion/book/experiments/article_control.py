"""The article's network, corrected only so far that it trains, with and without its shortcuts.

The two arms differ in the layer ``Add``: same initial weights, batches, Adam at Keras's rate; 4,000
images, three epochs, three seeds. Inference needs averages of the batch norms' statistics, which
training never reads, so one training serves for all: Keras's momentum of 0.99; 0.9; 0.99 with the
share of its starting values taken out; and no averages, the statistics of a batch of 250 test
images. About 7 minutes on one core.

    python -m companion.book.experiments.article_control
"""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
import tensorflow as tf

from companion.book.experiments import common
from companion.book.experiments.article_against_recipe import SEEDS, article_network
from companion.data import Dataset, mnist

#: Of the article's ten.
EPOCHS = 3


class Averages(keras.callbacks.Callback):
    """The batch norms' running averages at Keras's momentum, and what others would have kept.

    Every batch's own statistics follow from two averages that come one after the other.
    """

    def __init__(self, network: keras.Model) -> None:
        super().__init__()
        self.network = network
        norms = [m for m in network.layers if isinstance(m, keras.layers.BatchNormalization)]
        self.variables = [v for m in norms for v in (m.moving_mean, m.moving_variance)]
        (self.momentum,) = {m.momentum for m in norms}
        self.start = [v.numpy() for v in self.variables]
        self.slow, self.fast, self.steps = self.start, self.start, 0

    def on_train_batch_end(self, batch: int, logs: dict | None = None) -> None:
        keep, before = self.momentum, self.slow
        self.slow = [v.numpy() for v in self.variables]
        new = [(b - keep * a) / (1 - keep) for a, b in zip(before, self.slow, strict=True)]
        self.fast = [0.9 * a + 0.1 * b for a, b in zip(self.fast, new, strict=True)]
        self.steps += 1

    def without_start(self) -> list[np.ndarray]:
        """The slow averages without what is left in them of their starting values."""
        left = self.momentum**self.steps
        pairs = zip(self.slow, self.start, strict=True)
        return [(now - left * then) / (1 - left) for now, then in pairs]

    def accuracy(self, averages: list[np.ndarray], data: Dataset) -> float:
        """Test accuracy with these averages; training goes on with its own."""
        for variable, value in zip(self.variables, averages, strict=True):
            variable.assign(value)
        found = self.network.evaluate(data.x_test, data.y_test, batch_size=250, verbose=0)[1]
        for variable, value in zip(self.variables, self.slow, strict=True):
            variable.assign(value)
        return round(float(found), 4)


def trained(data: Dataset, seed: int, residual: bool) -> dict:
    keras.utils.set_random_seed(seed)
    model = article_network(residual)
    averages = Averages(model)
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    slow, fast, losses, spent = [], [], [], 0.0
    settings = {"batch_size": 128, "epochs": 1, "verbose": 0, "callbacks": [averages]}
    for _ in range(EPOCHS):
        with common.cpu_seconds() as seconds:
            history = model.fit(data.x_train, data.y_train, **settings)
        spent += seconds[0]
        losses.append(round(history.history["loss"][0], 4))
        slow.append(averages.accuracy(averages.slow, data))
        fast.append(averages.accuracy(averages.fast, data))
    parts = np.split(data.x_test, 4)
    labels = np.concatenate([np.argmax(model(x, training=True), axis=1) for x in parts])
    return {
        "parameters": sum(int(np.prod(v.shape)) for v in model.trainable_variables),
        "cpu_seconds": round(spent, 2),
        "test_accuracy": slow[-1],
        "test_accuracy_batch_statistics": round(float((labels == data.y_test).mean()), 4),
        "test_accuracy_without_start": averages.accuracy(averages.without_start(), data),
        "test_accuracy_by_epoch": slow,
        "test_accuracy_by_epoch_momentum_0.9": fast,
        "training_loss_by_epoch": losses,
    }


if __name__ == "__main__":
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    digits, runs = mnist(), common.Runs("article_control", __file__)
    for seed in SEEDS:
        for residual in (False, True):
            place = {"residual": residual, "epochs": EPOCHS, "seed": seed}
            runs.row(partial(trained, digits, seed, residual), **place)
    runs.store()
