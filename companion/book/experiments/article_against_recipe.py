"""The article's network, corrected only so far that it trains, against the book's small one.

One run measures both: the same 4,000 training and 1,000 test images, three seeds, one thread,
CPU seconds of training alone. About 20 minutes on one core.

    python -m companion.book.experiments.article_against_recipe
"""

from __future__ import annotations

from functools import partial

import keras
import numpy as np
import torch

import companion.tensorflow as ct
import companion.torch as cp
from companion.book.experiments import common
from companion.data import Dataset, mnist

SEEDS = (0, 1, 2)
RECIPE = {
    "epochs": 12,
    "learning_rate": 0.2,
    "weight_decay": 0.01,
    "label_smoothing": 0.1,
    "shift": 2,
}


def article_network(residual: bool = True, channels: int = 64) -> keras.Model:
    """Five blocks at 64 channels with Keras's defaults, as described, and the missing pooling."""
    layers = keras.layers

    def convolution(x: keras.KerasTensor, kernel: int, stride: int = 1) -> keras.KerasTensor:
        x = layers.Conv2D(channels, kernel, strides=stride, padding="same")(x)
        return layers.BatchNormalization()(x)

    inputs = keras.Input((28, 28, 1))
    x = layers.ReLU()(convolution(inputs, kernel=7, stride=2))
    for _ in range(5):
        branch = convolution(layers.ReLU()(convolution(x, kernel=3)), kernel=3)
        x = layers.ReLU()(layers.Add()([x, branch]) if residual else branch)
    x = layers.GlobalAveragePooling2D()(x)
    return keras.Model(inputs, layers.Dense(10, activation="softmax")(x))


def train_article(data: Dataset, seed: int) -> dict:
    keras.utils.set_random_seed(seed)
    model = article_network()
    model.compile("adam", "sparse_categorical_crossentropy", metrics=["accuracy"])
    by_epoch: list[float] = []
    spent = 0.0
    for _ in range(10):
        with common.cpu_seconds() as seconds:
            model.fit(data.x_train, data.y_train, batch_size=128, epochs=1, verbose=0)
        spent += seconds[0]
        by_epoch.append(model.evaluate(data.x_test, data.y_test, verbose=0)[1])
    parameters = sum(int(np.prod(v.shape)) for v in model.trainable_variables)
    run = _run(parameters, spent, by_epoch[-1])
    run["test_accuracy_by_epoch"] = [round(a, 4) for a in by_epoch]
    # The same weights, normalised by each test batch's own statistics instead of the running ones.
    parts = np.split(data.x_test, 4)
    labels = np.concatenate([np.argmax(model(x, training=True), axis=1) for x in parts])
    run["test_accuracy_batch_statistics"] = round(float((labels == data.y_test).mean()), 4)
    return run


def train_recipe(data: Dataset, seed: int, framework: str) -> dict:
    companion = {"torch": cp, "tensorflow": ct}[framework]
    with common.cpu_seconds() as seconds:
        model = companion.mnist_resnet(seed=seed)
        companion.fit(model, data, seed=seed, progress=False, **RECIPE)
    accuracy = companion.evaluate(model, data.x_test, data.y_test)[1]
    parameters = sum(p.numel() for p in cp.mnist_resnet().parameters())
    return _run(parameters, seconds[0], accuracy)


def _run(parameters: int, seconds: float, accuracy: float) -> dict:
    return {
        "parameters": parameters,
        "cpu_seconds": round(seconds, 2),
        "test_accuracy": round(accuracy, 4),
    }


if __name__ == "__main__":
    torch.set_num_threads(1)
    digits, runs = mnist(), common.Runs("article_against_recipe", __file__)
    for framework in ("torch", "tensorflow"):
        for seed in SEEDS:
            place = {"network": "recipe", "framework": framework, "seed": seed}
            runs.row(partial(train_recipe, digits, seed, framework), **place)
    for seed in SEEDS:
        place = {"network": "article", "framework": "tensorflow", "seed": seed}
        runs.row(partial(train_article, digits, seed), **place)
    runs.store()
