"""The article's section 3: algorithm."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim


@claim(
    "A1",
    section="3.1, 4.1",
    kind="derived",
    statement="H(x) = F(x) + x, where F is the output of some layer and x the identity mapping",
    notebook="03_algorithm",
    test="tests/library/test_reference.py::test_gradients_equal_finite_differences",
    examples={
        WITH_CONDITIONS: {
            "output_minus_input_against_branch": 0.0,
            "output_minus_input_against_first_layer": 1.0,
            "gradients_differ_by": 0.0,
        },
        FAILS: {
            "output_minus_input_against_branch": 1.0,
            "output_minus_input_against_first_layer": 1.0,
            "gradients_differ_by": 0.0,
        },
    },
)
def definition(
    output_minus_input_against_branch: float,
    output_minus_input_against_first_layer: float,
    gradients_differ_by: float,
) -> Verdict:
    if output_minus_input_against_branch > 1e-6 or gradients_differ_by > 1e-5:
        return Verdict(
            FAILS, f"H(x) - x and the branch differ by {output_minus_input_against_branch:g}"
        )
    return Verdict(
        WITH_CONDITIONS,
        "the equation holds, its words do not: F is what both layers of the branch make of x "
        f"(H(x) - x differs from it by {output_minus_input_against_branch:g}, from the first "
        f"layer's output by {output_minus_input_against_first_layer:g}), and x is the block's "
        f"input; three implementations agree up to {gradients_differ_by:g}",
    )


@claim(
    "A2",
    section="3.2, 9.3",
    kind="derived",
    statement="inside a block every layer's output is passed to the next by a residual connection",
    notebook="02_idea",
    test="tests/library/test_graph.py::test_a_graph_shows_what_read_what",
    examples={
        HOLDS: {"results_read_twice": 2, "convolutions": 2},
        FAILS: {"results_read_twice": 1, "convolutions": 2},
    },
)
def every_layer(results_read_twice: int, convolutions: int) -> Verdict:
    if results_read_twice < convolutions:
        return Verdict(
            FAILS,
            f"{results_read_twice} result of the block is read twice, its input: one shortcut "
            f"around all {convolutions} convolutions; passing everything on is DenseNet's design",
        )
    return Verdict(HOLDS, f"{results_read_twice} results of the block are read twice")


@claim(
    "A3",
    section="3.3, 8.3",
    kind="measured",
    statement="drawback: more computation, since each layer has to compute two outputs",
    notebook="03_algorithm",
    test="tests/library/test_costs.py::test_costs_are_counted_by_hand",
    examples={
        HOLDS: {"share_in_resnet34": 0.3, "largest_share": 0.5},
        WITH_CONDITIONS: {"share_in_resnet34": 0.00038, "largest_share": 0.0021},
    },
)
def computation(share_in_resnet34: float, largest_share: float) -> Verdict:
    measured = (
        f"the additions are {100 * share_in_resnet34:g} % of ResNet-34's multiply-adds, at most "
        f"{100 * largest_share:g} % in the networks counted"
    )
    if largest_share < 0.01:
        return Verdict(
            WITH_CONDITIONS,
            f"in the letter, not in size: {measured}. No layer computes two outputs",
        )
    return Verdict(HOLDS, measured)


@claim(
    "A4",
    section="3.3, 8.3, 9.3",
    kind="measured",
    statement="drawback: extra parameters are needed to represent the identity mapping",
    notebook="03_algorithm",
    test="tests/library/test_shortcuts.py::test_projections_stand_where_the_paper_has_them",
    examples={
        HOLDS: {"identity": 100, "zero_pad": 100, "projections": 100, "whole": 1000},
        FAILS: {"identity": 0, "zero_pad": 0, "projections": 173824, "whole": 21797672},
    },
)
def parameters(identity: int, zero_pad: int, projections: int, whole: int) -> Verdict:
    if identity or zero_pad:
        return Verdict(HOLDS, f"{identity} for the identity, {zero_pad} for zero-padding")
    return Verdict(
        FAILS,
        f"{identity} for the identity and {zero_pad} for zero-padding; projections, where a shape "
        f"changes, have {projections:,} of ResNet-34's {whole:,}",
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
            "test_gain_at_8": -0.05,
            "test_gain_at_20": -0.05,
            "gap_difference": 0.05,
            "extra_parameters": 0,
        },
        FAILS: {
            "test_gain_at_8": -0.002,
            "test_gain_at_20": 0.0083,
            "gap_difference": 0.0023,
            "extra_parameters": 0,
        },
    },
)
def overfitting(
    test_gain_at_8: float, test_gain_at_20: float, gap_difference: float, extra_parameters: int
) -> Verdict:
    measured = (
        f"the gap between training and test accuracy changes by {gap_difference:+g}, the test "
        f"accuracy by {test_gain_at_8:+g} at 8 layers and {test_gain_at_20:+g} at 20"
    )
    if gap_difference > 0.02 or min(test_gain_at_8, test_gain_at_20) < -0.02:
        return Verdict(HOLDS, f"with {extra_parameters} extra parameters {measured}")
    if extra_parameters == 0:
        return Verdict(
            FAILS,
            f"identity and zero-padding have none (A4); and at equal parameters {measured}",
        )
    return Verdict(FAILS, measured)
