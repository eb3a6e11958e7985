"""Faults that a specialist would put in by hand, each in all twins at once.

A rule fits wherever its pattern does; where one framework writes the same thing otherwise, or wrote
it otherwise in an earlier version, the fault has several rules (see :class:`patterns.Change`).
"""

from __future__ import annotations

from tools.mutations.patterns import Change, Fault

BOTH = ("torch", "tensorflow")
ALL = ("reference", "torch", "tensorflow")
SHARED = ("shared",)


def _fault(name: str, *changes: Change) -> Fault:
    return Fault(name, changes)


def _one(name: str, scope: str, *rules: tuple[str, ...], where: tuple[str, ...] = BOTH) -> Fault:
    """A fault that is one edit in each twin."""
    return Fault(name, (Change(scope, rules, where),))


_TRANSFORMERS = (
    _one("DeepNorm's exponent is 1/2", "sublayer", ("A_ ** 0.25", "A_ ** 0.5")),
    _one(
        "DeepNorm's gain of the initial weights is left out",
        "transformer",
        ("rescale(A_, B_, *C_)", "rescale(A_, 1.0, *C_)"),
    ),
    _one(
        "sandwich norm without its second norm",
        "sublayer",
        ("layer", "norm_out"),
        ("A_ if norm == 'sandwich' else None", "None"),
    ),
    _one(
        "the MLP of a Transformer has ReLU for GELU",
        "feed_forward",
        ("nn.GELU()", "nn.ReLU()"),
        ("keras.layers.Activation('gelu', **K_)", "keras.layers.Activation('relu', **K_)"),
    ),
    _one(
        "attention is scaled by d instead of sqrt(d)",
        "Attention.*",
        ("A_ / math.sqrt(B_)", "A_ / B_"),
    ),
    _one(
        "the causal mask lets a token see the next one",
        "Attention.*",
        ("A_.triu(1)", "A_.triu(2)"),
        ("A_[:, None] >= A_", "A_[:, None] + 1 >= A_"),
    ),
    _one("positions have the base 1000", "(Sinusoidal)?Positions.*", ("1e4", "1e3")),
    _fault(
        "an LSTM's forget gate starts closed (bias 0)",
        Change(
            "_(start|first_values)",
            (("np.repeat([0.0, 1.0, 0.0, 0.0], A_)", "np.repeat([0.0, 0.0, 0.0, 0.0], A_)"),),
            SHARED,
        ),
        Change(
            "LSTM.*",
            (
                ("torch.tensor([0.0, 1.0, 0.0, 0.0])", "torch.tensor([0.0, 0.0, 0.0, 0.0])"),
                (
                    "A_[self.hidden_size : 2 * self.hidden_size] = 1",
                    "A_[self.hidden_size : 2 * self.hidden_size] = 0",
                ),
                (
                    "super().__init__(channels, **{**usual, **keras_options})",
                    "super().__init__(channels, unit_forget_bias=False, **usual)",
                ),
            ),
        ),
    ),
)

_STREAMS = (
    _one(
        "Sinkhorn runs once",
        "(S|s)inkhorn.*",
        ("default", "iterations", "1"),
        where=ALL,
    ),
    _one(
        "mHC writes with sigmoid instead of 2 sigmoid",
        ".*(Stream|Depth|Width|Connection).*",
        ("2 * torch.sigmoid(A_)", "torch.sigmoid(A_)"),
        ("2 * ops.sigmoid(A_)", "ops.sigmoid(A_)"),
        ("2 * A_.sigmoid()", "A_.sigmoid()"),
        ("2 * _sigmoid(A_)", "_sigmoid(A_)"),
        ("1 - self.write / 2", "1 - self.write"),
        ("1 - A_ / 2", "1 - A_"),
        where=ALL,
    ),
    _one(
        "attention over depth reads keys without norm",
        "(DepthPooling|AttendOverDepth).*",
        ("rms_norm(x)", "x"),
        ("self.norm.forward(x)", "x"),
        ("self.norm.backward(A_)", "A_"),
        where=ALL,
    ),
    _fault(
        "the halves of a RevNet do not change places",
        Change(
            "(AdditiveCoupling|CoupledAdd).*",
            (
                ("torch.cat([A_, B_ + C_], dim=1)", "torch.cat([B_ + C_, A_], dim=1)"),
                (
                    "ops.concatenate([A_, B_ + C_], axis=-1)",
                    "ops.concatenate([B_ + C_, A_], axis=-1)",
                ),
            ),  # fmt: skip
        ),
        Change(
            "(ReversibleBlock|CoupledBlock)",
            (
                ("second, summed = A_", "summed, second = A_"),
                ("d_second, d_summed = A_", "d_summed, d_second = A_"),
            ),
        ),
    ),
)

_BLOCKS = (
    _one("the separable block has no ReLU inside", "SeparableBlock.*", ("layer", "relu1")),
    _one("no ReLU inside a basic block", "BasicBlock.*", ("layer", "relu1"), where=ALL),
    _one(
        "a pre-activation bottleneck has no third norm",
        "PreActivationBottleneckBlock.*",
        ("layer", "norm3"),
        where=ALL,
    ),
    _fault(
        "a projection has no norm",
        Change("Projection.*", (("layer", "norm"),), ("reference", "torch")),
        Change(
            "Projection.*",
            (
                ("self.norm(A_, training=training)", "A_"),
                ("self.norm(A_)", "A_"),
                ("self.norm = A_", "pass"),
            ),
            ("tensorflow",),
        ),
    ),
    _one(
        "option A begins with the second pixel",
        "ZeroPad.*",
        ("A_[:, :, ::S_, ::S_]", "A_[:, :, S_ - 1 :: S_, S_ - 1 :: S_]"),
        ("A_[:, ::S_, ::S_, :]", "A_[:, S_ - 1 :: S_, S_ - 1 :: S_, :]"),
        ("A_[:, ::S_, ::S_]", "A_[:, S_ - 1 :: S_, S_ - 1 :: S_]"),
        where=ALL,
    ),
    _one(
        "squeeze-and-excitation has no sigmoid",
        "SqueezeExcitation.*",
        ("torch.sigmoid(A_)", "A_"),
        ("ops.sigmoid(A_)", "A_"),
    ),
    _one(
        "v1 and v1.5 change places",
        "BottleneckBlock.__init__",
        ("self.strided == 'conv1'", "self.strided != 'conv1'"),
    ),
    _one("ResNeXt has 4 groups", "ResNeXtBlock", ("groups = 32", "groups = 4")),
    _one("batch norm has eps 1e-3", "BatchNorm2d.*", ("1e-5", "1e-3"), where=ALL),
    _fault(
        "batch norm keeps a tenth of the old statistics",
        Change("BatchNorm2d", (("0.1", "0.9"),), ("reference", "torch")),
        Change("BatchNorm2d", (("0.9", "0.1"),), ("tensorflow",)),
    ),
    _one("layer norm has eps 1e-3", "LayerNorm.*", ("1e-5", "1e-3")),
)

_MERGES = (
    _one(
        "stochastic depth has no survival factor at test time",
        "StochasticDepth.forward",
        ("self.survival * branch", "branch"),
    ),
    _one(
        "linear decay begins at survival 1",
        "linear_(decay|survival)",
        ("range(1, A_ + 1)", "range(0, A_)"),
        where=SHARED,
    ),
    _one(
        "a highway's gate carries where it should transform",
        "Highway.*",
        ("(1 - gate) * A_ + gate * B_", "gate * A_ + (1 - gate) * B_"),
        ("self.f - self.x", "self.x - self.f"),
        ("dy * (1 - self.gate) + A_", "dy * self.gate + A_"),
        ("np.moveaxis(dy * self.gate, *A_)", "np.moveaxis(dy * (1 - self.gate), *A_)"),
        where=ALL,
    ),
    _one("LayerScale starts at 1", "LayerScale.__init__", ("default", "initial", "1.0"), where=ALL),
    _one("SkipInit starts at 1", "ScaledAdd.__init__", ("default", "initial", "1.0"), where=ALL),
    _one("a highway starts open", "Highway.__init__", ("default", "bias", "2.0"), where=ALL),
    _one(
        "Transformers' LayerScale starts at 1",
        "_merged",
        ("LayerScale(A_, 0.1, **K_)", "LayerScale(A_, 1.0, **K_)"),
    ),
)

_NETWORKS = (
    _one(
        "all dilations of the speech network are 1",
        "speech_resnet",
        ("2 ** (A_ % 3)", "1"),
    ),
    _one(
        "DenseNet is not compressed",
        "densenet_cifar",
        ("Conv2d(channels, channels // 2, **K_)", "Conv2d(channels, channels, **K_)"),
        ("channels //= 2", "pass"),
    ),
    _one(
        "a wide ResNet's last stage is not widened",
        "wide_resnet",
        ("16 * k * 2 ** A_", "16 * (k if A_ < 2 else 1) * 2 ** A_"),
        where=SHARED,
    ),
    _one(
        "the long skip of a U-Net begins before the blocks of its level",
        "residual_unet",
        (
            "OrderedDict(left=A_, across=Residual(nn.Sequential(below), *B_, **K_), right=C_)",
            "OrderedDict(across=Residual(nn.Sequential(OrderedDict(left=A_, **below)), *B_, **K_), "
            "right=C_)",
        ),
        (
            "[A_, Residual(Sequential(below, **S_), *B_, **K_), C_]",
            "[Residual(Sequential([A_, *below], **S_), *B_, **K_), C_]",
        ),
    ),
    _one("DnCNN adds", "dncnn", ("Subtract(**K_)", "None")),
    _one("an MLP block has no ReLU", "MLPBlock.*", ("layer", "relu{i}")),
    _fault(
        "convolutions start with fan-in",
        Change("_(start|first_values)", (("A_[:, 0].size", "A_[0].size"),), SHARED),
        Change(
            "Conv2d.*",
            (
                ("self.weight[:, 0].numel()", "self.weight[0].numel()"),
                ("kernel_size**2 * out_channels", "kernel_size**2 * in_channels"),
            ),
        ),
    ),
    _one(
        "Fixup scales by L^(-1/2m)",
        "_factors",
        ("-1 / (2 * A_ - 2)", "-1 / (2 * A_)"),
        where=SHARED,
    ),
    _one(
        "a hidden dense layer starts without He's factor",
        "HiddenDense.*",
        ("gain = 2.0", "gain = 1.0"),
        ("math.sqrt(2 / A_)", "math.sqrt(1 / A_)"),
    ),  # fmt: skip
)

_TRAINING = (
    _one(
        "label smoothing spares the label itself (K - 1 classes)",
        ".*",
        (
            "A_ * (1 - self.label_smoothing) + self.label_smoothing / classes",
            "A_ * (1 - self.label_smoothing) + (1 - A_) * self.label_smoothing / (classes - 1)",
        ),
        (
            "{'ignore_index': -1, 'label_smoothing': A_}",
            "{'ignore_index': -1, 'label_smoothing': A_ * logits.shape[1] / (logits.shape[1] - 1)}",
        ),
        (
            "F.cross_entropy(L_, *R_, label_smoothing=A_, **K_)",
            "F.cross_entropy(L_, *R_, label_smoothing=A_ * L_.shape[1] / (L_.shape[1] - 1), **K_)",
        ),
    ),
    _one(
        "Nesterov does not look ahead",
        ".*",
        ("torch._foreach_add_(self.parameters, steps)", "pass"),
        (
            "torch._foreach_add_(self.parameters, self.velocity, alpha=self.momentum)",
            "torch._foreach_add_(self.parameters, self.velocity)",
        ),
        ("p.add_(change).add_(velocity, alpha=self.momentum)", "p.add_(velocity)"),
        (
            "Nesterov(*A_, nesterov=True, **K_)",
            "Nesterov(*A_, nesterov=False, **K_)",
        ),
    ),  # fmt: skip
    _one(
        "Adam does not correct its bias",  # Keras's own Adam cannot be changed
        "_?Adam.*",
        ("rate *= A_", "pass"),
        where=("torch",),
    ),
    _one(
        "weights decay on biases and norms too",
        ".*",
        ("[p for p in self.parameters if p.ndim > 1]", "[p for p in self.parameters]"),
        ("if p.ndim > 1:\n    p.mul_(A_)", "p.mul_(A_)"),
        ("recipe.weight_decay if len(v.shape) > 1 else 0.0", "recipe.weight_decay"),
    ),
    _one(
        "ignored labels count as class 0",
        ".*(ntropy|loss|labels).*",
        ("F.cross_entropy(A_, labels, **K_)", "F.cross_entropy(A_, labels.clamp(min=0), **K_)"),
        ("ops.cast(labels >= 0, A_.dtype)", "ops.cast(labels >= -1, A_.dtype)"),
    ),
    _one(
        "the schedule has no warm-up",
        "Recipe.rate",
        ("max(1, round(0.25 * A_))", "0"),
        where=SHARED,
    ),
    _one(
        "the schedule ends at half its peak",
        "Recipe.rate",
        ("math.cos(math.pi * A_)", "math.cos(math.pi / 2 * A_)"),
        where=SHARED,
    ),
)

_MEASURES = (
    _one("PSNR has the factor 20", "psnr", ("-10 * A_", "-20 * A_"), where=SHARED),
    _one("Dice without its factor 2", "dice", ("2 * A_ / B_", "A_ / B_"), where=SHARED),
    _one(
        "Dice of a class that neither has is 0",
        "dice",
        ("np.ones(A_)", "np.zeros(A_)"),
        where=SHARED,
    ),
    _one(
        "effective rank of values that do not sum to 1",
        "effective_rank",
        ("A_[A_ > 0] / A_.sum()", "A_[A_ > 0]"),
        where=SHARED,
    ),
    _one(
        "the rank-one residual keeps the mean token",
        "rank_one_residual",
        ("tokens - tokens.mean(0)", "tokens"),
        where=SHARED,
    ),
    _one(
        "autocorrelation is the unbiased estimate",
        "autocorrelation",
        ("(A_[lag:] * B_).sum()", "(A_[lag:] * B_).mean() * rows"),
        where=SHARED,
    ),
    _one(
        "gradient norms are those of the biases",
        "gradient_norms",
        ("p.ndim > 1", "p.ndim < 2"),
        ("len(v.shape) > 1", "len(v.shape) < 2"),
    ),
    _one(
        "path gradients count shortcuts instead of branches",
        "path_gradients",
        ("[torch.zeros_like(at)] + A_", "A_ + [torch.zeros_like(at)]"),
        ("[shortcut for A_, B_ in split] + C_", "C_ + [shortcut for A_, B_ in split]"),
        where=("torch",),
    ),
    _one(
        "activation variances are standard deviations",
        "activation_variances",
        ("A_.var(correction=0)", "A_.std(correction=0)"),
        ("np.var(A_)", "np.std(A_)"),
    ),
)

#: All of them.
FAULTS = (*_TRANSFORMERS, *_STREAMS, *_BLOCKS, *_MERGES, *_NETWORKS, *_TRAINING, *_MEASURES)
