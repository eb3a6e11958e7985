"""How layers and networks are saved: as the call that makes them, and what has changed since."""

from __future__ import annotations

import contextlib
import inspect
import random
from collections.abc import Iterator
from typing import Any

import keras

from companion.weights.layer_weights import keras_children


class SavedByArguments:
    """A Keras layer that is saved as the arguments of its constructor, and what has changed since.

    The arguments are captured once, and saved as they are by then where the layer has an attribute
    of the name. Compared with what the constructor makes of them, there is saved beside them: name,
    dtype and ``trainable``; Keras's own settings, such as regularizers, where they differ; the
    layers inside that differ, whole; and which of the layers inside are frozen. A class that is
    derived from such a layer is saved in the same way.
    """

    _arguments: dict[str, Any]

    def __new__(cls, *args: Any, **kwargs: Any) -> Any:
        layer = super().__new__(cls, *args, **kwargs)
        # Past Keras's own __setattr__, which would take layers among the arguments for parts.
        vars(layer)["_arguments"] = _bound_arguments(cls.__init__, args, kwargs)
        return layer

    def __setattr__(self, name: str, value: Any) -> None:
        """Set an attribute; a layer takes the place of the one before, and is frozen as this is."""
        before, layers = _layers_in(vars(self).get(name)), _layers_in(value)
        tracker: Any = vars(self).get("_tracker")
        if before and not tracker.locked:  # Keras would go on with the ones before, too
            if len(before) == len(layers) == 1 and not tracker.is_in_store("layers", *layers):
                tracker.replace_tracked_value("layers", *before, *layers)
            for gone in before:
                if not any(gone is layer for layer in layers):
                    tracker.untrack(gone)
        super().__setattr__(name, value)
        if not vars(self).get("_trainable", True):
            for layer in layers:
                layer.trainable = False

    def saved_arguments(self) -> dict[str, Any]:
        """Return the constructor's arguments, without Keras's own, as they are by now."""
        return {name: self._by_now(name, given) for name, given in self._arguments.items()}

    def _by_now(self, name: str, given: Any) -> Any:
        now = vars(self).get(name, given)
        plain = bool, int, float, str
        if isinstance(given, plain) and isinstance(now, plain):
            return now
        if not _layers_in(given) or not (now is None or _layers_in(now)):
            return given
        return list(now) if isinstance(now, list) else now

    def _keras_settings(self) -> dict[str, Any]:
        keras_layer: Any = super()
        settings: dict[str, Any] = keras_layer.get_config()
        return settings

    def get_config(self) -> dict[str, Any]:
        arguments = self.saved_arguments()
        config = {k: serialize(v) for k, v in arguments.items()}
        config |= keras.layers.Layer.get_config(self)
        with _random_state_kept():
            given = {**arguments, "name": config["name"], "dtype": config["dtype"]}
            made = _call(type(self), given)
        first = made._keras_settings()
        config |= {k: v for k, v in self._keras_settings().items() if not _equal(v, first.get(k))}
        if changed := _changed(_parts(self, arguments), _parts(made, arguments)):
            config["changed"] = changed
        if frozen := _frozen_layers(self):
            config["frozen"] = frozen
        return config

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> Any:
        other = "trainable", "changed", "frozen"
        layer = _call(cls, {k: deserialize(v) for k, v in config.items() if k not in other})
        for name, part in config.get("changed", {}).items():
            setattr(layer, name, deserialize(part))
        if not config.get("trainable", True) or config.get("frozen"):
            _freeze_layers(layer, config.get("trainable", True), config.get("frozen", []))
        return layer


@keras.saving.register_keras_serializable("companion")
class Sequential(keras.Sequential):
    """Layers in a row, saved as Keras saves them, and with dtype and ``trainable`` of their own.

    Once loaded, variables have the paths that they had: the layers are built in the row, and a row
    inside another layer by that.
    """

    _with_input: bool | None = None

    def build(self, input_shape: Any = None) -> None:
        if self._with_input is None:  # Keras adds an Input to what is built without
            first = next(iter(self._layers), None)
            self._with_input = isinstance(first, keras.layers.InputLayer)
        super().build(input_shape)

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return None  # the layers inside have done it

    def get_config(self) -> dict[str, Any]:
        config: dict[str, Any] = _unbuilt(super().get_config())
        if self._with_input is False:
            del config["layers"][0], config["build_input_shape"]
        built_as = (self.path or self.name).rpartition("/")[2]  # it may have been renamed since
        return {**config, "built_as": built_as}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        options = {"custom_objects": custom_objects}
        model = cls.__new__(cls)  # a network's own constructor would make its layers anew
        with default_dtype(deserialize(config["dtype"])):
            layers = [keras.saving.deserialize_keras_object(x, **options) for x in config["layers"]]
            keras.Sequential.__init__(model, layers, config["trainable"], config["built_as"])
        model.name = config["name"]
        return model


@contextlib.contextmanager
def default_dtype(policy: Any) -> Iterator[None]:
    """Let layers made within have this dtype or policy; ``None`` changes nothing."""
    before = keras.config.dtype_policy()
    if policy is not None:
        keras.config.set_dtype_policy(policy)
    try:
        yield
    finally:
        keras.config.set_dtype_policy(before)


def serialize(value: Any) -> Any:
    """Return what :func:`deserialize` reads; layers in it are to be built by what holds them."""
    if isinstance(value, type):
        return {"class": keras.saving.get_registered_name(value)}
    return _unbuilt(keras.saving.serialize_keras_object(value))


def deserialize(value: Any) -> Any:
    """Return what :func:`serialize` wrote.

    Raises
    ------
    ValueError: a class that Keras does not know.
    """
    if not isinstance(value, (dict, list)):
        return value
    if not isinstance(value, dict) or "class" not in value:
        return keras.saving.deserialize_keras_object(value)
    found = keras.saving.get_registered_object(value["class"])
    if found is None:
        raise ValueError(
            "block must be registered with keras.saving.register_keras_serializable, or be among "
            f"the custom_objects, got the unknown class {value['class']!r}"
        )
    return found


def _equal(one: Any, other: Any) -> bool:
    """Whether two configurations are the same but for what is frozen, which is saved apart."""
    apart = "trainable", "frozen", "shared_object_id"
    equal: bool = _without(one, *apart) == _without(other, *apart)
    return equal


def _unbuilt(config: Any) -> Any:
    """Return a configuration without the shapes that layers were built with."""
    return _without(config, "build_config")


def _without(config: Any, *keys: str) -> Any:
    if isinstance(config, (list, tuple)):
        return [_without(each, *keys) for each in config]
    if not isinstance(config, dict):
        return config
    return {k: _without(v, *keys) for k, v in config.items() if k not in keys}


def _changed(parts: dict[str, Any], made: dict[str, Any]) -> dict[str, Any]:
    """Return the parts, serialized, that are not what the constructor makes."""
    changed = {name: None for name in made if name not in parts}
    for name, part in parts.items():
        saved = serialize(part)
        other = serialize(made[name]) if name in made else None
        if not _equal(saved, other):
            changed[name] = saved
    return changed


def _parts(layer: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """Return what a layer has made inside, by attribute: layers, and lists of layers."""
    if isinstance(layer, keras.layers.RNN):
        return {}  # its cell is saved with it
    return {
        name: list(value) if isinstance(value, list) else value
        for name, value in vars(layer).items()
        if name[0] != "_" and _layers_in(value) and arguments.get(name) is not value
    }


def _layers_in(value: Any) -> list[Any]:
    """Return a layer, or a list of nothing but layers, as a list; all else as an empty one."""
    if isinstance(value, keras.layers.Layer):
        return [value]
    several = isinstance(value, (list, tuple))  # asked first: every attribute that is set comes by
    return list(value) if several and all(isinstance(x, keras.layers.Layer) for x in value) else []


def _frozen_layers(layer: Any) -> list[str]:
    """Return the names of the layers inside that are not trained."""
    return [name for name, inner in _named_layers(layer) if not inner.trainable]


def _freeze_layers(layer: Any, trainable: bool, frozen: list[str]) -> None:
    """Set whether a layer is trained, and freeze the named layers inside, and no others."""
    layer.trainable = trainable
    for name, inner in _named_layers(layer):  # outer before inner: an outer one sets its inner
        inner.trainable = name not in frozen


def _named_layers(layer: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, inner in keras_children(layer):
        yield prefix + name, inner
        yield from _named_layers(inner, f"{prefix}{name}.")


@contextlib.contextmanager
def _random_state_kept() -> Iterator[None]:
    """Keep Python's generator, from which Keras draws a seed for each layer that it makes."""
    state = random.getstate()
    try:
        yield
    finally:
        random.setstate(state)


def _call(cls: Any, arguments: dict[str, Any]) -> Any:
    """Return an object made from its arguments by name, those of ``*args`` included.

    A constructor need not take Keras's own: a name is then given afterwards.
    """
    takes = inspect.getfullargspec(cls.__init__)
    several = takes.varargs or ""
    named = {k: v for k, v in arguments.items() if k != several}
    if takes.varkw is None:
        known = {*takes.args, *takes.kwonlyargs}
        named = {k: v for k, v in named.items() if k in known or k not in ("name", "dtype")}
    made = cls(*arguments.get(several, ()), **named)
    if "name" in arguments and "name" not in named:
        made.name = arguments["name"]
    return made


def _bound_arguments(function: Any, args: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
    """Return the arguments of a call by name, defaults included, but for ``trainable``."""
    signature = inspect.signature(function)
    try:
        bound = signature.bind(None, *args, **kwargs)
    except TypeError:  # the constructor says so in its own words
        return {}
    bound.apply_defaults()
    arguments = dict(list(bound.arguments.items())[1:])  # all but self
    for name, parameter in signature.parameters.items():
        if parameter.kind is parameter.VAR_KEYWORD:
            arguments |= arguments.pop(name)
    arguments.pop("trainable", None)  # whether it is by then is saved
    return arguments
