"""The article's section 9: its three lists of questions and answers."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS


@claim(
    "Q1",
    section="9 (second FAQ), 6",
    kind="cited",
    statement="for generative and self-supervised models other structures may suit better",
    notebook="09_faq",
    test="tests/book/test_questions.py::test_every_network_of_q1_is_cited_beside_what_it_is_built_of",
    examples={
        HOLDS: {"preferred_otherwise": 3, "networks_listed": 7, "residual": 2},
        WITH_CONDITIONS: {"preferred_otherwise": 1, "networks_listed": 8, "residual": 7},
        FAILS: {"preferred_otherwise": 0, "networks_listed": 7, "residual": 7},
    },
)
def generative(preferred_otherwise: int, networks_listed: int, residual: int) -> Verdict:
    found = f"{residual} of the {networks_listed} well-known networks looked up"
    listed = f"{found} are built of residual blocks"
    if not preferred_otherwise:
        return Verdict(FAILS, f"no authors were found who preferred another structure; {listed}")
    if residual > networks_listed / 2:
        return Verdict(
            WITH_CONDITIONS,
            f"in single cases ({preferred_otherwise} are documented); {listed}, a list chosen for "
            "being well known, which cannot say how often",
        )
    return Verdict(HOLDS, listed)


@claim(
    "Q2",
    section="9 (second FAQ), 7",
    kind="measured",
    statement="the difference from an ordinary network is the direct connection, which lets it "
    "learn more complex features",
    notebook="09_faq",
    test="tests/book/test_questions.py::test_a_plain_twin_of_twice_the_width_computes_the_same",
    examples={
        HOLDS: {"gain_at_8": 0.1, "gain_at_8_margin": 0.01, "gain_at_56": 0.4},
        WITH_CONDITIONS: {"gain_at_8": -0.002, "gain_at_8_margin": 0.003, "gain_at_56": 0.4},
        FAILS: {"gain_at_8": 0.0, "gain_at_8_margin": 0.003, "gain_at_56": 0.0},
    },
)
def difference(gain_at_8: float, gain_at_8_margin: float, gain_at_56: float) -> Verdict:
    gains = (
        f"test accuracy {gain_at_8:+g} ± {gain_at_8_margin:g} at 8 layers, {gain_at_56:+g} at 56"
    )
    if gain_at_56 < 0.02:
        return Verdict(FAILS, f"the connection is there and nothing is gained: {gains}")
    if gain_at_8 > max(0.02, gain_at_8_margin):
        return Verdict(HOLDS, f"also where depth is no trouble: {gains}")
    return Verdict(
        WITH_CONDITIONS,
        "the first half is so by definition, an addition a block; the second is not what the "
        f"gains point to, which come with depth: {gains}. At twice the width a plain network can "
        "compute the same function, at equal width not always (see C6)",
    )


@claim(
    "Q3",
    section="9 (second FAQ), 8",
    kind="measured",
    statement="residual connections do not by themselves cause overfitting, but (the answer breaks "
    "off)",
    notebook="09_faq",
    test="tests/book/test_questions.py::test_where_both_fit_shortcuts_do_not_widen_the_gap",
    examples={
        HOLDS: {
            "gap_change": -0.01,
            "gap_change_margin": 0.003,
            "settings_where_both_fit": 7,
            "gap_by_fewer_images": 0.2,
        },
        WITH_CONDITIONS: {
            "gap_change": 0.0,
            "gap_change_margin": 0.03,
            "settings_where_both_fit": 7,
            "gap_by_fewer_images": 0.2,
        },
        FAILS: {
            "gap_change": 0.05,
            "gap_change_margin": 0.01,
            "settings_where_both_fit": 7,
            "gap_by_fewer_images": 0.2,
        },
    },
)
def overfitting(
    gap_change: float,
    gap_change_margin: float,
    *,
    settings_where_both_fit: int,
    gap_by_fewer_images: float,
) -> Verdict:
    measured = (
        f"in the {settings_where_both_fit} settings where plain and residual networks both fit "
        "their training images, shortcuts change the gap between training and test accuracy by "
        f"{gap_change:+g} ± {gap_change_margin:g} (mean over them, by seed)"
    )
    if gap_change > max(0.01, gap_change_margin):
        return Verdict(FAILS, measured)
    return Verdict(
        WITH_CONDITIONS if gap_change + gap_change_margin > 0.02 else HOLDS,
        f"{measured}; what widens it is too few images ({gap_by_fewer_images:+g} from a thousand "
        "to a hundred)",
    )


@claim(
    "Q4",
    section="9 (third FAQ), 3",
    kind="derived",
    word=WITH_CONDITIONS,
    statement="where dimensions differ, zeros are added or subtracted, or a resizing layer matches "
    "them",
    notebook="09_shapes",
    test="tests/book/test_questions.py::test_options_match_in_both_frameworks",
)
def dimensions(
    *,
    parameters_of_padding: int,
    parameters_of_projections: int,
    difference: float,
    gain_over_plain: float,
    difference_on_clutter: float,
    gain_over_plain_on_clutter: float,
) -> str:
    return (
        f"zeros are appended, never subtracted (option A, {parameters_of_padding} parameters), or "
        f"a 1x1 convolution projects (B, {parameters_of_projections} parameters here), which is "
        f"what the paper defines; A, B and C at 20 layers are within {difference:g} on digits "
        f"({gain_over_plain:+g} at least from plain), {difference_on_clutter:g} on cluttered ones "
        f"after three epochs ({gain_over_plain_on_clutter:+g} at least)"
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
def kinds_of_network(kinds: int, kinds_that_gain: int, *, smallest_gain: float) -> Verdict:
    measured = (
        f"{kinds_that_gain} of {kinds} kinds (dense, convolutional, recurrent, Transformer) gain "
        f"when deep, the least {smallest_gain:+g}"
    )
    some = WITH_CONDITIONS if kinds_that_gain > kinds // 2 else FAILS
    return Verdict(HOLDS if kinds_that_gain == kinds else some, measured)


@claim(
    "Q7",
    section="9 (third FAQ), 6",
    kind="measured",
    statement="they lower the risk of overfitting, because the input is easier to use",
    notebook="09_faq",
    test="tests/book/test_questions.py::test_where_both_fit_shortcuts_do_not_widen_the_gap",
    examples={
        HOLDS: {
            "gap_change_at_8": -0.05,
            "gap_change_at_20": -0.05,
            "gap_change_at_32": -0.05,
            "margin_at_8": 0.01,
            "margin_at_20": 0.01,
            "margin_at_32": 0.01,
        },
        WITH_CONDITIONS: {
            "gap_change_at_8": -0.006,
            "gap_change_at_20": -0.007,
            "gap_change_at_32": -0.06,
            "margin_at_8": 0.005,
            "margin_at_20": 0.005,
            "margin_at_32": 0.01,
        },
        FAILS: {
            "gap_change_at_8": 0.0,
            "gap_change_at_20": 0.0,
            "gap_change_at_32": -0.01,
            "margin_at_8": 0.01,
            "margin_at_20": 0.01,
            "margin_at_32": 0.01,
        },
    },
)
def risk(
    gap_change_at_8: float,
    gap_change_at_20: float,
    gap_change_at_32: float,
    margin_at_8: float,
    margin_at_20: float,
    margin_at_32: float,
) -> Verdict:
    gaps = gap_change_at_8, gap_change_at_20, gap_change_at_32
    margins = margin_at_8, margin_at_20, margin_at_32
    found = dict(zip((8, 20, 32), zip(gaps, margins, strict=True), strict=True))
    changes = "shortcuts change the gap by " + ", ".join(
        f"{change:+g} ± {margin:g} at {depth} layers" for depth, (change, margin) in found.items()
    )
    lower = {d: change < -max(0.01, margin) for d, (change, margin) in found.items()}
    if all(lower.values()):
        return Verdict(HOLDS, changes)
    where = " and ".join(str(depth) for depth, less in lower.items() if less)
    if where:
        return Verdict(WITH_CONDITIONS, f"only at {where} layers: {changes}")
    return Verdict(FAILS, changes)


@claim(
    "Q8",
    section="9 (third FAQ), 7",
    kind="measured",
    statement="residual connections are for the flow of gradients, attention for focusing on parts "
    "of a sequence",
    notebook="09_faq",
    test="tests/book/test_questions.py::test_attention_alone_makes_all_tokens_one",
    examples={
        HOLDS: {
            "blocks_until_tokens_agree": 41,
            "blocks_with_shortcuts": 41,
            "log10_plain_of_c3": -9.0,
            "log10_residual_of_c3": 1.0,
            "log10_gradient_alone": -1.0,
        },
        WITH_CONDITIONS: {
            "blocks_until_tokens_agree": 2,
            "blocks_with_shortcuts": 20,
            "log10_plain_of_c3": -9.0,
            "log10_residual_of_c3": 1.0,
            "log10_gradient_alone": -1.0,
        },
        FAILS: {
            "blocks_until_tokens_agree": 2,
            "blocks_with_shortcuts": 20,
            "log10_plain_of_c3": -1.0,
            "log10_residual_of_c3": -1.0,
            "log10_gradient_alone": -1.0,
        },
    },
)
def attention(
    blocks_until_tokens_agree: int,
    blocks_with_shortcuts: int,
    log10_plain_of_c3: float,
    log10_residual_of_c3: float,
    *,
    log10_gradient_alone: float,
) -> Verdict:
    if log10_residual_of_c3 < log10_plain_of_c3 + 1:
        return Verdict(FAILS, "the gradient flows as well without shortcuts (C3)")
    first = "right as a first answer, where gradients vanish (C3)"
    if blocks_until_tokens_agree >= blocks_with_shortcuts:
        return Verdict(HOLDS, f"{first}; attention alone keeps tokens apart")
    return Verdict(
        WITH_CONDITIONS,
        f"{first}; but in attention alone it is not the gradient that is lost (10^"
        f"{log10_gradient_alone:g} over 40 blocks), it is the difference between tokens, which "
        f"are equal to one part in a thousand after {blocks_until_tokens_agree} blocks without "
        f"and {blocks_with_shortcuts} with shortcuts: attention needs them for that",
    )


@claim(
    "Q9",
    section="9 (third FAQ), 3",
    kind="derived",
    word=HOLDS,
    statement="a block usually holds two or three convolutions",
    notebook="09_training",
    test="tests/book/test_questions.py::test_the_papers_blocks_hold_two_or_three_convolutions",
)
def layers_of_a_block(
    *,
    fewest_in_the_papers_blocks: int,
    most_in_the_papers_blocks: int,
    plain: float,
    one_layer: float,
    two_layers: float,
    three_layers: float,
) -> str:
    return (
        f"{fewest_in_the_papers_blocks} in the paper's basic block, {most_in_the_papers_blocks} in "
        f"its bottleneck; at equal depth and parameters blocks of one, two and three reach "
        f"{one_layer:g}, {two_layers:g} and {three_layers:g}, the plain stack {plain:g}"
    )
