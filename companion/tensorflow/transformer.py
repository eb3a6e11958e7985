"""The Transformer block, where normalisation may stand, and how its streams join."""

from __future__ import annotations

from typing import Any

import keras
from keras import KerasTensor as Tensor

from companion import _checks, architectures
from companion.architectures import MERGES, NORMS
from companion.tensorflow._layer import (
    Composite,
    FurtherInputs,
    PassesMask,
    first_output,
    share_dtype,
)
from companion.tensorflow._saving import Sequential
from companion.tensorflow.depth_attention import DepthAttentionBlock, DepthPooling
from companion.tensorflow.hyper_connections import (
    ExpandStreams,
    HyperConnection,
    ManifoldHyperConnection,
    ReduceStreams,
)
from companion.tensorflow.layers import Dense
from companion.tensorflow.merges import Highway, LayerScale, ScaledAdd, StochasticDepth
from companion.tensorflow.residual import Residual
from companion.tensorflow.resnet import build_sequential
from companion.tensorflow.sequence_layers import (
    Attention,
    Embedding,
    LayerNorm,
    SinusoidalPositions,
)
from companion.weights.initializers import rescale


@keras.saving.register_keras_serializable("companion")
class Scale(PassesMask):
    """x times a constant: the shortcut of DeepNorm."""

    def __init__(self, factor: float, **keras_options: Any) -> None:
        self.factor = _checks.finite_number("factor", factor)
        super().__init__(**keras_options)

    def call(self, x: Tensor) -> Tensor:
        return self.factor * x


@keras.saving.register_keras_serializable("companion")
class NormalizedBranch(FurtherInputs):
    """norm_out(function(norm(x))): F with the norms around it, each of which may be ``None``.

    Further inputs of a call go to F, and what F returns may be several outputs; norm_out has the
    first of them.
    """

    def __init__(
        self,
        function: keras.layers.Layer,
        norm: keras.layers.Layer | None = None,
        norm_out: keras.layers.Layer | None = None,
        **keras_options: Any,
    ) -> None:
        super().__init__(**keras_options)
        self.norm, self.function, self.norm_out = norm, function, norm_out

    def forward(self, x: Tensor, *inputs: Any, **named: Any) -> Any:
        y = self.function(x if self.norm is None else self.norm(x), *inputs, **named)
        return y if self.norm_out is None else self.norm_out(first_output(y))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return None  # the layers inside have done it


def sublayer(
    branch: keras.layers.Layer,
    channels: int,
    norm: str = "pre",
    depth: int = 1,
    residual: bool = True,
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
    before = LayerNorm(channels, name="norm") if norm in ("pre", "sandwich") else None
    behind = LayerNorm(channels, name="norm_out") if norm == "sandwich" else None
    inside = NormalizedBranch(branch, before, behind, name="branch")
    shortcut: Any = "identity" if residual else None
    if residual and norm == "deepnorm":
        shortcut = Scale((2 * _checks.positive_int("depth", depth)) ** 0.25)
    after = LayerNorm(channels, name="activation") if norm in ("post", "deepnorm") else None
    return Residual(inside, shortcut, activation=after)


@keras.saving.register_keras_serializable("companion")
class TransformerBlock(Composite):
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
        **keras_options: Any,
    ) -> None:
        attention = Attention(channels, heads, causal, name="function")
        super().__init__(**keras_options)
        self.attention = sublayer(attention, channels, norm, depth, residual)
        self.mlp = sublayer(feed_forward(channels), channels, norm, depth, residual)
        self.attention.name, self.mlp.name = "attention", "mlp"
        share_dtype(self, keras_options)
        self.known_shape = (None, None, channels)

    @property
    def layers(self) -> list[keras.layers.Layer]:
        """The two residual connections, for ``summary(expand_nested=True)``."""
        return [self.attention, self.mlp]

    def call(self, x: Tensor) -> Tensor:
        return self.mlp(self.attention(x))

    def compute_mask(self, inputs: Any, previous_mask: Any) -> Any:
        return previous_mask


def feed_forward(channels: int) -> keras.Sequential:
    """Return Dense to four times the channels, GELU, Dense back."""
    return Sequential(
        [
            Dense(channels, 4 * channels, name="dense1"),
            keras.layers.Activation("gelu", name="gelu"),
            Dense(4 * channels, channels, name="dense2"),
        ],
        name="function",
    )


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
) -> keras.Sequential:
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
    blocks = []
    for i in range(depth):
        if merge == "add":
            block = TransformerBlock(channels, heads, norm, causal, depth, residual, name=str(i))
        else:
            attention = Attention(channels, heads, causal, name="function")
            sublayers = [
                _merged(attention, channels, merge, 2 * i, 2 * depth),
                _merged(feed_forward(channels), channels, merge, 2 * i + 1, 2 * depth),
            ]
            sublayers[0].name, sublayers[1].name = "attention", "mlp"
            block = Sequential(sublayers, name=str(i))
        blocks.append(block)
    parts = [
        keras.Input((None,), dtype="int32"),
        Embedding(vocabulary, channels, name="embedding"),
        SinusoidalPositions(channels, name="positions"),
    ]
    if merge in ("hyper", "manifold", "depth_attention"):
        parts.append(ExpandStreams(1 if merge == "depth_attention" else 4, name="expand"))
    parts.append(Sequential(blocks, name="blocks"))
    if merge in ("hyper", "manifold"):
        parts.append(ReduceStreams(name="reduce"))
    if merge == "depth_attention":
        parts.append(DepthPooling(channels, name="reduce"))
    parts += [LayerNorm(channels, name="norm"), Dense(channels, vocabulary, name="dense")]
    model = build_sequential(parts, "transformer", seed)
    if norm == "deepnorm":  # arXiv 2203.00555, figure 2: b = (8 depth)^(-1/4)
        rescale(model, (8 * depth) ** -0.25, (".value", ".out", ".dense1", ".dense2"))
    return model


def _merged(
    function: keras.layers.Layer, channels: int, merge: str, index: int, total: int
) -> Residual:
    """Return a pre-normalised branch joined by ``merge``, sublayer ``index`` of ``total``."""
    branch = NormalizedBranch(function, LayerNorm(channels, name="norm"), name="branch")
    if merge == "hyper":
        return HyperConnection(branch, channels, index=index)
    if merge == "manifold":
        return ManifoldHyperConnection(branch, channels)
    if merge == "depth_attention":
        return DepthAttentionBlock(branch, channels)
    if merge == "stochastic_depth":
        survival = architectures.linear_decay(total)[index]
        return Residual(branch, merge=StochasticDepth(survival, name="merge"))
    joined: dict[str, Any] = {
        "rezero": lambda: ScaledAdd(name="merge"),
        "layer_scale": lambda: LayerScale(channels, 0.1, axis=-1, name="merge"),
        "highway": lambda: Highway(channels, axis=-1, name="merge"),
    }
    return Residual(branch, merge=joined[merge]())
