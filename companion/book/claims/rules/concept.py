"""The article's section 2: concept."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS


@claim(
    "C3",
    section="2.3, 3.3, 8.1, 9.2",
    kind="measured",
    statement="residual connections relieve vanishing gradients",
    notebook="01_background",
    test="tests/library/test_probes.py::test_gradient_norms_of_a_linear_network",
    examples={
        HOLDS: {
            "log10_plain": -9.1,
            "log10_residual": 1.5,
            "log10_plain_at_2": 0.0,
            "log10_residual_at_2": 0.5,
        },
        WITH_CONDITIONS: {
            "log10_plain": -9.1,
            "log10_residual": 1.5,
            "log10_plain_at_2": 0.0,
            "log10_residual_at_2": 4.6,
        },
        FAILS: {
            "log10_plain": -9.0,
            "log10_residual": -8.0,
            "log10_plain_at_2": 0.0,
            "log10_residual_at_2": -0.5,
        },
    },
)
def vanishing(
    log10_plain: float, log10_residual: float, log10_plain_at_2: float, log10_residual_at_2: float
) -> Verdict:
    measured = (
        "over 60 layers without normalisation the gradient's length changes, at g = 1, by "
        f"10^{log10_plain:g} without and 10^{log10_residual:g} with shortcuts"
    )
    other = (
        f"at g = 2 by 10^{round(log10_plain_at_2, 1) + 0:g} without and 10^{log10_residual_at_2:g} "
        "with them"
    )
    if not log10_residual > -1 > log10_plain:
        return Verdict(FAILS, f"{measured}, {other}")
    if abs(log10_residual_at_2) > max(1, abs(log10_plain_at_2)):
        return Verdict(
            WITH_CONDITIONS,
            f"where gradients vanish: {measured}; {other}, where there is nothing to relieve and "
            "the shortcuts make the gradient explode",
        )
    return Verdict(HOLDS, f"{measured}; {other}")


@claim(
    "C1",
    section="2.1",
    kind="derived",
    word=HOLDS,
    statement="information can cross several layers directly",
    notebook="02_idea",
    test="tests/library/test_shortcuts.py::test_zeroed_branches_leave_the_composed_shortcuts",
)
def crossing(*, blocks: int) -> str:
    return (
        f"by construction: with all {blocks} branches silenced a network's stream is what its "
        "shortcuts carry, bit for bit, and its plain control is left with nothing; not all of it: "
        "at each change of shape options A, B and C keep one pixel in four"
    )


@claim(
    "C2",
    section="2.2",
    kind="derived",
    word=FAILS,
    statement="the residual connection runs from a residual block to the convolution behind it",
    notebook="02_idea",
    test="tests/library/test_graph.py::test_a_graph_shows_what_read_what",
)
def place(*, convolutions_around: int) -> str:
    return (
        "by definition the shortcut starts at the block's own input and goes around its layers, "
        f"{convolutions_around} convolutions in a basic block; an arrow from a block to the next "
        "layer is in every plain network too"
    )


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
            "saved_at_8": 2.0,
            "margin_at_8": 0.3,
            "saved_at_44": 9.0,
            "margin_at_44": 0.0,
            "kept_without_gradient": 0.9,
            "margin_of_kept": 0.1,
            "share_of_the_input": 0.02,
            "recovered": 0.9,
            "recovered_in_plain": 0.4,
        },
        WITH_CONDITIONS: {
            "saved_at_8": 0.3,
            "margin_at_8": 0.3,
            "saved_at_44": 9.0,
            "margin_at_44": 0.0,
            "kept_without_gradient": 0.4,
            "margin_of_kept": 0.1,
            "share_of_the_input": 0.02,
            "recovered": 0.9,
            "recovered_in_plain": 0.4,
        },
        FAILS: {
            "saved_at_8": 0.0,
            "margin_at_8": 0.3,
            "saved_at_44": 0.3,
            "margin_at_44": 0.3,
            "kept_without_gradient": 0.4,
            "margin_of_kept": 0.1,
            "share_of_the_input": 0.02,
            "recovered": 0.9,
            "recovered_in_plain": 0.4,
        },
    },
)
def convergence(
    saved_at_8: float,
    margin_at_8: float,
    saved_at_44: float,
    margin_at_44: float,
    kept_without_gradient: float,
    margin_of_kept: float,
    *,
    share_of_the_input: float,
    recovered: float,
    recovered_in_plain: float,
) -> Verdict:
    saves = (
        f"at 44 layers shortcuts save {saved_at_44:g} (± {margin_at_44:g}) of 12 epochs or more, a "
        f"run that does not get there counted as 13; at 8 layers {saved_at_8:g} (± {margin_at_8:g})"
    )
    if saved_at_44 < max(1, margin_at_44):
        return Verdict(FAILS, saves)
    reason = (
        "the input reaches the last block (a linear map recovers "
        f"{100 * recovered:g} % of it there, {100 * recovered_in_plain:g} % in the plain network, "
        f"though the carried input is only {100 * share_of_the_input:g} % of the stream: the "
        "branches repeat it); but in other networks of 32 layers shortcuts that carry values and "
        f"no gradient close {100 * kept_without_gradient:g} % (± {100 * margin_of_kept:g}) of the "
        "gap in training loss"
    )
    shallow = saved_at_8 >= max(0.3, margin_at_8)  # a tenth of the three epochs or so
    if shallow and kept_without_gradient - margin_of_kept > 0.5:
        return Verdict(HOLDS, f"{saves}; {reason}")
    return Verdict(WITH_CONDITIONS, f"{saves}. The reason given is half of one: {reason}")


@claim(
    "C6",
    section="2.3, 3.3, 9.6",
    kind="measured",
    statement="they let the network learn more complex features and so perform better",
    notebook="02_stream",
    test="tests/book/test_page_numbers.py::test_shortcuts_do_not_matter_at_depth_8_and_do_at_44",
    examples={
        HOLDS: {
            "gain_at_8": 0.1,
            "margin_at_8": 0.01,
            "gain_at_56": 0.4,
            "margin_at_56": 0.03,
            "plain_at_8": 0.86,
            "plain_at_56": 0.55,
        },
        WITH_CONDITIONS: {
            "gain_at_8": -0.002,
            "margin_at_8": 0.003,
            "gain_at_56": 0.42,
            "margin_at_56": 0.03,
            "plain_at_8": 0.96,
            "plain_at_56": 0.55,
        },
        FAILS: {
            "gain_at_8": 0.0,
            "margin_at_8": 0.003,
            "gain_at_56": 0.04,
            "margin_at_56": 0.06,
            "plain_at_8": 0.96,
            "plain_at_56": 0.95,
        },
    },
)
def features(
    gain_at_8: float,
    margin_at_8: float,
    gain_at_56: float,
    margin_at_56: float,
    *,
    plain_at_8: float,
    plain_at_56: float,
) -> Verdict:
    better = (
        f"test accuracy after four epochs {gain_at_8:+g} ± {margin_at_8:g} at 8 layers, "
        f"{gain_at_56:+g} ± {margin_at_56:g} at 56"
    )
    if gain_at_56 < max(0.01, margin_at_56):
        return Verdict(FAILS, better)
    represented = (
        "a residual network no wider than its input can represent functions that a plain one of "
        "that width cannot, and one with twice the channels inside its blocks can, where the "
        "stream is not negative; but the "
        f"plain network of 56 layers ({plain_at_56:g}) could also represent what that of 8 layers "
        f"does ({plain_at_8:g})"
    )
    if gain_at_8 >= max(0.01, margin_at_8):
        return Verdict(HOLDS, f"{better}; by derivation, {represented}")
    return Verdict(WITH_CONDITIONS, f"better when deep: {better}. By derivation, {represented}")


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
