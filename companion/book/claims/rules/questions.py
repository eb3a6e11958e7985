"""The article's section 9: its three lists of questions and answers."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim


@claim(
    "Q1",
    section="9 (second FAQ), 6",
    kind="cited",
    statement="for generative and self-supervised models other structures may suit better",
    notebook="09_faq",
    test="tests/book/test_questions.py::test_every_network_of_q1_is_cited_beside_what_it_is_built_of",
    examples={
        HOLDS: {"networks_listed": 7, "residual": 2},
        WITH_CONDITIONS: {"networks_listed": 7, "residual": 6},
        FAILS: {"networks_listed": 7, "residual": 7},
    },
)
def generative(networks_listed: int, residual: int) -> Verdict:
    listed = (
        f"{residual} of the {networks_listed} well-known networks looked up are built of residual "
        "blocks"
    )
    if residual == networks_listed:
        return Verdict(FAILS, listed)
    if residual > networks_listed / 2:
        return Verdict(WITH_CONDITIONS, f"in single cases: {listed}")
    return Verdict(HOLDS, listed)


@claim(
    "Q2",
    section="9 (second FAQ), 7",
    kind="measured",
    statement="the difference from an ordinary network is the direct connection, which lets it "
    "learn "
    "more complex features",
    notebook="09_faq",
    test="tests/book/test_questions.py::test_a_plain_twin_of_twice_the_width_computes_the_same",
    examples={
        HOLDS: {"operations_more": 1, "plain_twin_differs_by": 1.0, "gain_at_8": 0.1},
        WITH_CONDITIONS: {
            "operations_more": 1,
            "plain_twin_differs_by": 1e-05,
            "gain_at_8": -0.002,
        },
        FAILS: {"operations_more": 2, "plain_twin_differs_by": 1e-05, "gain_at_8": 0.0},
    },
)
def difference(operations_more: int, plain_twin_differs_by: float, gain_at_8: float) -> Verdict:
    if operations_more != 1:
        return Verdict(FAILS, f"the two networks differ by {operations_more} operations a block")
    if plain_twin_differs_by > 1e-4 or gain_at_8 > 0.02:
        return Verdict(HOLDS, f"no plain twin was found, and 8 layers gain {gain_at_8:+g}")
    return Verdict(
        WITH_CONDITIONS,
        "the first half holds, an addition a block is all the difference; the second does not: a "
        f"plain network with more units computes the same function, and 8 layers gain "
        f"{gain_at_8:+g} (see C6)",
    )


@claim(
    "Q3",
    section="9 (second FAQ), 8",
    kind="measured",
    statement="residual connections do not by themselves cause overfitting, but (the "
    "answer breaks off)",
    notebook="09_faq",
    test="tests/book/test_questions.py::test_where_both_fit_shortcuts_do_not_widen_the_gap",
    examples={
        HOLDS: {"settings_where_both_fit": 7, "gap_change": -0.01, "gap_by_fewer_images": 0.2},
        FAILS: {"settings_where_both_fit": 4, "gap_change": 0.05, "gap_by_fewer_images": 0.2},
    },
)
def overfitting(
    settings_where_both_fit: int, gap_change: float, gap_by_fewer_images: float
) -> Verdict:
    measured = (
        f"in the {settings_where_both_fit} settings where plain and residual networks both fit "
        f"their training images, shortcuts change the gap between training and test accuracy by "
        f"{gap_change:+g} on average"
    )
    if gap_change > 0.02:
        return Verdict(FAILS, measured)
    return Verdict(
        HOLDS,
        f"{measured}; what widens it is too few images ({gap_by_fewer_images:+g} from a thousand "
        "to a hundred)",
    )


@claim(
    "Q4",
    section="9 (third FAQ), 3",
    kind="measured",
    statement="where dimensions differ, zeros are added or subtracted, or a resizing "
    "layer matches them",
    notebook="09_shapes",
    test="tests/book/test_questions.py::test_options_match_in_both_frameworks",
    examples={
        WITH_CONDITIONS: {
            "shapes_agree": 1,
            "parameters_of_padding": 0,
            "parameters_of_projections": 736,
            "largest_difference": 0.006,
            "gain_over_plain": 0.003,
        },
        FAILS: {
            "shapes_agree": 0,
            "parameters_of_padding": 0,
            "parameters_of_projections": 736,
            "largest_difference": 0.0,
            "gain_over_plain": 0.0,
        },
    },
)
def dimensions(
    shapes_agree: int,
    parameters_of_padding: int,
    parameters_of_projections: int,
    largest_difference: float,
    gain_over_plain: float,
) -> Verdict:
    if not shapes_agree:
        return Verdict(FAILS, "the options do not give equal shapes in both frameworks")
    if parameters_of_padding or parameters_of_projections <= 0:
        return Verdict(
            FAILS,
            f"padding has {parameters_of_padding} parameters, projections "
            f"{parameters_of_projections}",
        )
    return Verdict(
        WITH_CONDITIONS,
        "zeros are appended, never subtracted (option A, 0 parameters), or a 1x1 convolution "
        f"projects (B, {parameters_of_projections} parameters here); A, B and C are within "
        f"{largest_difference:g} of test accuracy of one another, and the least of them within "
        f"{gain_over_plain:g} of the plain network: no difference at 20 layers",
    )


@claim(
    "Q6",
    section="9 (third FAQ), 5",
    kind="measured",
    statement="residual connections apply to recurrent networks and Transformers too",
    notebook="09_faq",
    test="tests/book/test_questions.py::test_every_kind_of_network_has_its_residual_form_and_control",
    examples={
        HOLDS: {"kinds": 4, "kinds_that_gain": 4, "smallest_gain": 0.4},
        WITH_CONDITIONS: {"kinds": 4, "kinds_that_gain": 3, "smallest_gain": 0.0},
        FAILS: {"kinds": 4, "kinds_that_gain": 1, "smallest_gain": 0.0},
    },
)
def kinds_of_network(kinds: int, kinds_that_gain: int, smallest_gain: float) -> Verdict:
    measured = (
        f"{kinds_that_gain} of {kinds} kinds (dense, convolutional, recurrent, Transformer) gain "
        f"when deep, the least {smallest_gain:+g}"
    )
    if kinds_that_gain == kinds:
        return Verdict(HOLDS, measured)
    return Verdict(WITH_CONDITIONS if kinds_that_gain > kinds // 2 else FAILS, measured)


@claim(
    "Q7",
    section="9 (third FAQ), 6",
    kind="measured",
    statement="they lower the risk of overfitting, because the input is easier to use",
    notebook="09_faq",
    test="tests/book/test_questions.py::test_where_both_fit_shortcuts_do_not_widen_the_gap",
    examples={
        HOLDS: {"gap_change_at_8": -0.05, "gap_change_at_20": -0.05, "gap_change_at_32": -0.05},
        WITH_CONDITIONS: {
            "gap_change_at_8": -0.006,
            "gap_change_at_20": -0.007,
            "gap_change_at_32": -0.06,
        },
        FAILS: {"gap_change_at_8": 0.0, "gap_change_at_20": 0.0, "gap_change_at_32": -0.019},
    },
)
def risk(gap_change_at_8: float, gap_change_at_20: float, gap_change_at_32: float) -> Verdict:
    changes = (
        f"shortcuts change the gap by {gap_change_at_8:+g} at 8 layers, {gap_change_at_20:+g} at "
        f"20 and {gap_change_at_32:+g} at 32"
    )
    shallow = max(gap_change_at_8, gap_change_at_20)
    if max(shallow, gap_change_at_32) < -0.02:
        return Verdict(HOLDS, changes)
    if shallow < 0.02 and gap_change_at_32 < -0.02:
        return Verdict(
            WITH_CONDITIONS,
            f"only where the plain network is too deep to fit its images: {changes}",
        )
    return Verdict(FAILS, changes)


@claim(
    "Q8",
    section="9 (third FAQ), 7",
    kind="measured",
    statement="residual connections are for the flow of gradients, attention for focusing on "
    "parts of "
    "a sequence",
    notebook="09_faq",
    test="tests/book/test_questions.py::test_attention_alone_makes_all_tokens_one",
    examples={
        HOLDS: {"blocks_until_tokens_agree": 13, "blocks_with_shortcuts": 13, "blocks": 12},
        WITH_CONDITIONS: {
            "blocks_until_tokens_agree": 2,
            "blocks_with_shortcuts": 13,
            "blocks": 12,
        },
    },
)
def attention(blocks_until_tokens_agree: int, blocks_with_shortcuts: int, blocks: int) -> Verdict:
    if blocks_until_tokens_agree >= blocks_with_shortcuts:
        return Verdict(HOLDS, f"attention alone keeps tokens apart over {blocks} blocks")
    kept = (
        f"not within {blocks}"
        if blocks_with_shortcuts > blocks
        else f"after {blocks_with_shortcuts}"
    )
    return Verdict(
        WITH_CONDITIONS,
        "right as a first answer, but they need each other: attention alone makes all tokens "
        f"equal to one part in a thousand after {blocks_until_tokens_agree} blocks, with shortcuts "
        f"{kept}",
    )


@claim(
    "Q9",
    section="9 (third FAQ), 3",
    kind="measured",
    statement="a block usually holds two or three convolutions",
    notebook="09_training",
    test="tests/book/test_questions.py::test_the_papers_blocks_hold_two_or_three_convolutions",
    examples={
        HOLDS: {
            "fewest_in_the_papers_blocks": 2,
            "most_in_the_papers_blocks": 3,
            "plain": 0.93,
            "one_layer": 0.97,
            "two_layers": 0.98,
            "three_layers": 0.99,
        },
        FAILS: {
            "fewest_in_the_papers_blocks": 1,
            "most_in_the_papers_blocks": 3,
            "plain": 0.9,
            "one_layer": 0.9,
            "two_layers": 0.9,
            "three_layers": 0.9,
        },
    },
)
def layers_of_a_block(
    fewest_in_the_papers_blocks: int,
    most_in_the_papers_blocks: int,
    plain: float,
    one_layer: float,
    two_layers: float,
    three_layers: float,
) -> Verdict:
    counted = (
        f"{fewest_in_the_papers_blocks} in the basic block, {most_in_the_papers_blocks} in the "
        "bottleneck"
    )
    measured = (
        f"at equal depth and parameters blocks of one, two and three reach {one_layer:g}, "
        f"{two_layers:g} and {three_layers:g}, the plain stack {plain:g}"
    )
    if (fewest_in_the_papers_blocks, most_in_the_papers_blocks) != (2, 3):
        return Verdict(FAILS, f"{counted}; {measured}")
    return Verdict(HOLDS, f"{counted}; {measured}")
