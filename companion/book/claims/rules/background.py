"""The article's section 1: background."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS

_ACCOMPANY = {
    "smallest_first_gradient_with_norm": 0.3,
    "largest_first_gradient_with_norm": 500.0,
    "lost_after_40_epochs": 0.002,
}
_DATES = {"lstm": 1997, "highway_networks": 1505, "vdsr": 1511, "residual_networks": 1512}


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
            "log10_at_gain_1": -9.0,
            "log10_at_gain_2": -3.0,
            "lost_at_32": 0.1,
            "margin_of_the_loss": 0.01,
            "level_at_32": 0.01,
            **_ACCOMPANY,
        },
        WITH_CONDITIONS: {
            "log10_at_gain_1": -9.1,
            "log10_at_gain_2": 0.0,
            "lost_at_32": 0.036,
            "margin_of_the_loss": 0.01,
            "level_at_32": 5.0,
            **_ACCOMPANY,
        },
        FAILS: {
            "log10_at_gain_1": -0.5,
            "log10_at_gain_2": 0.0,
            "lost_at_32": 0.001,
            "margin_of_the_loss": 0.001,
            "level_at_32": 1.0,
            **_ACCOMPANY,
        },
    },
)
def trouble(
    log10_at_gain_1: float,
    log10_at_gain_2: float,
    lost_at_32: float,
    margin_of_the_loss: float,
    level_at_32: float,
    *,
    smallest_first_gradient_with_norm: float,
    largest_first_gradient_with_norm: float,
    lost_after_40_epochs: float,
) -> Verdict:
    measured = (
        f"over 60 layers without a norm the gradient's length changes by 10^{log10_at_gain_1:g} at "
        f"g = 1 and by 10^{round(log10_at_gain_2, 1) + 0:g} at g = 2; with batch norm the first "
        f"layer's gradient grows from {smallest_first_gradient_with_norm:g} at 8 layers to "
        f"{largest_first_gradient_with_norm:g} at 56"
    )
    if abs(log10_at_gain_1) < 1:
        return Verdict(FAILS, f"{measured}; no scale of weights was found that does harm")
    if lost_at_32 < margin_of_the_loss:
        return Verdict(FAILS, f"{measured}; but depth costs no training accuracy: {lost_at_32:g}")
    lost = (
        f"32 layers end {lost_at_32:g} ± {margin_of_the_loss:g} of training accuracy below 8 after "
        f"4 epochs ({lost_after_40_epochs:g} after 40, on smaller digits)"
    )
    if abs(log10_at_gain_2) > 1 and not 0.1 < level_at_32 < 10:
        return Verdict(HOLDS, f"{measured}; {lost}, with gradients that are not level")
    return Verdict(
        WITH_CONDITIONS,
        f"{measured}: the scale of the weights decides. And it is not the whole story: {lost}, "
        f"though their first gradient is then {level_at_32:g} times the last, by the steepest of "
        "three measures. The article does not name degradation",
    )


@claim(
    "B2",
    section="1",
    kind="derived",
    word=WITH_CONDITIONS,
    statement="a residual connection lets the gradient pass straight to early layers",
    notebook="04_gradients",
    test="tests/library/test_probes.py::test_path_lengths_are_binomial",
)
def straight(
    *,
    log10_plain: float,
    log10_residual: float,
    log10_plain_at_2: float,
    log10_residual_at_2: float,
) -> str:
    return (
        "where the shortcuts are identities and nothing stands on the stream, the derivative of a "
        "block is I + dF/dx, and that of a stack holds the identity as one of its 2^L paths; in "
        "the original block that path is a product of the ReLUs' zeros and ones. How long the "
        "whole gradient is, that does not say: over 50 layers without normalisation its length "
        f"changes by a factor of 10^{log10_residual:g} with shortcuts and of 10^{log10_plain:g} "
        f"without at weights of variance 1/n, of 10^{log10_residual_at_2:g} and of "
        f"10^{log10_plain_at_2 + 0:g} at 2/n"
    )


@claim(
    "B3",
    section="7, 9, reference 1",
    kind="cited",
    statement="the 2015 ResNet paper was the first to propose residual connections",
    notebook="01_background",
    test="tests/book/test_claims.py::test_the_dates_of_b3_are_the_bibliographys",
    examples={
        HOLDS: {"earlier_shortcuts": 0, "most_shared": 0, **_DATES},
        WITH_CONDITIONS: {"earlier_shortcuts": 5, "most_shared": 3, **_DATES},
        FAILS: {"earlier_shortcuts": 5, "most_shared": 4, **_DATES},
    },
)
def first_proposal(
    earlier_shortcuts: int,
    most_shared: int,
    *,
    lstm: int,
    highway_networks: int,
    vdsr: int,
    residual_networks: int,
) -> Verdict:
    if not earlier_shortcuts:
        return Verdict(HOLDS, f"no earlier shortcut than arXiv {residual_networks} was found")
    if most_shared == 4:
        return Verdict(FAILS, "an earlier network had the same shortcuts")
    return Verdict(
        WITH_CONDITIONS,
        "the first that we know of whose shortcuts are always open, have no parameters, run along "
        f"the depth and repeat every few layers (arXiv {residual_networks}, year and month). Each "
        f"of the {earlier_shortcuts} earlier shortcuts that we looked up has at most {most_shared} "
        f"of the four: the LSTM of {lstm} carries its cell ungated, through time; highway networks "
        f"({highway_networks}) have gates; VDSR ({vdsr}) adds its input once, around everything",
    )
