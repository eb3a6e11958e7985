"""The article's section 6: language."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS

_RECALL = {
    "pairs": 20,
    "gain_three_layers": 0.2,
    "margin_three_layers": 0.1,
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
        HOLDS: {"gain": 0.4, "margin": 0.05, "recall_far_residual": 1.0, **_RECALL},
        WITH_CONDITIONS: {"gain": 0.4, "margin": 0.05, "recall_far_residual": 0.1, **_RECALL},
        FAILS: {"gain": -0.04, "margin": 0.08, "recall_far_residual": 0.1, **_RECALL},
    },
)
def distance(
    gain: float,
    margin: float,
    recall_far_residual: float,
    *,
    pairs: int,
    gain_three_layers: float,
    margin_three_layers: float,
    recall_far_plain: float,
    recall_attention_without_shortcuts: float,
    depth_gain: float,
) -> Verdict:
    measured = (
        f"around one LSTM, over 20 steps, a shortcut changes what is recalled by {gain:+g} ± "
        f"{margin:g} ({pairs} pairs; in a stack of three {gain_three_layers:+g} ± "
        f"{margin_three_layers:g}); over 80 steps it is {recall_far_plain:g} without and "
        f"{recall_far_residual:g} with one (chance is 0.1), and by attention without any "
        f"{recall_attention_without_shortcuts:g}. What they help is depth: six stacked LSTMs gain "
        f"{depth_gain:+g} of the dates. Other recurrent networks were not tested"
    )
    if gain <= margin:
        return Verdict(FAILS, measured)
    return Verdict(HOLDS if recall_far_residual > 0.9 else WITH_CONDITIONS, measured)


_DATES = {
    "no_shortcuts": 0.0,
    "post_norm": 0.9,
    "pre_norm": 0.6,
    "post_norm_at_12": 0.2,
    "post_norm_at_12_margin": 0.1,
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
        HOLDS: {"settings": 4, "sure_gains": 4, **_DATES},
        WITH_CONDITIONS: {"settings": 4, "sure_gains": 3, **_DATES},
        FAILS: {"settings": 4, "sure_gains": 0, **_DATES},
    },
)
def translation(
    settings: int,
    sure_gains: int,
    *,
    no_shortcuts: float,
    post_norm: float,
    pre_norm: float,
    post_norm_at_12: float,
    post_norm_at_12_margin: float,
    pre_norm_at_12: float,
    by_counting: float,
) -> Verdict:
    """The settings are both places of the norm at both depths."""
    measured = (
        "the test is the normalisation of dates, not sentences. The gain is sure in "
        f"{sure_gains} of {settings} settings (norm before or after, 4 or 12 blocks). Without a "
        f"fault at 4 blocks {no_shortcuts:g} without shortcuts, {post_norm:g} with them and "
        f"post-norm, {pre_norm:g} with pre-norm; at 12 blocks {post_norm_at_12:g} ± "
        f"{post_norm_at_12_margin:g} (post-norm) and {pre_norm_at_12:g}. A program that counts "
        f"words, without any network, reaches {by_counting:g}"
    )
    if sure_gains == 0:
        return Verdict(FAILS, measured)
    if sure_gains == settings:
        return Verdict(HOLDS, measured)
    return Verdict(WITH_CONDITIONS, f"if the norm suits the depth: {measured}")
