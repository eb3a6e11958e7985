"""The Transformer block, where normalisation may stand, and how its streams join."""

from __future__ import annotations

from collections import OrderedDict
from typing import Any

import torch.fx
from torch import Tensor, nn

from companion import _checks, architectures
from companion.architectures import MERGES, NORMS
from companion.torch.depth_attention import DepthAttentionBlock, DepthPooling
from companion.torch.hyper_connections import (
    ExpandStreams,
    HyperConnection,
    ManifoldHyperConnection,
    ReduceStreams,
)
from companion.torch.layers import Dense, skip_init
from companion.torch.merges import Highway, LayerScale, ScaledAdd, StochasticDepth
from companion.torch.residual import Residual, first_output
from companion.torch.resnet import build_sequential
from companion.torch.sequence_layers import Attention, Embedding, LayerNorm, SinusoidalPositions
from companion.weights.initializers import rescale

torch.fx.wrap("first_output")


class Scale(nn.Module):
    """x times a constant: the shortcut of DeepNorm."""

    def __init__(self, factor: float) -> None:
        super().__init__()
        self.factor = _checks.finite_number("factor", factor)

    def extra_repr(self) -> str:
        return f"{self.factor:g}"

    def forward(self, x: Tensor) -> Tensor:
        return self.factor * x


class NormalizedBranch(nn.Module):
    """norm_out(function(norm(x))): F with the norms around it, each of which may be ``None``.

    Further inputs of a call go to F, and what F returns may be several outputs; norm_out has the
    first of them.
    """

    def __init__(
        self,
        function: nn.Module,
        norm: nn.Module | None = None,
        norm_out: nn.Module | None = None,
    ) -> None:
        super().__init__()
        self.norm, self.function, self.norm_out = norm, function, norm_out

    def forward(self, x: Tensor, *args: Any, **kwargs: Any) -> Any:
        y = self.function(x if self.norm is None else self.norm(x), *args, **kwargs)
        return y if self.norm_out is None else self.norm_out(first_output(y))


def sublayer(
    branch: nn.Module, channels: int, norm: str = "pre", depth: int = 1, residual: bool = True
) -> Residual:
    """Return a residual connection around attention or MLP, normalised where ``norm`` says.

    Parameters
    ----------
    branch: F, maps (N, T, channels) to the same shape; further inputs of a call go to it.
    norm: ``"pre"``: x + F(LN x) (Xiong et al. 2020, arXiv 2002.04745);
        ``"post"``: LN(x + F(x)) (Vaswani et al. 2017, arXiv 1706.03762);
        ``"sandwich"``: x + LN(F(LN x)) (arXiv 2105.13290; peri-LN, arXiv 2502.02732);
        ``"deepnorm"``: LN(a x + F(x)), a = (2 depth)^(1/4) (Wang et al. 2022, arXiv 2203.00555);
        ``"none"``: x + F(x).
    depth: blocks of the whole network, for DeepNorm's a.
    residual: ``False`` leaves the shortcut out, and nothing else.

    Raises
    ------
    ValueError: any argument out of its range.
    """
    _checks.option("norm", norm, NORMS)
    residual = _checks.boolean("residual", residual)
    inside = NormalizedBranch(
        branch,
        norm=LayerNorm(channels) if norm in ("pre", "sandwich") else None,
        norm_out=LayerNorm(channels) if norm == "sandwich" else None,
    )
    shortcut: Any = "identity" if residual else None
    if residual and norm == "deepnorm":
        shortcut = Scale((2 * _checks.positive_int("depth", depth)) ** 0.25)
    after = LayerNorm(channels) if norm in ("post", "deepnorm") else None
    return Residual(inside, shortcut, activation=after)


class TransformerBlock(nn.Sequential):
    """Attention, then an MLP, each in a residual connection: (N, T, channels) to the same shape.

    Parameters
    ----------
    channels: of the stream; ``heads`` must divide them.
    heads: of the attention, default 4.
    norm: where the layer norms stand, see :func:`sublayer`; default ``"pre"``.
    causal: whether a token sees only itself and earlier ones, default False.
    depth: blocks of the whole network, for DeepNorm; default 1.
    residual: ``False`` gives the control without shortcuts.

    Raises
    ------
    ValueError: any argument out of its range.
    """

    def __init__(
        self,
        channels: int,
        heads: int = 4,
        norm: str = "pre",
        causal: bool = False,
        depth: int = 1,
        residual: bool = True,
    ) -> None:
        super().__init__(
            OrderedDict(
                attention=sublayer(
                    Attention(channels, heads, causal), channels, norm, depth, residual
                ),
                mlp=sublayer(feed_forward(channels), channels, norm, depth, residual),
            )
        )


def feed_forward(channels: int) -> nn.Sequential:
    """Return Dense to four times the channels, GELU, Dense back."""
    return nn.Sequential(
        OrderedDict(
            dense1=Dense(channels, 4 * channels),
            gelu=nn.GELU(),
            dense2=Dense(4 * channels, channels),
        )
    )


@skip_init()
def transformer(
    vocabulary: int,
    depth: int,
    channels: int = 64,
    heads: int = 4,
    norm: str = "pre",
    merge: str = "add",
    causal: bool = True,
    residual: bool = True,
    seed: int | None = None,
) -> nn.Sequential:
    """Return a Transformer: tokens (N, T) to logits of the next token (N, T, vocabulary).

    Parameters
    ----------
    vocabulary: number of tokens.
    depth: blocks; each has attention and an MLP.
    channels, heads, norm, causal, residual: see :class:`TransformerBlock`; causal is True here.
    merge: how branches join: ``"add"`` (default), ``"rezero"``, ``"layer_scale"``, ``"highway"``,
        ``"stochastic_depth"`` (linear decay to 0.5), ``"hyper"`` and ``"manifold"`` (4 streams),
        ``"depth_attention"``. All but ``"add"`` have their branches normalised as ``norm="pre"``.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: any argument out of its range; another merge than ``"add"`` with another norm than
        ``"pre"``, or without residual connections.
    """
    _checks.positive_int("vocabulary", vocabulary)
    depth = _checks.positive_int("depth", depth)
    _checks.option("norm", norm, NORMS)
    _checks.option("merge", merge, MERGES)
    residual = _checks.boolean("residual", residual)
    seed = _checks.seed(seed)
    if merge != "add" and (norm != "pre" or not residual):
        raise ValueError(
            f"merge must be 'add' unless norm is 'pre' and residual is True, got {merge!r}"
        )
    blocks: list[nn.Module]
    if merge == "add":
        blocks = [
            TransformerBlock(channels, heads, norm, causal, depth, residual) for _ in range(depth)
        ]
    else:
        blocks = [
            nn.Sequential(
                OrderedDict(
                    attention=_merged(
                        Attention(channels, heads, causal), channels, merge, 2 * i, 2 * depth
                    ),
                    mlp=_merged(feed_forward(channels), channels, merge, 2 * i + 1, 2 * depth),
                )
            )
            for i in range(depth)
        ]
    parts = OrderedDict[str, nn.Module](
        embedding=Embedding(vocabulary, channels), positions=SinusoidalPositions(channels)
    )
    if merge in ("hyper", "manifold", "depth_attention"):
        parts["expand"] = ExpandStreams(1 if merge == "depth_attention" else 4)
    parts["blocks"] = nn.Sequential(*blocks)
    if merge in ("hyper", "manifold"):
        parts["reduce"] = ReduceStreams()
    if merge == "depth_attention":
        parts["reduce"] = DepthPooling(channels)
    parts["norm"] = LayerNorm(channels)
    parts["dense"] = Dense(channels, vocabulary)
    model = build_sequential(parts, seed)
    if norm == "deepnorm":  # arXiv 2203.00555, figure 2: b = (8 depth)^(-1/4)
        rescale(model, (8 * depth) ** -0.25, (".value", ".out", ".dense1", ".dense2"))
    return model


def _merged(function: nn.Module, channels: int, merge: str, index: int, total: int) -> Residual:
    """Return a pre-normalised branch joined by ``merge``, sublayer ``index`` of ``total``."""
    branch = NormalizedBranch(function, LayerNorm(channels))
    if merge == "hyper":
        return HyperConnection(branch, channels, index=index)
    if merge == "manifold":
        return ManifoldHyperConnection(branch, channels)
    if merge == "depth_attention":
        return DepthAttentionBlock(branch, channels)
    if merge == "stochastic_depth":
        survival = architectures.linear_decay(total)[index]
        return Residual(branch, merge=StochasticDepth(survival))
    joined: dict[str, Any] = {
        "rezero": ScaledAdd,
        "layer_scale": lambda: LayerScale(channels, 0.1, axis=-1),
        "highway": lambda: Highway(channels, axis=-1),
    }
    return Residual(branch, merge=joined[merge]())
