"""The article's section 8.4 and its third FAQ, question 4: other shortcuts and other merges."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim

#: Standard errors of a mean over pairs of seeds beyond which a difference counts.
SURE = 2.0
#: Highway gates start at sigmoid(-2).
START = 0.12
#: Two standard errors of a difference between means of three seeds that spread by 0.02.
GAIN = 0.035


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
            "norm_behind": 1.0,
            "norm_slower": 0.3,
            "activation_behind": -1.0,
            "activation_slower": 1.0,
            "identity": 0.97,
            "preactivation": 0.97,
            "halved": 0.97,
            "separable_alone": 0.5,
        },
        WITH_CONDITIONS: {
            "norm": 0.96,
            "activation": 0.98,
            "separable": 0.98,
            "norm_behind": 1.0,
            "norm_slower": 9.6,
            "activation_behind": 0.0,
            "activation_slower": 1.7,
            "identity": 0.97,
            "preactivation": 0.97,
            "halved": 0.82,
            "separable_alone": 0.47,
        },
        FAILS: {
            "norm": 0.49,
            "activation": 0.98,
            "separable": 0.98,
            "norm_behind": 9.0,
            "norm_slower": 9.0,
            "activation_behind": 0.0,
            "activation_slower": 1.0,
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
    norm_slower: float,
    activation_behind: float,
    activation_slower: float,
    *,
    identity: float,
    preactivation: float,
    halved: float,
    separable_alone: float,
) -> Verdict:
    """``behind``: in test accuracy, each at its own rate; ``slower``: in the logarithm of the
    training loss, at equal rates, the milder of two. Both against the same network with nothing on
    the shortcut, in standard errors over pairs of seeds."""
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
        "the batch norm costs test accuracy": norm_behind,
        "the batch norm learns more slowly at equal rates": norm_slower,
        "the ReLU costs test accuracy": activation_behind,
        "the ReLU learns more slowly at equal rates": activation_slower,
    }
    sure = [f"{what} ({times:g} standard errors)" for what, times in costs.items() if times > SURE]
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
            "scale_from_zero": 0.06,
            "gate_dates": 0.14,
            "gate_digits": 0.2,
            "mixing_gain": 1.3,
            "addition": 0.8,
            "best_fixed": 0.7,
            "best_learned": 0.84,
        },
        WITH_CONDITIONS: {
            "scale_from_zero": 0.063,
            "gate_dates": 0.11,
            "gate_digits": 0.12,
            "mixing_gain": 6.2,
            "addition": 0.83,
            "best_fixed": 0.86,
            "best_learned": 0.86,
        },
        FAILS: {
            "scale_from_zero": 0.0,
            "gate_dates": 0.12,
            "gate_digits": 0.12,
            "mixing_gain": 1.0,
            "addition": 0.6,
            "best_fixed": 0.6,
            "best_learned": 0.6,
        },
    },
)
def adaptive(
    scale_from_zero: float,
    gate_dates: float,
    gate_digits: float,
    mixing_gain: float,
    addition: float,
    best_fixed: float,
    best_learned: float,
) -> Verdict:
    learned = (
        f"they exist and learn: ReZero's scales from 0 to {scale_from_zero:g}, highway gates from "
        f"0.12 to {gate_dates:g} on dates and {gate_digits:g} on digits, the product of the mixing "
        f"matrices of hyper-connections from a gain of 1 to {mixing_gain:g}"
    )
    helped = (
        f"characters right: the best of them {best_learned:g}, plain addition with the same "
        f"branches {addition:g}, the best place of the norms {best_fixed:g}"
    )
    moved = (
        scale_from_zero >= 0.05,
        mixing_gain >= 1.2,
        abs(gate_dates - START) >= 0.01,
        abs(gate_digits - START) >= 0.01,
    )
    if not any(moved):
        return Verdict(FAILS, f"what they learn stays where it started; {helped}")
    limits = [] if all(moved) else ["not all of them move"]
    if best_learned <= max(addition, best_fixed) + GAIN:
        limits.append("at this size they gain nothing sure")
    if not limits:
        return Verdict(HOLDS, f"{learned}; {helped}")
    return Verdict(WITH_CONDITIONS, f"{learned}, but {' and '.join(limits)}; {helped}")
