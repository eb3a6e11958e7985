"""The article's section 3: algorithm."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS


@claim(
    "A1",
    section="3.1, 4.1",
    kind="derived",
    word=WITH_CONDITIONS,
    statement="H(x) = F(x) + x, where F is the output of some layer and x the identity mapping",
    notebook="03_algorithm",
    test="tests/library/test_reference.py::test_gradients_equal_finite_differences",
)
def definition() -> str:
    return (
        "the equation is the definition, its words are not: F is what all layers of the branch "
        "together make of x, x is the block's input, and the identity is the map that carries it"
    )


@claim(
    "A2",
    section="3.2, 9.3",
    kind="derived",
    word=FAILS,
    statement="inside a block every layer's output is passed to the next by a residual connection",
    notebook="02_idea",
    test="tests/library/test_graph.py::test_a_graph_shows_what_read_what",
)
def every_layer(*, convolutions: int) -> str:
    return (
        "by definition a block has one shortcut, from its input to the addition behind its last "
        f"layer: in the basic block it goes around {convolutions} convolutions. All other layers "
        "hand their output to the next, as in any plain network; to hand it to every later layer "
        "is DenseNet's design"
    )


@claim(
    "A3",
    section="3.3, 8.3",
    kind="measured",
    statement="drawback: much more computation, since each layer has to compute two outputs",
    notebook="03_algorithm",
    test="tests/library/test_costs.py::test_costs_are_counted_by_hand",
    examples={
        HOLDS: {"most": 1.0, "additions_at_most": 0.0021, "projections_at_most": 0.998},
        WITH_CONDITIONS: {"most": 0.3, "additions_at_most": 0.0021, "projections_at_most": 0.298},
        FAILS: {"most": 0.098, "additions_at_most": 0.0021, "projections_at_most": 0.096},
    },
)
def computation(most: float, *, additions_at_most: float, projections_at_most: float) -> Verdict:
    measured = (
        f"in the networks counted the additions are at most {100 * additions_at_most:g} % of the "
        f"multiply-adds without shortcuts, projections where a network has them at most "
        f"{100 * projections_at_most:g} %, both together at most {100 * most:g} %"
    )
    if most >= 0.5:
        return Verdict(HOLDS, measured)
    if most >= 0.2:
        return Verdict(WITH_CONDITIONS, f"more, but not much: {measured}")
    return Verdict(FAILS, f"{measured}; and no layer computes two outputs")


@claim(
    "A4",
    section="3.3, 8.3, 9.3",
    kind="derived",
    word=FAILS,
    statement="drawback: extra parameters are needed to represent the identity mapping",
    notebook="03_algorithm",
    test="tests/library/test_shortcuts.py::test_projections_stand_where_the_paper_has_them",
)
def parameters(*, in_resnet34: int, share_in_resnet34: float, share_in_resnet50: float) -> str:
    return (
        "the identity and zero-padding have none by definition; projections, which stand where a "
        f"shape changes and are no identity, add {in_resnet34:,} to ResNet-34 "
        f"({100 * share_in_resnet34:g} %), and {100 * share_in_resnet50:g} % to ResNet-50"
    )


@claim(
    "A5",
    section="8.3",
    kind="measured",
    statement="those extra parameters may make the model overfit and generalise worse",
    notebook="03_algorithm",
    test="tests/book/test_page_numbers.py::test_at_equal_parameters_shortcuts_do_not_hurt_the_test_accuracy",
    examples={
        HOLDS: {
            "hurt": 2,
            "options": 2,
            "lowest": -0.03,
            "highest": -0.02,
            "test_gain_at_8": 0.0,
            "test_gain_at_20": 0.01,
        },
        WITH_CONDITIONS: {
            "hurt": 1,
            "options": 2,
            "lowest": -0.008,
            "highest": 0.002,
            "test_gain_at_8": 0.0,
            "test_gain_at_20": 0.01,
        },
        FAILS: {
            "hurt": 0,
            "options": 2,
            "lowest": -0.004,
            "highest": 0.002,
            "test_gain_at_8": 0.0,
            "test_gain_at_20": 0.01,
        },
    },
)
def overfitting(
    hurt: int,
    options: int,
    *,
    lowest: float,
    highest: float,
    test_gain_at_8: float,
    test_gain_at_20: float,
) -> Verdict:
    measured = (
        f"on 1,000 images, the projections of {hurt} of {options} options widen the gap between "
        "training and test accuracy and lower the test accuracy, each by more than its margin of "
        f"error, at both learning rates; the test accuracy changes by {lowest:+g} to {highest:+g}"
    )
    if hurt > 0 and hurt >= options:
        return Verdict(HOLDS, measured)
    without = (
        "identity and zero-padding have no parameters (A4), and with zero-padding shortcuts change "
        f"the test accuracy by {test_gain_at_8:+g} at 8 layers, by {test_gain_at_20:+g} at 20"
    )
    return Verdict(WITH_CONDITIONS if hurt > 0 else FAILS, f"{without}; {measured}")
