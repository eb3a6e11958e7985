"""The network of a finished run, in either framework."""

from __future__ import annotations

from typing import Any

from companion.cli.registry import framework
from companion.cli.runs import Run


def trained(found: Run, data: Any, name: str | None = None) -> tuple[Any, Any]:
    """Return the framework's sub-package and the trained network of a run.

    Parameters
    ----------
    name: of the framework; default, the run's own. The weights are exact in both.

    Raises
    ------
    ValueError: a run that is not finished, or weights that are not those of its network.
    """
    from companion.weights.layer_weights import layer_weights

    arrays, chosen = found.weights(), found.settings
    module = framework(name or chosen.framework, chosen.threads)
    channels = data.x_train.shape[-1]
    model = chosen.design.build(module, channels, data.num_classes, chosen.recipe.seed)
    layers = list(layer_weights(model))
    expected = {f"{layer.name}.{key}": a for layer in layers for key, a in layer.arrays.items()}
    for key in (*expected, *arrays):
        forms = [(a.shape, a.dtype) for a in (expected.get(key), arrays.get(key)) if a is not None]
        if len(forms) != 2 or forms[0] != forms[1]:
            raise ValueError(
                f"{found.folder / 'weights.npz'} is damaged or of another network: {key!r} differs"
            )
    for layer in layers:
        for key in layer.arrays:
            layer.assign(key, arrays[f"{layer.name}.{key}"])
    return module, model
