"""The recipe's two optimizers, in plain loops that take the same steps as Keras's, or your own."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from companion import _checks
from companion.recipe import Recipe, check_held
from companion.weights.layer_weights import named_parameters


class Optimizer:
    """What both share: one step over all parameters that are trained.

    ``torch.optim.SGD`` multiplies by the rate last, where Keras's velocity holds it: another method
    once the rate changes. It also decays weights through the velocity. ``torch.optim.Adam`` adds
    epsilon elsewhere. And the first object of ``torch.optim`` costs 1.4 CPU seconds, since it
    imports PyTorch's compiler. Who wants one of these gives it to ``fit``: :class:`OwnOptimizer`.
    """

    peak = 1.0  #: What the recipe's rate is multiplied by: it is the rate.

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.factors = [1.0] * len(self.parameters)
        if recipe.learning_rate_factors:
            self.factors = recipe.factors_of(self.parameters, named_parameters(model))
        self.velocity = [torch.zeros_like(p) for p in self.parameters]
        self.momentum, self.weight_decay = recipe.momentum, recipe.weight_decay
        self.step_count = 0
        for p in self.parameters:
            p.grad = None  # of other work, or of a step that was interrupted

    def state(self) -> dict[str, Tensor]:
        """Return what is remembered of earlier gradients."""
        return {f"velocity.{i}": v for i, v in enumerate(self.velocity)}

    def restore(self, state: Mapping[str, Tensor], step_count: int) -> None:
        """Take over what an optimizer remembered after so many steps."""
        self.step_count = step_count
        for name, tensor in self.state().items():
            tensor.copy_(state[name])

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Decay matrices and kernels, move every parameter, and forget the gradients."""
        self.step_count += 1
        for i, p in enumerate(self.parameters):
            own = rate * self.factors[i]
            if p.ndim > 1:
                p.mul_(1 - own * self.weight_decay)
            self.move(i, p, torch.zeros_like(p) if p.grad is None else p.grad, own)
            p.grad = None

    def move(self, i: int, p: Tensor, gradient: Tensor, rate: float) -> None:
        raise NotImplementedError


class Nesterov(Optimizer):
    """SGD with Nesterov momentum in Keras's form, where the velocity holds the learning rate."""

    def move(self, i: int, p: Tensor, gradient: Tensor, rate: float) -> None:
        change = gradient * -rate
        velocity = self.velocity[i].mul_(self.momentum).add_(change)  # v = mu v - rate g
        p.add_(change).add_(velocity, alpha=self.momentum)  # w = w + mu v - rate g


class Adam(Optimizer):
    """Adam in Keras's form (arXiv 1412.6980, end of section 2): the rate holds both corrections."""

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        super().__init__(model, recipe)
        self.squares = [torch.zeros_like(p) for p in self.parameters]

    def state(self) -> dict[str, Tensor]:
        return {**super().state(), **{f"squares.{i}": s for i, s in enumerate(self.squares)}}

    def move(self, i: int, p: Tensor, gradient: Tensor, rate: float) -> None:
        rate *= math.sqrt(1 - 0.999**self.step_count) / (1 - 0.9**self.step_count)
        mean = self.velocity[i].lerp_(gradient, 1 - 0.9)  # m = 0.9 m + 0.1 g
        square = self.squares[i].lerp_(gradient * gradient, 1 - 0.999)  # s = 0.999 s + 0.001 g^2
        p.addcdiv_(mean, square.sqrt().add_(1e-8), value=-rate)  # w = w - rate m / (sqrt(s) + eps)


class OwnOptimizer:
    """An optimizer of the caller's, in whose every step the recipe's rate multiplies its own.

    Between steps its groups have the learning rates that the caller gave them.
    """

    def __init__(self, own: torch.optim.Optimizer) -> None:
        self.own = own
        own.zero_grad()  # of other work, or of a step that was interrupted

    @property
    def peak(self) -> float:
        """What the recipe's rate is multiplied by, in the first group."""
        return float(self.own.param_groups[0]["lr"])

    def state(self) -> dict[str, Tensor]:
        """Return what is remembered of earlier gradients, by kind and number of the parameter."""
        return {
            f"{_kind(value)}.{i}.{name}": torch.as_tensor(value)
            for i, values in self.own.state_dict()["state"].items()
            for name, value in values.items()
            if value is not None
        }

    def restore(self, state: Mapping[str, Tensor], step_count: int) -> None:
        """Take over what an optimizer remembered after so many steps."""
        found: dict[int, dict[str, Any]] = {}
        for key, tensor in state.items():
            kind, i, name = key.split(".", 2)
            value = tensor.item() if kind == "number" else tensor.to(getattr(torch, kind))
            found.setdefault(int(i), {})[name] = value
        groups = self.own.state_dict()["param_groups"]
        self.own.load_state_dict({"state": found, "param_groups": groups})
        # That has chosen the devices, but given floats the precision of their parameter, which is
        # not always theirs. Copies, since a step writes over them.
        parameters = [p for group in self.own.param_groups for p in group["params"]]
        for place, entries in found.items():
            own = self.own.state[parameters[place]]
            for name, value in entries.items():
                if isinstance(value, Tensor):
                    own[name] = value.to(own[name].device, copy=True)

    def step(self, rate: float) -> None:
        """Let the optimizer move its parameters, and forget the gradients."""
        groups = self.own.param_groups
        peaks = [group["lr"] for group in groups]
        try:
            for group, peak in zip(groups, peaks, strict=True):
                group["lr"] = peak * rate
            self.own.step()
        finally:
            for group, peak in zip(groups, peaks, strict=True):
                group["lr"] = peak
        self.own.zero_grad()


def _kind(value: Any) -> str:
    """Return the precision of a tensor, or "number"."""
    return str(value.dtype).removeprefix("torch.") if isinstance(value, Tensor) else "number"


def choose_optimizer(
    model: nn.Module, settings: Mapping[str, Any]
) -> tuple[Recipe, torch.optim.Optimizer | None]:
    """Return the recipe, and the optimizer where the settings hold one of the caller's own.

    Raises
    ------
    ValueError: settings out of their range, settings that the optimizer has itself, one that needs
        a closure, or whose parameters are not those of the model that are trained.
    """
    own = settings.get("optimizer", "sgd")
    if not isinstance(own, torch.optim.Optimizer):
        recipe = Recipe(**settings)
        _checks.option("optimizer", own, ("sgd", "adam"))
        return recipe, None
    if isinstance(own, torch.optim.LBFGS):
        raise ValueError("optimizer must step once for each gradient, got LBFGS, which needs more")
    held = {id(p) for group in own.param_groups for p in group["params"]}
    names = {id(p): name for name, p in model.named_parameters()}
    check_held(held, names, (p for p in model.parameters() if p.requires_grad))
    groups = [
        ", ".join(f"{key}={value}" for key, value in group.items() if key != "params")
        for group in own.param_groups
    ]
    return Recipe.with_own_optimizer(f"{type(own).__name__}({'; '.join(groups)})", settings), own


def make_optimizer(
    model: nn.Module, recipe: Recipe, own: torch.optim.Optimizer | None = None
) -> Optimizer | OwnOptimizer:
    """Return the optimizer that the recipe names, or the caller's own."""
    if own is not None:
        return OwnOptimizer(own)
    return (Nesterov if recipe.optimizer == "sgd" else Adam)(model, recipe)
