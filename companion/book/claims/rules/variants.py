"""The article's section 8.4 and its third FAQ, question 4: other shortcuts and other merges."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim

#: Training losses further apart than this factor count as different.
FACTOR = 2.0
#: Highway gates start at sigmoid(-2).
START = 0.12
#: Two standard errors of a difference between means of three seeds that spread by 0.02.
GAIN = 0.035


@claim(
    "Q5",
    section="9 (third FAQ), 4",
    kind="measured",
    statement="variants are the identity, a shortcut with a norm or activation on it, and "
    "depthwise "
    "separable convolution",
    notebook="08_history",
    test="tests/book/test_stored_variants.py::test_what_stands_on_the_shortcut_costs",
    examples={
        HOLDS: {
            "identity": 0.97,
            "norm": 0.97,
            "norm_loss_times": 1.0,
            "activation": 0.97,
            "activation_loss_times": 1.0,
            "halved": 0.97,
            "separable": 0.97,
            "separable_alone": 0.5,
        },
        WITH_CONDITIONS: {
            "identity": 0.97,
            "norm": 0.96,
            "norm_loss_times": 9.6,
            "activation": 0.98,
            "activation_loss_times": 1.7,
            "halved": 0.82,
            "separable": 0.98,
            "separable_alone": 0.47,
        },
        FAILS: {
            "identity": 0.97,
            "norm": 0.49,
            "norm_loss_times": 1.0,
            "activation": 0.98,
            "activation_loss_times": 1.0,
            "halved": 0.8,
            "separable": 0.98,
            "separable_alone": 0.5,
        },
    },
)
def variants(
    identity: float,
    norm: float,
    norm_loss_times: float,
    activation: float,
    activation_loss_times: float,
    halved: float,
    separable: float,
    separable_alone: float,
) -> Verdict:
    accuracies = (
        f"test accuracy at 44 layers: identity {identity:g}, a batch norm on the shortcut "
        f"{norm:g}, a ReLU on it {activation:g}"
    )
    third = (
        f"separable convolution is no shortcut but a branch, and needs one as any branch does: "
        f"{separable:g} with, {separable_alone:g} without"
    )
    if min(norm, activation, separable) < 0.5:
        return Verdict(FAILS, f"one of them does not train; {accuracies}; {third}")
    if max(norm_loss_times, activation_loss_times) <= FACTOR:
        return Verdict(HOLDS, f"{accuracies}; {third}")
    return Verdict(
        WITH_CONDITIONS,
        f"{accuracies}, but their training losses are {norm_loss_times:g} and "
        f"{activation_loss_times:g} times those of a clean one, each at its own best rate, and "
        f"what shrinks the shortcut costs more (times 0.5: {halved:g}); {third}",
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
