"""A disc to enclose: what narrow stacks in the plane learn, with shortcuts and without.

Points inside the unit disc are to be told from points between the radii 2 and 3. Every block is
h <- V relu(W h + b), of a stream of two numbers and with two hidden units, or the same plus h.
Beside them: residual blocks of a single hidden unit, and plain stacks of three and of four numbers,
with as many hidden units, whose stream begins with the point and zeros. A linear head gives one
number, whose sign decides. All stacks of an arm are trained at once, as one batch of matrices: Adam
on all points, one cycle; the rate of each arm and depth is searched on other points with other
seeds.

A stack encloses the disc if it calls nine tenths of the disc inside, and some circle around it, of
the 21 radii between 1 and 3 at which it is asked, has not one point that it calls inside. The
weights of each row's most accurate stack are kept, to be drawn. About 4 minutes on a core.

    python -m companion.book.experiments.expressivity
"""

from __future__ import annotations

import itertools
import math
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from companion.book import results
from companion.book.experiments import common

#: Stream, hidden units and shortcut of each arm.
ARMS: dict[str, tuple[int, int, bool]] = {
    "plain, width 2": (2, 2, False),
    "residual, width 2": (2, 2, True),
    "residual, one unit": (2, 1, True),
    "plain, width 3": (3, 3, False),
    "plain, width 4": (4, 4, False),
}
DEPTHS = (2, 4, 8)
STACKS, POINTS, STEPS = 30, 256, 1000
SEARCHED = 10  # stacks whose mean accuracy is a rate's score


@dataclass
class Stacks:
    """Several stacks of one arm: the first axis of every tensor counts them."""

    w: list[Tensor]  # of each block: (S, hidden, stream)
    b: list[Tensor]  # (S, hidden)
    v: list[Tensor]  # (S, stream, hidden)
    head: Tensor  # (S, stream + 1), the last its bias
    residual: bool

    def __call__(self, points: Tensor) -> Tensor:
        """(N, 2) points to (S, N) numbers; above zero means inside."""
        count, stream = self.head.shape[0], self.head.shape[1] - 1
        h = F.pad(points, (0, stream - 2)).expand(count, -1, -1)
        for w, b, v in zip(self.w, self.b, self.v, strict=True):
            inner = torch.relu(h @ w.mT + b[:, None])
            h = inner @ v.mT + (h if self.residual else 0)
        return (h @ self.head[:, :-1, None])[..., 0] + self.head[:, -1:]

    def parameters(self) -> list[Tensor]:
        return [*self.w, *self.b, *self.v, self.head]


def started(arm: str, depth: int, seed: int, count: int = STACKS) -> Stacks:
    """Return stacks of normal weights: He's, and with shortcuts the last of a branch over √L."""
    stream, hidden, residual = ARMS[arm]
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int, std: float) -> Tensor:
        return (std * torch.randn(*shape, generator=generator)).requires_grad_()

    last = math.sqrt(1 / hidden) / (math.sqrt(depth) if residual else 1)
    return Stacks(
        [normal(count, hidden, stream, std=math.sqrt(2 / stream)) for _ in range(depth)],
        [normal(count, hidden, std=0.5) for _ in range(depth)],
        [normal(count, stream, hidden, std=last) for _ in range(depth)],
        normal(count, stream + 1, std=math.sqrt(1 / stream)),
        residual,
    )


def disc_and_ring(count: int, seed: int) -> tuple[Tensor, Tensor]:
    """Return points (N, 2) and labels (N,): half of them 1, in the disc, half 0, in the ring."""
    generator = torch.Generator().manual_seed(seed)
    angle = 2 * math.pi * torch.rand(count, generator=generator)
    inside = torch.arange(count) % 2 == 0
    u = torch.rand(count, generator=generator)
    radius = torch.where(inside, u.sqrt(), (4 + 5 * u).sqrt())  # even over the areas
    points = radius[:, None] * torch.stack([angle.cos(), angle.sin()], 1)
    return points, inside.float()


def fit(stacks: Stacks, rate: float, seed: int, steps: int = STEPS) -> Stacks:
    """Train all stacks on the same points; one that diverges stays as bad as it is."""
    points, labels = disc_and_ring(POINTS, seed)
    optimizer = torch.optim.Adam(stacks.parameters(), rate)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, steps)
    for _ in range(steps):
        optimizer.zero_grad()
        logits = stacks(points)
        loss = F.binary_cross_entropy_with_logits(logits, labels.expand_as(logits))
        (loss * len(logits)).backward()  # the sum over stacks: each has its own gradient
        optimizer.step()
        schedule.step()
    return stacks


def circles() -> tuple[Tensor, Tensor]:
    """Return points (21, 720, 2) on circles between 1 and 3, and a fine grid (N, 2) of the disc."""
    angle = torch.arange(720) * (2 * math.pi / 720)
    round_ = torch.stack([angle.cos(), angle.sin()], 1)
    grid = torch.linspace(-1, 1, 41)
    points = torch.cartesian_prod(grid, grid)
    return torch.linspace(1, 3, 21)[:, None, None] * round_, points[points.norm(dim=1) <= 1]


@torch.no_grad()
def outcome(stacks: Stacks, seed: int) -> dict[str, list[Any]]:
    """Return the accuracy of each stack on unseen points, and whether it encloses the disc."""
    points, labels = disc_and_ring(4000, seed)
    accuracy = ((stacks(points) > 0) == (labels > 0)).float().mean(1)
    rings, disc = circles()
    outside = (stacks(rings.flatten(0, 1)) < 0).unflatten(1, rings.shape[:2]).all(2).any(1)
    encloses = outside & ((stacks(disc) > 0).float().mean(1) >= 0.9)
    return {"accuracy": [round(a, 4) for a in accuracy.tolist()], "encloses": encloses.tolist()}


@torch.no_grad()
def folds(stacks: Stacks) -> list[int]:
    """Return in how many of its blocks each residual stack folds the plane.

    A block does not if det(I + V D W) > 0 for every pattern D of zeros and ones of active units:
    the determinant is linear in each entry, so it is positive for all D between them, and two
    points are mapped apart by (I + V D W) times what lies between them, with such a D.
    """
    found = torch.zeros(len(stacks.head), dtype=torch.int64)
    for w, v in zip(stacks.w, stacks.v, strict=True):
        patterns = itertools.product((0.0, 1.0), repeat=w.shape[1])
        slopes = [torch.eye(w.shape[2]) + v * torch.tensor(d) @ w for d in patterns]
        found += (torch.stack([torch.linalg.det(slope) for slope in slopes]) <= 0).any(0)
    return found.tolist()


def kept(stacks: Stacks, which: int) -> dict[str, Any]:
    """Return the weights of one stack as lists, each with one entry for each block."""
    numbers: dict[str, Any] = {
        name: [t[which].detach().numpy().round(5).tolist() for t in getattr(stacks, name)]
        for name in ("w", "b", "v")
    }
    return {**numbers, "head": stacks.head[which].detach().numpy().round(5).tolist()}


def drawn(arm: str, depth: int) -> Stacks:
    """Return the kept stack of a stored row, as a batch of one."""
    (row,) = results.runs("expressivity", part="run", arm=arm, depth=depth)
    w, b, v = ([torch.tensor([x]) for x in row["best"][name]] for name in ("w", "b", "v"))
    return Stacks(w, b, v, torch.tensor([row["best"]["head"]]), ARMS[arm][2])


def measured(arm: str, depth: int, rate: float) -> dict[str, Any]:
    """Train the stacks that are reported, and return what came of them."""
    stacks = fit(started(arm, depth, 0), rate, 0)
    found: dict[str, Any] = outcome(stacks, 100)
    best = max(range(STACKS), key=found["accuracy"].__getitem__)
    return {**found, "best": kept(stacks, best)}


def main() -> None:
    torch.set_num_threads(1)
    runs = common.Runs("expressivity", __file__)
    for arm in ARMS:
        for depth in DEPTHS:

            def score(rate: float, seed: int, arm: str = arm, depth: int = depth) -> float:
                stacks = fit(started(arm, depth, seed, SEARCHED), rate, seed)
                return sum(outcome(stacks, 100 + seed)["accuracy"]) / SEARCHED

            place = {"arm": arm, "depth": depth}
            best = runs.best_rate(score, common.ADAM_RATES, **place)
            runs.row(
                lambda arm=arm, depth=depth, best=best: measured(arm, depth, best),
                part="run",
                learning_rate=best,
                **place,
            )
    runs.store(stacks=STACKS, steps=STEPS, points=POINTS)


if __name__ == "__main__":
    main()
