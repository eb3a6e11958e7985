"""The article's section 6: language."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim


@claim(
    "U2",
    section="3.4, 6.2",
    kind="measured",
    statement="in RNNs and LSTMs residual connections solve long-distance dependence",
    notebook="06_language",
    test="tests/book/test_applications_language.py::test_shortcuts_help_depth_and_not_distance",
    examples={
        HOLDS: {
            "depth_gain": 0.8,
            "recall_lstm_plain": 0.1,
            "recall_lstm_residual": 1.0,
            "recall_attention_without_shortcuts": 1.0,
        },
        FAILS: {
            "depth_gain": 0.8,
            "recall_lstm_plain": 0.09,
            "recall_lstm_residual": 0.09,
            "recall_attention_without_shortcuts": 1.0,
        },
    },
)
def distance(
    depth_gain: float,
    recall_lstm_plain: float,
    recall_lstm_residual: float,
    recall_attention_without_shortcuts: float,
) -> Verdict:
    depth = f"in six stacked layers they gain {depth_gain:+g} of the dates"
    if recall_lstm_residual > recall_lstm_plain + 0.2:
        return Verdict(HOLDS, f"over 80 steps recall rises to {recall_lstm_residual:g}; {depth}")
    return Verdict(
        FAILS,
        f"they help depth ({depth}), not distance: over 80 steps an LSTM recalls "
        f"{recall_lstm_plain:g} without and {recall_lstm_residual:g} with them (chance is 0.1), "
        f"attention without any {recall_attention_without_shortcuts:g}",
    )


@claim(
    "U3",
    section="6.2",
    kind="measured",
    statement="machine translation improves with them",
    notebook="06_language",
    test="tests/book/test_applications_language.py::test_without_shortcuts_no_transformer_learns",
    examples={
        HOLDS: {
            "no_shortcuts": 0.0,
            "post_norm": 0.9,
            "pre_norm": 0.6,
            "post_norm_at_12": 0.2,
            "pre_norm_at_12": 0.6,
        },
        FAILS: {
            "no_shortcuts": 0.7,
            "post_norm": 0.7,
            "pre_norm": 0.7,
            "post_norm_at_12": 0.7,
            "pre_norm_at_12": 0.7,
        },
    },
)
def translation(
    no_shortcuts: float,
    post_norm: float,
    pre_norm: float,
    post_norm_at_12: float,
    pre_norm_at_12: float,
) -> Verdict:
    measured = (
        f"dates without a fault, 4 blocks: {no_shortcuts:g} without shortcuts, {post_norm:g} with "
        f"post-norm, {pre_norm:g} with pre-norm (12 blocks: {post_norm_at_12:g} and "
        f"{pre_norm_at_12:g})"
    )
    if no_shortcuts < min(post_norm, pre_norm) - 0.2:
        return Verdict(HOLDS, measured)
    best = max(post_norm, pre_norm)
    return Verdict(WITH_CONDITIONS if best > no_shortcuts + 0.2 else FAILS, measured)
