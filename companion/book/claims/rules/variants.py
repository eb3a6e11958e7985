"""The article's section 8.4 and its third FAQ, question 4: other shortcuts and other merges."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS


@claim(
    "Q5",
    section="9 (third FAQ), 4",
    kind="measured",
    statement="variants are the identity, a shortcut with a norm or activation on it, and "
    "depthwise separable convolution",
    notebook="08_history",
    test="tests/book/test_stored_variants.py::test_what_stands_on_the_shortcut_costs",
    examples={
        HOLDS: {
            "norm": 0.97,
            "activation": 0.97,
            "separable": 0.97,
            "norm_behind": 0.01,
            "norm_behind_margin": 0.02,
            "norm_slower": 0.1,
            "norm_slower_margin": 0.3,
            "activation_behind": -0.01,
            "activation_behind_margin": 0.02,
            "activation_slower": 0.2,
            "activation_slower_margin": 0.3,
            "identity": 0.97,
            "preactivation": 0.97,
            "halved": 0.97,
            "separable_alone": 0.5,
        },
        WITH_CONDITIONS: {
            "norm": 0.96,
            "activation": 0.98,
            "separable": 0.98,
            "norm_behind": 0.01,
            "norm_behind_margin": 0.02,
            "norm_slower": 2,
            "norm_slower_margin": 0.4,
            "activation_behind": 0,
            "activation_behind_margin": 0.02,
            "activation_slower": 0.2,
            "activation_slower_margin": 0.3,
            "identity": 0.97,
            "preactivation": 0.97,
            "halved": 0.82,
            "separable_alone": 0.47,
        },
        FAILS: {
            "norm": 0.49,
            "activation": 0.98,
            "separable": 0.98,
            "norm_behind": 0.4,
            "norm_behind_margin": 0.05,
            "norm_slower": 2,
            "norm_slower_margin": 0.4,
            "activation_behind": 0,
            "activation_behind_margin": 0.02,
            "activation_slower": 0.2,
            "activation_slower_margin": 0.3,
            "identity": 0.97,
            "preactivation": 0.97,
            "halved": 0.8,
            "separable_alone": 0.5,
        },
    },
)
def variants(
    norm: float,
    activation: float,
    separable: float,
    norm_behind: float,
    norm_behind_margin: float,
    norm_slower: float,
    norm_slower_margin: float,
    activation_behind: float,
    activation_behind_margin: float,
    activation_slower: float,
    activation_slower_margin: float,
    *,
    identity: float,
    preactivation: float,
    halved: float,
    separable_alone: float,
) -> Verdict:
    """``behind``: in test accuracy, each at its own rate; ``slower``: in the logarithm of the
    training loss, at equal rates, the milder of two. Both against the same network with nothing on
    the shortcut."""
    accuracies = (
        f"test accuracy at 44 layers: {norm:g} with a batch norm on the shortcut, {identity:g} "
        f"with nothing on it; {activation:g} with a ReLU on it, where the stream may be negative, "
        f"and {preactivation:g} without"
    )
    third = (
        f"separable convolution is no shortcut but a branch: {separable:g} with a shortcut, "
        f"{separable_alone:g} without"
    )
    if min(norm, activation, separable) < 0.5:
        return Verdict(FAILS, f"one of them does not train; {accuracies}; {third}")
    costs = {
        "the batch norm costs test accuracy": (norm_behind, norm_behind_margin),
        "the batch norm learns more slowly at equal rates, in the logarithm of the loss": (
            norm_slower,
            norm_slower_margin,
        ),
        "the ReLU costs test accuracy": (activation_behind, activation_behind_margin),
        "the ReLU learns more slowly at equal rates, in the logarithm of the loss": (
            activation_slower,
            activation_slower_margin,
        ),
    }
    sure = [
        f"{what} ({cost:g} ± {margin:g})" for what, (cost, margin) in costs.items() if cost > margin
    ]
    if not sure:
        return Verdict(HOLDS, f"none of them costs anything sure; {accuracies}; {third}")
    return Verdict(
        WITH_CONDITIONS,
        f"all of them train, but {', '.join(sure)}; what halves the shortcut costs more "
        f"(times 0.5: {halved:g}); {accuracies}; {third}",
    )


@claim(
    "O6",
    section="8.4",
    kind="measured",
    statement="adaptive residual connections will adjust themselves to the task",
    notebook="08_merges",
    test="tests/book/test_stored_variants.py::test_what_the_merges_learn",
    examples={
        HOLDS: {
            "moved": 4,
            "lead": 0.05,
            "lead_margin": 0.01,
            "gates": 0.2,
            "reading": 0.3,
            "layer_scale": 0.2,
            "mixing": 0.3,
            "mixing_gain": 3.0,
            "best_learned": 0.9,
            "best_fixed": 0.85,
            "scale_with_norms": 0.97,
            "skip_init": 0.4,
        },
        WITH_CONDITIONS: {
            "moved": 3,
            "lead": 0.0,
            "lead_margin": 0.01,
            "gates": 0.05,
            "reading": 0.3,
            "layer_scale": 0.14,
            "mixing": 0.3,
            "mixing_gain": 6.0,
            "best_learned": 0.86,
            "best_fixed": 0.86,
            "scale_with_norms": 0.97,
            "skip_init": 0.4,
        },
        FAILS: {
            "moved": 0,
            "lead": 0.0,
            "lead_margin": 0.01,
            "gates": 0.0,
            "reading": 0.0,
            "layer_scale": 0.0,
            "mixing": 0.0,
            "mixing_gain": 1.0,
            "best_learned": 0.86,
            "best_fixed": 0.86,
            "scale_with_norms": 0.97,
            "skip_init": 0.4,
        },
    },
)
def adaptive(
    moved: int,
    lead: float,
    lead_margin: float,
    *,
    gates: float,
    reading: float,
    layer_scale: float,
    mixing: float,
    mixing_gain: float,
    best_learned: float,
    best_fixed: float,
    scale_with_norms: float,
    skip_init: float,
) -> Verdict:
    """``moved``: how many of four kinds leave their start by more than a tenth of it."""
    learned = (
        f"{moved} of 4 kinds leave their start by more than a tenth of it on average (what is read "
        f"over depth by {reading:.0%}, the mixing of streams {mixing:.0%}, LayerScale "
        f"{layer_scale:.0%}, highway gates {gates:.0%}), and the product of eight mixing matrices "
        f"comes to a gain of {mixing_gain:g}"
    )
    helped = (
        f"characters right after 200 steps: the best learned merge {best_learned:g}, the best "
        f"fixed one {best_fixed:g}, both with norms (difference {lead:+g} ± {lead_margin:g}, pairs "
        f"of seeds); on digits after four epochs the scale from 0 has {scale_with_norms:g} with "
        f"norms, and {skip_init:g} without, as SkipInit means it"
    )
    ahead = lead > lead_margin
    if moved == 0 and not ahead:
        return Verdict(FAILS, f"what they learn stays where it started; {helped}")
    if moved == 4 and ahead:
        return Verdict(HOLDS, f"{learned}; {helped}")
    limits = [] if moved == 4 else ["not all of them move"]
    if not ahead:
        limits.append("at this size learning the merge gains nothing sure")
    return Verdict(WITH_CONDITIONS, f"{learned}; but {' and '.join(limits)}; {helped}")
