"""Plain and residual networks of the paper on CIFAR-10 in full, with the companion.

Downloads CIFAR-10 through Keras (170 MB). Not run for the book: its page says how long it takes.

    python -m companion.book.experiments.cifar10 --depths 20 56 --epochs 60
"""

from __future__ import annotations

import argparse
import importlib
from types import SimpleNamespace


def cifar10() -> SimpleNamespace:
    """Return the 50,000 and 10,000 images, each colour with mean 0 and deviation 1."""
    from keras import datasets

    (x_train, y_train), (x_test, y_test) = datasets.cifar10.load_data()
    mean, spread = x_train.mean((0, 1, 2)), x_train.std((0, 1, 2))
    return SimpleNamespace(
        x_train=((x_train - mean) / spread).astype("float32"),
        y_train=y_train[:, 0].astype("int64"),
        x_test=((x_test - mean) / spread).astype("float32"),
        y_test=y_test[:, 0].astype("int64"),
        num_classes=10,
    )


def main(arguments: list[str] | None = None) -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--framework", choices=("torch", "tensorflow"), default="torch")
    options.add_argument("--depths", type=int, nargs="+", default=(20, 56))
    options.add_argument("--epochs", type=int, default=60)
    options.add_argument("--seeds", type=int, nargs="+", default=(0, 1, 2))
    chosen = options.parse_args(arguments)
    module = importlib.import_module(f"companion.{chosen.framework}")
    data = cifar10()
    settings = {"epochs": chosen.epochs, "batch_size": 128, "learning_rate": 0.1, "shift": 2}
    for depth in chosen.depths:
        for residual in (True, False):
            for seed in chosen.seeds:
                model = module.cifar_resnet(depth, residual=residual, seed=seed)
                module.fit(model, data, seed=seed, **settings)
                _, accuracy = module.evaluate(model, data.x_test, data.y_test)
                kind = "residual" if residual else "plain"
                print(f"{depth} layers, {kind}, seed {seed}: error {100 * (1 - accuracy):.2f} %")


if __name__ == "__main__":
    main()
