"""Operations on a trained network: blocks that are taken out, or change places, for a while."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor, nn

from companion.torch.residual import Residual

_PARTS = ("preactivation", "branch", "shortcut", "merge", "activation")


class _TakeShortcut(nn.Module):
    def forward(self, shortcut: Tensor, *branch: Tensor) -> Tensor:
        return shortcut.clone()  # over which an activation may write


@contextmanager
def without_blocks(model: nn.Module, names: Sequence[str]) -> Iterator[None]:
    """Within the context, the named blocks hand on their shortcut alone (Veit et al. 2016, 4.1).

    A block of the plain control, which has no shortcut, hands on its input.

    Raises
    ------
    ValueError: a name that is no residual connection. At a call, a plain block whose shape changes
        fails in what follows it.
    """
    blocks = _named(model, names)
    kept = [{name: getattr(block, name) for name in _PARTS} for block in blocks]
    try:
        for block in blocks:
            if block.shortcut is None:
                block.preactivation = block.activation = nn.Identity()
            block.branch, block.merge = nn.Identity(), _TakeShortcut()
        yield
    finally:
        for block, parts in zip(blocks, kept, strict=True):
            for name, part in parts.items():
                setattr(block, name, part)


@contextmanager
def swapped_blocks(model: nn.Module, first: str, second: str) -> Iterator[None]:
    """Within the context, two blocks of equal shapes change places (Veit et al. 2016, section 4.3).

    Raises
    ------
    ValueError: a name that is no residual connection.
    """
    one, other = _named(model, [first, second])
    kept = {name: (getattr(one, name), getattr(other, name)) for name in _PARTS}
    try:
        for name, (a, b) in kept.items():
            setattr(one, name, b)
            setattr(other, name, a)
        yield
    finally:
        for name, (a, b) in kept.items():
            setattr(one, name, a)
            setattr(other, name, b)


def _named(model: nn.Module, names: Sequence[str]) -> list[Residual]:
    modules = dict(model.named_modules())
    for name in names:
        if not isinstance(modules.get(name), Residual):
            raise ValueError(f"names must be of residual connections, got {name!r}")
    return [modules[name] for name in names]  # type: ignore[misc]
