"""The article's section 1: background."""

from __future__ import annotations

from companion.claims.settling import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim


@claim(
    "B1",
    section="1",
    kind="measured",
    says="as networks get deeper they meet vanishing and exploding gradients, and so fail to "
    "converge",
    notebook="01_background",
    test="tests/test_results.py::test_shortcuts_do_not_matter_at_depth_8_and_do_at_44",
    otherwise={
        "log10_first_over_last_without_norm": -9.0,
        "smallest_first_gradient_with_norm": 1e-9,
        "plain_accuracy_at_8": 1.0,
        "plain_accuracy_at_56": 0.1,
    },
)
def trouble(
    log10_first_over_last_without_norm: float,
    smallest_first_gradient_with_norm: float,
    plain_accuracy_at_8: float,
    plain_accuracy_at_56: float,
) -> Verdict:
    without = (
        "without normalisation, at an unsuitable scale of weights, the gradient falls to "
        f"10^{log10_first_over_last_without_norm:g} of its length over 60 layers"
    )
    if smallest_first_gradient_with_norm < 1e-3:
        return Verdict(HOLDS, f"{without}, and with batch normalisation it vanishes too")
    return Verdict(
        WITH_CONDITIONS,
        f"{without}; with batch normalisation nothing vanishes (first layer's gradient at least "
        f"{smallest_first_gradient_with_norm:g}), and depth still hurts: training accuracy "
        f"{plain_accuracy_at_8:g} at 8 layers, {plain_accuracy_at_56:g} at 56. That is "
        "degradation, which the article does not name",
    )


@claim(
    "B2",
    section="1",
    kind="derived",
    says="a residual connection lets the gradient pass straight to early layers",
    notebook="04_gradients",
    test="tests/test_probes.py::test_path_lengths_are_binomial",
    otherwise={"derivation_apart": 0.1, "log10_plain": -8.0, "log10_residual": 1.0},
)
def straight(derivation_apart: float, log10_plain: float, log10_residual: float) -> Verdict:
    if derivation_apart > 1e-4:
        return Verdict(FAILS, f"I + dF/dx and the measured derivative differ: {derivation_apart:g}")
    return Verdict(
        HOLDS,
        "the derivative of a block is I + dF/dx, and that of a stack holds the identity as one of "
        "its 2^L paths; over 50 layers without normalisation the gradient's length changes by a "
        f"factor of 10^{log10_residual:g} with shortcuts and of 10^{log10_plain:g} without",
    )


@claim(
    "B3",
    section="7, 9, reference 1",
    kind="cited",
    says="the 2015 ResNet paper was the first to propose residual connections",
    notebook="01_background",
    test="tests/test_claims.py::test_the_dates_of_b3_are_the_bibliographys",
    otherwise={"highway_networks": 1601, "residual_networks": 1512},
)
def first_proposal(highway_networks: int, residual_networks: int) -> Verdict:
    if highway_networks < residual_networks:
        return Verdict(
            FAILS,
            f"highway networks are arXiv {highway_networks}, the residual paper "
            f"{residual_networks} (year and month), and its own section 2 names older shortcuts; "
            "new was the shortcut without a gate and without parameters",
        )
    return Verdict(HOLDS, f"no earlier work than arXiv {residual_networks}")
