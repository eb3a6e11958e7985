"""The article's section 2: concept."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim


@claim(
    "C3",
    section="2.3, 3.3, 8.1, 9.2",
    kind="measured",
    statement="residual connections relieve vanishing gradients",
    notebook="01_background",
    test="tests/library/test_probes.py::test_gradient_norms_of_a_linear_network",
    examples={
        HOLDS: {"log10_plain": -9.1, "log10_residual": 1.5},
        FAILS: {"log10_plain": -9.0, "log10_residual": -8.0},
    },
)
def vanishing(log10_plain: float, log10_residual: float) -> Verdict:
    measured = (
        "over 60 layers without normalisation the gradient's length changes by a factor of "
        f"10^{log10_plain:g} without and 10^{log10_residual:g} with shortcuts"
    )
    if log10_residual > -1 > log10_plain:
        return Verdict(HOLDS, measured)
    return Verdict(FAILS, measured)


@claim(
    "C1",
    section="2.1",
    kind="measured",
    statement="information can cross several layers directly",
    notebook="02_idea",
    test="tests/library/test_shortcuts.py::test_zeroed_branches_leave_the_composed_shortcuts",
    examples={
        HOLDS: {"largest_difference": 0.0, "left_in_the_plain_network": 0.0},
        FAILS: {"largest_difference": 0.5, "left_in_the_plain_network": 0.0},
    },
)
def crossing(largest_difference: float, left_in_the_plain_network: float) -> Verdict:
    if largest_difference == 0:
        return Verdict(
            HOLDS,
            "with every branch silenced the output equals the composed shortcuts exactly, while "
            f"{left_in_the_plain_network:g} is left in the plain network",
        )
    return Verdict(FAILS, f"output and composed shortcuts differ by {largest_difference:g}")


@claim(
    "C2",
    section="2.2",
    kind="derived",
    statement="the residual connection runs from a residual block to the convolution behind it",
    notebook="02_idea",
    test="tests/library/test_graph.py::test_a_graph_shows_what_read_what",
    examples={
        HOLDS: {"additions": 1, "starts_at_the_blocks_input": 0, "convolutions_around": 2},
        FAILS: {"additions": 1, "starts_at_the_blocks_input": 1, "convolutions_around": 2},
    },
)
def place(additions: int, starts_at_the_blocks_input: int, convolutions_around: int) -> Verdict:
    if additions and starts_at_the_blocks_input:
        return Verdict(
            FAILS,
            "in the record of a run the shortcut starts at the block's own input and goes around "
            f"its {convolutions_around} convolutions",
        )
    return Verdict(HOLDS, "in the record of a run no shortcut starts at the block's input")


@claim(
    "C5",
    section="2.3, 3.3, 9.2",
    kind="measured",
    statement="they speed up convergence, since every layer gets its information straight from the "
    "input layer",
    notebook="02_idea",
    test="tests/book/test_page_numbers.py::test_deep_plain_networks_need_more_epochs",
    examples={
        HOLDS: {
            "plain_at_8": 3,
            "residual_at_8": 3,
            "plain_at_44": 13,
            "residual_at_44": 4,
            "share_of_the_input": 0.51,
        },
        WITH_CONDITIONS: {
            "plain_at_8": 4,
            "residual_at_8": 3,
            "plain_at_44": 13,
            "residual_at_44": 4,
            "share_of_the_input": 0.02,
        },
        FAILS: {
            "plain_at_8": 3,
            "residual_at_8": 3,
            "plain_at_44": 3,
            "residual_at_44": 3,
            "share_of_the_input": 0.01,
        },
    },
)
def convergence(
    plain_at_8: int,
    residual_at_8: int,
    plain_at_44: int,
    residual_at_44: int,
    share_of_the_input: float,
) -> Verdict:
    if plain_at_44 <= residual_at_44:
        return Verdict(
            FAILS,
            f"at 44 layers {_epochs(residual_at_44)} epochs with shortcuts, "
            f"{_epochs(plain_at_44)} without",
        )
    faster = (
        f"at 44 layers {residual_at_44} epochs to the same loss against {_epochs(plain_at_44)}, "
        f"at 8 layers {residual_at_8} against {plain_at_8}"
    )
    if share_of_the_input > 0.5:
        return Verdict(HOLDS, f"{faster}; the input makes up most of what a late layer sees")
    return Verdict(
        WITH_CONDITIONS,
        f"deep networks, yes: {faster}. The reason given does not hold: the input makes up "
        f"{100 * share_of_the_input:g} % of what the last block sees",
    )


def _epochs(count: int) -> str:
    return "more than 12" if count > 12 else str(count)


@claim(
    "C6",
    section="2.3, 3.3, 9.6",
    kind="measured",
    statement="they let the network learn more complex features and so perform better",
    notebook="02_idea",
    test="tests/book/test_page_numbers.py::test_shortcuts_do_not_matter_at_depth_8_and_do_at_44",
    examples={
        HOLDS: {"gain_at_8": 0.1, "gain_at_56": 0.4, "same_function_up_to": 1.0},
        WITH_CONDITIONS: {"gain_at_8": -0.002, "gain_at_56": 0.42, "same_function_up_to": 1e-05},
        FAILS: {"gain_at_8": 0, "gain_at_56": 0.01, "same_function_up_to": 1e-05},
    },
)
def features(gain_at_8: float, gain_at_56: float, same_function_up_to: float) -> Verdict:
    if gain_at_56 < 0.02:
        return Verdict(FAILS, f"at 56 layers the test accuracy changes by {gain_at_56:+g}")
    better = f"test accuracy {gain_at_8:+g} at 8 layers, {gain_at_56:+g} at 56"
    if same_function_up_to > 1e-4:
        return Verdict(HOLDS, f"{better}, and no plain network was found that computes the same")
    return Verdict(
        WITH_CONDITIONS,
        f"better when deep ({better}); not by more complex features: a plain network with "
        "more channels inside computes the same function",
    )


@claim(
    "C4",
    section="2.3, 3.3, 8.1, 9.2",
    kind="measured",
    statement="residual connections relieve exploding gradients",
    notebook="04_scale",
    test="tests/book/test_claims.py::test_gradients_explode_where_the_verdict_says",
    examples={
        HOLDS: {
            "plain": 7.1,
            "residual": 1.0,
            "plain_with_batch_norm": 6.0,
            "residual_with_batch_norm": 1.0,
            "plain_at_gain_2": 0.0,
            "residual_at_gain_2": 0.0,
            "plain_with_batch_norm_looking_linear": 6.0,
        },
        WITH_CONDITIONS: {
            "plain": 7.1,
            "residual": 10.0,
            "plain_with_batch_norm": 6.5,
            "residual_with_batch_norm": 1.5,
            "plain_at_gain_2": 0.0,
            "residual_at_gain_2": 6.0,
            "plain_with_batch_norm_looking_linear": 0.1,
        },
        FAILS: {
            "plain": 7.1,
            "residual": 10.0,
            "plain_with_batch_norm": 1.0,
            "residual_with_batch_norm": 1.0,
            "plain_at_gain_2": 0.0,
            "residual_at_gain_2": 6.0,
            "plain_with_batch_norm_looking_linear": 0.1,
        },
    },
)
def exploding(
    plain: float,
    residual: float,
    plain_with_batch_norm: float,
    residual_with_batch_norm: float,
    *,
    plain_at_gain_2: float,
    residual_at_gain_2: float,
    plain_with_batch_norm_looking_linear: float,
) -> Verdict:
    measured = (
        "over 40 blocks, at the start, the gradient's length is multiplied, with batch norm, by "
        f"10^{residual_with_batch_norm:.1f} with shortcuts and 10^{plain_with_batch_norm:.1f} "
        "without them; without a norm, at weights at which the plain stack explodes (gain 3), by "
        f"10^{residual:.1f} and 10^{plain:.1f}, at He's (gain 2) by 10^{residual_at_gain_2:.1f} "
        f"and 10^{plain_at_gain_2 + 0:.1f}"
    )
    bare = residual < plain - 0.5
    normalised = residual_with_batch_norm < plain_with_batch_norm - 0.5
    if bare and normalised:
        return Verdict(HOLDS, measured)
    if normalised:
        start = (
            "; and there is another way: weights at which the plain stack starts as a linear map "
            f"bring it to 10^{plain_with_batch_norm_looking_linear:.1f}"
        )
        return Verdict(WITH_CONDITIONS, f"where there is batch norm: {measured}{start}")
    return Verdict(WITH_CONDITIONS if bare else FAILS, measured)
