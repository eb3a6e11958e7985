"""Every merge of the companion on one task at one budget, and what each of them learns.

Transformers of four blocks on dates of thirty locales (200 steps of 32 lines), and convolutional
networks of 32 layers (or the nearest depth that their design allows) on digits of 8 x 8 pixels
(four epochs; twelve for the designs that are meant to do without norms, and for their siblings
that have them). The controls without shortcuts stand beside them. Rates come from one search on
held-out examples: on digits over as many epochs as are reported, since a rate that is good for six
may make a run of twelve diverge; on dates over half of the steps; of the arms that are compared
with and without norms over two seeds. About half an hour on one core.

    python -m companion.book.experiments.merges
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

import companion.torch as cp
from companion import architectures, weights
from companion.book.experiments import common
from companion.book.experiments.remedies import Times
from companion.data import dates, digits8
from companion.torch.hyper_connections import WidthConnection, rms_norm
from companion.torch.transformer import NormalizedBranch
from companion.translation import Translation

DATES: dict[str, Any] = {"epochs": 2, "batch_size": 32, "optimizer": "adam", "weight_decay": 0.0}
DIGITS: dict[str, Any] = {"batch_size": 64}
DATES_SEEDS, DIGITS_SEEDS = (0, 1, 2), (0, 1, 2, 3, 4)
COMPARED_SEARCH = (7, 8)
#: Transformers: where addition has its norms, and other merges with a norm before each branch.
NORMS = ("pre", "post", "sandwich", "deepnorm")
MERGES = ("rezero", "layer_scale", "highway", "stochastic_depth", "hyper", "manifold")
MERGES += ("depth_attention",)
#: Without any norm, not even the last. ReZero is one of them; "rezero" above is its scale alone.
BARE = ("bare", "bare_rezero")
IMAGES = ("plain", "add", "scale", "layer_scale", "highway", "stochastic_depth", "dense")
IMAGES += ("reversible", "bare_plain", "bare_add", "skip_init", "fixup", "norm_free")
#: With norms and without, their rates searched over two seeds; for twelve epochs as well.
COMPARED = ("plain", "add", "scale", "bare_plain", "bare_add", "skip_init", "fixup")
COMPARED += ("norm_free",)
#: On each branch of the arm "norm_free", and what its weights are multiplied by after a ReLU.
ALPHA, GAMMA = 0.2, (2 / (1 - 1 / np.pi)) ** 0.5


def transformer(arm: str, vocabulary: int, seed: int) -> nn.Sequential:
    if arm == "plain":
        return cp.transformer(vocabulary, 4, 32, residual=False, seed=seed)
    if arm == "bare":
        return bare(cp.transformer(vocabulary, 4, 32, norm="none", seed=seed))
    if arm == "bare_rezero":
        return bare(cp.transformer(vocabulary, 4, 32, merge="rezero", seed=seed))
    if arm in MERGES:
        return cp.transformer(vocabulary, 4, 32, merge=arm, seed=seed)
    return cp.transformer(vocabulary, 4, 32, norm=arm, seed=seed)


def bare(model: nn.Sequential) -> nn.Sequential:
    """Return the Transformer without its layer norms; all other weights are the same."""
    for module in model.modules():
        if isinstance(module, NormalizedBranch):
            module.norm = None
    model.norm = nn.Identity()
    return model


def images(arm: str, seed: int) -> nn.Module:
    if arm == "dense":
        return cp.densenet_cifar(34, 6, in_channels=1, seed=seed)
    if arm == "reversible":
        return cp.revnet_cifar(38, 16, recompute=False, in_channels=1, seed=seed)
    if arm == "fixup":
        return cp.fixup_resnet(32, 8, in_channels=1, seed=seed)
    without = arm in ("plain", "bare_plain")
    model = cp.cifar_preact_resnet(32, 8, residual=not without, in_channels=1, seed=seed)
    survivals = iter(architectures.linear_decay(15))
    merges: dict[str, Callable[[int], nn.Module]] = {
        "scale": lambda channels: cp.ScaledAdd(),
        "skip_init": lambda channels: cp.ScaledAdd(),
        "layer_scale": lambda channels: cp.LayerScale(channels, 0.1),
        "highway": cp.Highway,
        "stochastic_depth": lambda channels: cp.StochasticDepth(next(survivals)),
    }
    if arm in merges:
        for stage in model.stages:
            for block in stage:
                block.merge = merges[arm](block.branch.conv2.out_channels)
    if arm.startswith("bare") or arm in ("skip_init", "norm_free"):
        biased(model)
    weights.initialize(model, seed)
    return norm_free(model) if arm == "norm_free" else model


def biased(model: nn.Module) -> None:
    """Take out every batch norm; each convolution gets a bias in its place, from 0."""
    for module in list(model.modules()):
        for name, child in module.named_children():
            if isinstance(child, cp.BatchNorm2d):
                setattr(module, name, nn.Identity())
            elif isinstance(child, cp.Conv2d):
                child.bias = nn.Parameter(torch.zeros(child.out_channels))


class Standardized(nn.Module):
    """A kernel with mean 0 and mean square ``gamma``^2 / N for each channel out, times its gain.

    N is the number of weights of that channel. The gain is learned, from 1.
    """

    def __init__(self, channels: int, gamma: float) -> None:
        super().__init__()
        self.gamma, self.gain = gamma, nn.Parameter(torch.ones(channels))

    def forward(self, weight: Tensor) -> Tensor:
        flat = weight.flatten(1)
        centred = flat - flat.mean(1, keepdim=True)
        length = centred.norm(dim=1, keepdim=True).clamp_min(1e-6)
        return (self.gamma * self.gain[:, None] * centred / length).view_as(weight)


def norm_free(model: nn.Module) -> nn.Module:
    """Return the network that has lost its norms as an NF-ResNet, x + alpha f(x / beta).

    Brock et al. 2021, arXiv 2101.08692: beta is the root of the variance that is predicted for x
    at the start. It grows by alpha^2 with each block; where the shortcut fills new channels with
    zeros, as many as there are, the mean over the channels is halved. Kernels are standardised,
    those that read a ReLU's output with gamma.
    """
    variance = 1.0
    for stage in model.stages:
        for block in stage:
            block.branch.norm1 = Times(variance**-0.5)
            block.branch.append(Times(ALPHA))
            wider = isinstance(block.shortcut, cp.ZeroPad)
            variance = variance / (2 if wider else 1) + ALPHA**2
    for name, module in list(model.named_modules()):
        if isinstance(module, cp.Conv2d):
            kernel = Standardized(module.out_channels, GAMMA if "branch" in name else 1.0)
            parametrize.register_parametrization(module, "weight", kernel)
    return model


def learnt(model: nn.Module, x: np.ndarray) -> dict[str, list]:
    """Return what the merges learnt, in order of depth, averaged over the examples x.

    scale: of each branch; gate: of each highway; mixing: matrix of each layer, and how far its
    rows and columns are from a sum of one; reading: weights of each layer over all before it.
    """
    found: dict[str, list] = {}

    def keep(name: str, value: Tensor) -> None:
        found.setdefault(name, []).append(np.round(value.detach().numpy(), 4).tolist())

    def mixing(module: WidthConnection, inputs: tuple, output: tuple) -> None:
        _, each, _ = module.weights(inputs[0])
        keep("mixing", each.mean(dim=(0, 1)))
        sums = torch.stack([each.sum(-1), each.sum(-2)])
        keep("furthest_from_one", (sums - 1).abs().max())

    def gate(module: cp.Highway, inputs: tuple, output: Tensor) -> None:
        shortcut = inputs[0].movedim(1, -1) if inputs[0].ndim == 4 else inputs[0]
        keep("gate", torch.sigmoid(shortcut @ module.weight + module.bias).mean())

    def reading(module: cp.DepthPooling, inputs: tuple, output: Tensor) -> None:
        each = (rms_norm(inputs[0]) @ module.query).softmax(dim=2)
        keep("reading", each.mean(dim=(0, 1)))

    hooks = []
    for module in model.modules():
        if isinstance(module, (cp.ScaledAdd, cp.LayerScale)):
            keep("scale", module.scale.abs().mean())
        if isinstance(module, WidthConnection):
            hooks.append(module.register_forward_hook(mixing))
        if isinstance(module, cp.Highway):
            hooks.append(module.register_forward_hook(gate))
        if isinstance(module, cp.DepthPooling):
            hooks.append(module.register_forward_hook(reading))
    cp.predict(model, x, batch_size=len(x))
    for hook in hooks:
        hook.remove()
    return found


def evaluated(model: nn.Module, x: Any, y: Any) -> tuple[float, float]:
    """Return accuracy and minus the loss, as the search compares them."""
    loss, accuracy = cp.evaluate(model, x, y)
    return accuracy, -loss


def trained(model: nn.Module, data: Any, seed: int, **settings: Any) -> dict[str, Any]:
    torch.manual_seed(seed)  # of stochastic depth
    row: dict[str, Any] = {"parameters": sum(p.numel() for p in model.parameters())}
    with common.cpu_seconds() as seconds:
        try:
            row["last_epoch_loss"] = round(
                cp.fit(model, data, seed=seed, progress=False, **settings).loss[-1], 4
            )
            found = evaluated(model, data.x_test[:500], data.y_test[:500])[0]
            row.update(accuracy=round(found, 4), diverged=False)
        except (FloatingPointError, ValueError):  # loss or outputs are no numbers any more
            row.update(last_epoch_loss=9.9, accuracy=0.1, diverged=True)
    row["cpu_seconds"] = round(seconds[0], 2)
    return row


def score(model: nn.Module, held: Any, seed: int, **settings: Any) -> tuple[float, float]:
    """Of a model trained on what is left of the training part, on what was held out."""
    torch.manual_seed(seed)
    cp.fit(model, held, seed=seed, progress=False, **settings)
    try:
        return evaluated(model, held.x_test[:500], held.y_test[:500])
    except ValueError as error:
        raise FloatingPointError from error


def translations(runs: common.Runs) -> None:
    pairs = dates(size=12_800)
    lines, held = (Translation.from_pairs(p).take(3200) for p in (pairs, pairs.validation()))
    half = {**DATES, "epochs": DATES["epochs"] // 2}
    for arm in ("plain", *BARE, *NORMS, *MERGES):

        def build(seed: int, arm: str = arm) -> nn.Module:
            return transformer(arm, lines.num_classes, seed)

        def tried(rate: float, seed: int, build: Any = build) -> tuple[float, float]:
            return score(build(seed), held, seed, learning_rate=rate, **half)

        def make(rate: float, seed: int, build: Any = build) -> dict[str, Any]:
            model = build(seed)
            row = trained(model, lines, seed, learning_rate=rate, **DATES)
            if row["diverged"]:
                return {**row, "exact": 0.0}
            row["exact"] = round(lines.exact_match(lambda x: cp.predict(model, x), 300), 4)
            return {**row, **learnt(model, lines.x_test[:100])}

        rate = runs.best_rate(tried, common.ADAM_RATES, task="dates", arm=arm)
        for seed in DATES_SEEDS:
            place = {"part": "test", "task": "dates", "arm": arm}
            place |= {"seed": seed, "learning_rate": rate}
            runs.row(lambda s=seed, r=rate, m=make: m(r, s), **place)


def pictures(runs: common.Runs) -> None:
    digits = digits8()
    held = digits.validation(300)
    for arm, epochs in [(arm, 4) for arm in IMAGES] + [(arm, 12) for arm in COMPARED]:
        settings = {**DIGITS, "epochs": epochs}

        def tried(rate: float, seed: int, arm: str = arm, s: Any = settings) -> tuple[float, float]:
            return score(images(arm, seed), held, seed, learning_rate=rate, **s)

        def make(rate: float, seed: int, arm: str = arm, s: Any = settings) -> dict[str, Any]:
            model = images(arm, seed)
            row = trained(model, digits, seed, learning_rate=rate, **s)
            return row if row["diverged"] else {**row, **learnt(model, digits.x_test[:100])}

        place = {"task": "digits", "arm": arm, "epochs": epochs}
        seeds = COMPARED_SEARCH if arm in COMPARED else common.SEARCH_SEEDS
        rate = runs.best_rate(tried, common.SGD_RATES, seeds, **place)
        for seed in DIGITS_SEEDS:
            at = {"part": "test", **place, "seed": seed, "learning_rate": rate}
            runs.row(lambda s=seed, r=rate, m=make: m(r, s), **at)


if __name__ == "__main__":
    torch.set_num_threads(1)
    rows = common.Runs("merges", __file__)
    pictures(rows)
    translations(rows)
    rows.store()
