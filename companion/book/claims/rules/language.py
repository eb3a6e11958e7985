"""The article's section 6: language."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, SURE, WITH_CONDITIONS, Verdict, claim

_RECALL = {
    "pairs": 20,
    "gain_three_layers": 0.2,
    "error_three_layers": 0.1,
    "recall_far_plain": 0.1,
    "recall_attention_without_shortcuts": 1.0,
    "depth_gain": 0.8,
}


@claim(
    "U2",
    section="3.4, 6.2",
    kind="measured",
    statement="in RNNs and LSTMs residual connections solve long-distance dependence",
    notebook="06_language",
    test="tests/book/test_applications_language.py::test_shortcuts_help_depth_and_not_distance",
    examples={
        HOLDS: {"gain": 0.4, "error": 0.05, "recall_far_residual": 1.0, **_RECALL},
        WITH_CONDITIONS: {"gain": 0.4, "error": 0.05, "recall_far_residual": 0.1, **_RECALL},
        FAILS: {"gain": -0.04, "error": 0.08, "recall_far_residual": 0.1, **_RECALL},
    },
)
def distance(
    gain: float,
    error: float,
    recall_far_residual: float,
    *,
    pairs: int,
    gain_three_layers: float,
    error_three_layers: float,
    recall_far_plain: float,
    recall_attention_without_shortcuts: float,
    depth_gain: float,
) -> Verdict:
    measured = (
        f"around one LSTM, over 20 steps, a shortcut changes what is recalled by {gain:+g} ± "
        f"{error:g} ({pairs} pairs; in a stack of three {gain_three_layers:+g} ± "
        f"{error_three_layers:g}); over 80 steps it is {recall_far_plain:g} without and "
        f"{recall_far_residual:g} with one (chance is 0.1), and by attention without any "
        f"{recall_attention_without_shortcuts:g}. What they help is depth: six stacked LSTMs gain "
        f"{depth_gain:+g} of the dates. Other recurrent networks were not tested"
    )
    if gain <= SURE * error:
        return Verdict(FAILS, measured)
    return Verdict(HOLDS if recall_far_residual > 0.9 else WITH_CONDITIONS, measured)


_DATES = {
    "no_shortcuts": 0.0,
    "post_norm": 0.9,
    "pre_norm": 0.6,
    "post_norm_at_12": 0.2,
    "post_norm_at_12_error": 0.1,
    "pre_norm_at_12": 0.6,
    "by_counting": 1.0,
}


@claim(
    "U3",
    section="6.2",
    kind="measured",
    statement="machine translation improves with them",
    notebook="06_language",
    test="tests/book/test_applications_language.py::test_without_shortcuts_no_transformer_learns",
    examples={
        HOLDS: {"least_errors": 3.0, "most_errors": 30.0, **_DATES},
        WITH_CONDITIONS: {"least_errors": 1.9, "most_errors": 30.0, **_DATES},
        FAILS: {"least_errors": -1.0, "most_errors": 1.0, **_DATES},
    },
)
def translation(
    least_errors: float,
    most_errors: float,
    *,
    no_shortcuts: float,
    post_norm: float,
    pre_norm: float,
    post_norm_at_12: float,
    post_norm_at_12_error: float,
    pre_norm_at_12: float,
    by_counting: float,
) -> Verdict:
    """Of four gains (both places of the norm, both depths) the least and the most sure decide."""
    measured = (
        "the test is the normalisation of dates, not sentences. Without a fault at 4 blocks "
        f"{no_shortcuts:g} without shortcuts, {post_norm:g} with them and post-norm, {pre_norm:g} "
        f"with pre-norm; at 12 blocks {post_norm_at_12:g} ± {post_norm_at_12_error:g} (post-norm) "
        f"and {pre_norm_at_12:g}. A program that counts words, without any network, reaches "
        f"{by_counting:g}"
    )
    if most_errors <= SURE:
        return Verdict(FAILS, measured)
    if least_errors > SURE:
        return Verdict(HOLDS, measured)
    return Verdict(WITH_CONDITIONS, f"if the norm suits the depth: {measured}")
