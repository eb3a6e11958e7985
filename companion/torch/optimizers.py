"""The recipe's two optimizers, in plain loops that take the same steps as Keras's."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from companion.recipe import Recipe


class Optimizer:
    """What both share: one step over all parameters that are trained.

    ``torch.optim.SGD`` multiplies by the rate last, which is another method once the rate changes,
    and decays weights through the velocity. ``torch.optim.Adam`` adds epsilon elsewhere. Besides,
    the first object of ``torch.optim`` costs 1.4 CPU seconds, since it imports PyTorch's compiler.
    """

    def __init__(self, model: nn.Module, recipe: Recipe) -> None:
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        self.velocity = [torch.zeros_like(p) for p in self.parameters]
        self.momentum, self.weight_decay = recipe.momentum, recipe.weight_decay
        self.step_count = 0
        for p in self.parameters:
            p.grad = None  # of other work, or of a step that was interrupted

    def moments(self) -> dict[str, list[Tensor]]:
        """Return what is remembered of earlier gradients."""
        return {"velocity": self.velocity}

    @torch.no_grad()
    def step(self, rate: float) -> None:
        """Decay matrices and kernels, move every parameter, and forget the gradients."""
        self.step_count += 1
        for i, p in enumerate(self.parameters):
            if p.ndim > 1:
                p.mul_(1 - rate * self.weight_decay)
            self.move(i, p, torch.zeros_like(p) if p.grad is None else p.grad, rate)
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

    def moments(self) -> dict[str, list[Tensor]]:
        return {**super().moments(), "squares": self.squares}

    def move(self, i: int, p: Tensor, gradient: Tensor, rate: float) -> None:
        rate *= math.sqrt(1 - 0.999**self.step_count) / (1 - 0.9**self.step_count)
        mean = self.velocity[i].lerp_(gradient, 1 - 0.9)  # m = 0.9 m + 0.1 g
        square = self.squares[i].lerp_(gradient * gradient, 1 - 0.999)  # s = 0.999 s + 0.001 g^2
        p.addcdiv_(mean, square.sqrt().add_(1e-8), value=-rate)  # w = w - rate m / (sqrt(s) + eps)


def make_optimizer(model: nn.Module, recipe: Recipe) -> Optimizer:
    """Return the optimizer that the recipe names."""
    return (Nesterov if recipe.optimizer == "sgd" else Adam)(model, recipe)
