"""Networks that a function builds and Keras can save."""

from __future__ import annotations

import importlib
from typing import Any

import keras

from companion import weights


@keras.saving.register_keras_serializable("companion")
class Built(keras.Sequential):
    """Layers in a row, saved as the function that built them and its arguments.

    Parameters
    ----------
    layers: the first is a ``keras.Input``.
    builder: name of a public function of :mod:`companion.tensorflow`. arguments: of its call.
    seed: of the initial weights; ``None`` draws one from Keras's generator.
    """

    def __init__(
        self, layers: list[Any], builder: str, arguments: dict[str, Any], seed: int | None
    ) -> None:
        super().__init__(layers, name=builder)
        self.builder = builder
        self.arguments = arguments
        if seed is None:
            seed = int(keras.random.randint((), 0, 2**31 - 1))
        weights.initialise(self, seed)

    def get_config(self) -> dict[str, Any]:
        return {"builder": self.builder, "arguments": dict(self.arguments)}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        builders = importlib.import_module("companion.tensorflow")
        return getattr(builders, config["builder"])(**config["arguments"])
