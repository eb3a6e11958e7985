"""The article's section 1: background."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim


@claim(
    "B1",
    section="1",
    kind="measured",
    statement="as networks get deeper they meet vanishing and exploding gradients, and are hard to "
    "train",
    notebook="01_background",
    test="tests/book/test_page_numbers.py::test_gradients_of_normalised_networks_by_depth",
    examples={
        HOLDS: {
            "log10_first_over_last_without_norm": -9.0,
            "smallest_first_gradient_with_norm": 1e-09,
            "largest_first_gradient_with_norm": 1.0,
            "plain_accuracy_at_8": 1.0,
            "plain_accuracy_at_32": 0.5,
            "level_at_32": 1.0,
        },
        WITH_CONDITIONS: {
            "log10_first_over_last_without_norm": -9.1,
            "smallest_first_gradient_with_norm": 0.33,
            "largest_first_gradient_with_norm": 510.0,
            "plain_accuracy_at_8": 0.99,
            "plain_accuracy_at_32": 0.95,
            "level_at_32": 0.71,
        },
        FAILS: {
            "log10_first_over_last_without_norm": -9,
            "smallest_first_gradient_with_norm": 0.3,
            "largest_first_gradient_with_norm": 500,
            "plain_accuracy_at_8": 0.99,
            "plain_accuracy_at_32": 0.985,
            "level_at_32": 1,
        },
    },
)
def trouble(
    log10_first_over_last_without_norm: float,
    smallest_first_gradient_with_norm: float,
    largest_first_gradient_with_norm: float,
    plain_accuracy_at_8: float,
    plain_accuracy_at_32: float,
    level_at_32: float,
) -> Verdict:
    measured = (
        "without a norm, at an unsuitable scale of weights, the gradient falls to "
        f"10^{log10_first_over_last_without_norm:g} of its length over 60 layers; with batch norm "
        f"it grows instead, from {smallest_first_gradient_with_norm:g} to "
        f"{largest_first_gradient_with_norm:g} between 8 and 56 layers"
    )
    if smallest_first_gradient_with_norm < 1e-3:
        return Verdict(HOLDS, f"{measured}; it vanishes with a norm too")
    if plain_accuracy_at_32 > plain_accuracy_at_8 - 0.01:
        return Verdict(FAILS, f"{measured}; but depth does no harm")
    return Verdict(
        WITH_CONDITIONS,
        f"{measured}. But it is not the whole story: at 32 layers the gradients are level after an "
        f"epoch (first over last {level_at_32:g}), and the training accuracy still ends at "
        f"{plain_accuracy_at_32:g} against {plain_accuracy_at_8:g} at 8. The article does not name "
        "degradation",
    )


@claim(
    "B2",
    section="1",
    kind="derived",
    word=HOLDS,
    statement="a residual connection lets the gradient pass straight to early layers",
    notebook="04_gradients",
    test="tests/library/test_probes.py::test_path_lengths_are_binomial",
)
def straight(*, log10_plain: float, log10_residual: float) -> str:
    return (
        "the derivative of a block is I + dF/dx, and that of a stack holds the identity as one of "
        "its 2^L paths. How long the whole gradient is, that does not say: over 50 layers without "
        "normalisation, at weights of variance 1/n, its length changes by a factor of "
        f"10^{log10_residual:g} with shortcuts and of 10^{log10_plain:g} without"
    )


@claim(
    "B3",
    section="7, 9, reference 1",
    kind="cited",
    statement="the 2015 ResNet paper was the first to propose residual connections",
    notebook="01_background",
    test="tests/book/test_claims.py::test_the_dates_of_b3_are_the_bibliographys",
    examples={
        HOLDS: {"highway_networks": 1601, "residual_networks": 1512},
        WITH_CONDITIONS: {"highway_networks": 1505, "residual_networks": 1512},
    },
)
def first_proposal(highway_networks: int, residual_networks: int) -> Verdict:
    if highway_networks < residual_networks:
        return Verdict(
            WITH_CONDITIONS,
            "the first whose shortcuts have no gate and no parameters; gated ones, highway "
            f"networks, are arXiv {highway_networks}, the residual paper {residual_networks} (year "
            "and month), and its own section 2 names older shortcuts",
        )
    return Verdict(HOLDS, f"no earlier work than arXiv {residual_networks}")
