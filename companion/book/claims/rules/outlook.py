"""The article's section 8: what it expects to come."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS


def _points(share: float) -> str:
    """Say a share of the test part in points of a hundred."""
    points = f"{100 * share:g}"
    return "nothing" if points in ("0", "-0") else f"{points} points"


@claim(
    "O2",
    section="8.2",
    kind="measured",
    statement="more efficient residual algorithms will lower the cost",
    notebook="08_memory",
    test="tests/book/test_outlook.py::test_memory_grows_linearly_with_the_root_and_not_at_all",
    examples={
        HOLDS: {
            "stored": 11,
            "checkpointed": 3.8,
            "reversible": 1,
            "checkpointed_time": 1.04,
            "reversible_time": 1.04,
            "stochastic_time": 1,
        },
        WITH_CONDITIONS: {
            "stored": 11.0,
            "checkpointed": 3.8,
            "reversible": 1.0,
            "checkpointed_time": 1.5,
            "reversible_time": 1.8,
            "stochastic_time": 0.81,
        },
        FAILS: {
            "stored": 11.0,
            "checkpointed": 11.0,
            "reversible": 11.0,
            "checkpointed_time": 1.0,
            "reversible_time": 1.0,
            "stochastic_time": 1.0,
        },
    },
)
def memory(
    stored: float,
    checkpointed: float,
    reversible: float,
    checkpointed_time: float,
    reversible_time: float,
    stochastic_time: float,
) -> Verdict:
    measured = (
        f"from 110 to 1,202 layers the bytes kept for backward grow by {stored:g} stored, "
        f"{checkpointed:g} checkpointed, {reversible:g} reversible, which take "
        f"{checkpointed_time:g} and {reversible_time:g} times the time there; stochastic depth "
        f"drawn by batch takes {stochastic_time:g} of the time"
    )
    saves_memory = max(checkpointed, reversible) < stored / 2
    saves_time = stochastic_time < 0.95
    if not (saves_memory or saves_time):
        return Verdict(FAILS, measured)
    if saves_memory and max(checkpointed_time, reversible_time) < 1.05:
        return Verdict(HOLDS, measured)
    return Verdict(WITH_CONDITIONS, f"one cost is exchanged for another: {measured}")


@claim(
    "O4",
    section="8.2",
    kind="measured",
    statement="sparse forms of residual connections reduce computation and parameters",
    notebook="08_smaller",
    test="tests/book/test_outlook.py::test_sparse_branches_save_more_arithmetic_than_time",
    examples={
        HOLDS: {
            "parameters": 0.14,
            "multiply_adds": 0.15,
            "time": 0.2,
            "gain_over_narrow": 0.03,
            "gain_over_narrow_margin": 0.01,
            "accuracy_lost": 0.0,
            "multiply_adds_separable": 0.18,
            "time_separable": 0.2,
        },
        WITH_CONDITIONS: {
            "parameters": 0.14,
            "multiply_adds": 0.15,
            "time": 0.69,
            "gain_over_narrow": -0.06,
            "gain_over_narrow_margin": 0.01,
            "accuracy_lost": 0.09,
            "multiply_adds_separable": 0.18,
            "time_separable": 0.6,
        },
        FAILS: {
            "parameters": 1.0,
            "multiply_adds": 1.0,
            "time": 1.0,
            "gain_over_narrow": 0.0,
            "gain_over_narrow_margin": 0.01,
            "accuracy_lost": 0.0,
            "multiply_adds_separable": 1.0,
            "time_separable": 1.0,
        },
    },
)
def sparse(
    parameters: float,
    multiply_adds: float,
    time: float,
    gain_over_narrow: float,
    gain_over_narrow_margin: float,
    *,
    accuracy_lost: float,
    multiply_adds_separable: float,
    time_separable: float,
) -> Verdict:
    measured = (
        f"the grouped branch has {parameters:g} of the basic one's parameters, {multiply_adds:g} "
        f"of its multiply-adds and {time:g} of its time; it loses {100 * accuracy_lost:g} points "
        "against it, and an ordinary network that is narrow instead, of as many parameters, "
        f"{_against(gain_over_narrow, gain_over_narrow_margin)}; the separable branch has "
        f"{multiply_adds_separable:g} of the multiply-adds, {time_separable:g} of the time"
    )
    if max(parameters, multiply_adds) > 0.8:
        return Verdict(FAILS, measured)
    if time < 1.5 * multiply_adds and gain_over_narrow > -gain_over_narrow_margin:
        return Verdict(HOLDS, measured)
    return Verdict(
        WITH_CONDITIONS,
        "in the branch, since a sum has nothing to make sparse, and time falls less than the "
        f"counts: {measured}",
    )


def _against(gain: float, margin: float) -> str:
    """Say how a narrow network does, from what the sparse one gains over it."""
    if abs(gain) <= margin:
        return f"does as well ({100 * gain:+g} ± {100 * margin:g} points for the sparse one)"
    word = "behind" if gain > 0 else "ahead of it"
    return f"is {100 * abs(gain):g} ± {100 * margin:g} points {word}"


@claim(
    "O5",
    section="8.4",
    kind="measured",
    statement="compression (quantisation, pruning, distillation) can lower computation and "
    "parameters",
    notebook="08_smaller",
    test="tests/book/test_outlook.py::test_compression_and_what_only_residual_networks_survive",
    examples={
        HOLDS: {
            "size_int8": 0.3,
            "time_int8": 0.6,
            "lost_int8": 0.005,
            "lost_pruned": 0.01,
            "distilled": 0.02,
            "distilled_margin": 0.005,
            "lost_block_residual": 0.04,
            "lost_block_plain": 0.8,
        },
        WITH_CONDITIONS: {
            "size_int8": 0.33,
            "time_int8": 0.59,
            "lost_int8": 0.0,
            "lost_pruned": 0.085,
            "distilled": -0.01,
            "distilled_margin": 0.005,
            "lost_block_residual": 0.037,
            "lost_block_plain": 0.85,
        },
        FAILS: {
            "size_int8": 1.0,
            "time_int8": 1.0,
            "lost_int8": 0.0,
            "lost_pruned": 0.0,
            "distilled": 0.0,
            "distilled_margin": 0.005,
            "lost_block_residual": 0.0,
            "lost_block_plain": 0.0,
        },
    },
)
def compression(
    size_int8: float,
    time_int8: float,
    lost_int8: float,
    lost_pruned: float,
    distilled: float,
    distilled_margin: float,
    *,
    lost_block_residual: float,
    lost_block_plain: float,
) -> Verdict:
    measured = (
        f"int8: {size_int8:g} of the bytes, {time_int8:g} of the time, "
        f"{_points(lost_int8)} lost; 90 % of the weights pruned and an epoch more: "
        f"{_points(lost_pruned)} lost, and no time saved; by learning from its teacher and not "
        f"from the labels a student changes by {100 * distilled:+g} ± {100 * distilled_margin:g} "
        "points; one block of six gone: "
        f"{100 * lost_block_residual:g} points lost with shortcuts, "
        f"{100 * lost_block_plain:g} without"
    )
    if size_int8 > 0.6 or time_int8 > 0.9:
        return Verdict(FAILS, measured)
    if lost_int8 < 0.01 and lost_pruned < 0.02 and distilled > distilled_margin:
        return Verdict(HOLDS, measured)
    return Verdict(WITH_CONDITIONS, f"quantisation does, the others at a price: {measured}")


@claim(
    "O3",
    section="8.2",
    kind="measured",
    statement="residual connections can be applied to multimodal learning, to improve a model by a "
    "second view",
    notebook="08_fusion",
    test="tests/book/test_outlook.py::test_fusion_on_the_stream_adds_a_view_and_breaks_nothing",
    examples={
        HOLDS: {
            "gain_added": 0.08,
            "gain_added_margin": 0.01,
            "gain_gated": 0.08,
            "gain_gated_margin": 0.01,
            "gain_frozen": 0.04,
            "gain_frozen_margin": 0.01,
            "concatenated": 0.08,
            "without_shortcuts": 0.02,
            "frozen_missing": 0.0,
        },
        WITH_CONDITIONS: {
            "gain_added": 0.08,
            "gain_added_margin": 0.01,
            "gain_gated": 0.08,
            "gain_gated_margin": 0.01,
            "gain_frozen": 0.01,
            "gain_frozen_margin": 0.01,
            "concatenated": 0.08,
            "without_shortcuts": 0.02,
            "frozen_missing": 0.0,
        },
        FAILS: {
            "gain_added": 0.01,
            "gain_added_margin": 0.01,
            "gain_gated": 0.01,
            "gain_gated_margin": 0.01,
            "gain_frozen": 0.01,
            "gain_frozen_margin": 0.01,
            "concatenated": 0.08,
            "without_shortcuts": 0.02,
            "frozen_missing": 0.0,
        },
    },
)
def multimodal(
    gain_added: float,
    gain_added_margin: float,
    gain_gated: float,
    gain_gated_margin: float,
    gain_frozen: float,
    gain_frozen_margin: float,
    *,
    concatenated: float,
    without_shortcuts: float,
    frozen_missing: float,
) -> Verdict:
    def points(gain: float) -> str:
        return f"{100 * gain:+g}"

    measured = (
        f"against the image alone a second view gains {points(gain_added)} points added to the "
        f"stream, {points(gain_gated)} behind a gate, {points(gain_frozen)} on a frozen model, "
        f"which changes by {points(frozen_missing)} where the view is missing; concatenated it "
        f"gains {points(concatenated)}, and before blocks without shortcuts "
        f"{points(without_shortcuts)} (halves of a digit, neither language nor photographs)"
    )
    margins = gain_added_margin, gain_gated_margin, gain_frozen_margin
    gains = zip((gain_added, gain_gated, gain_frozen), margins, strict=True)
    sure = [gain > margin for gain, margin in gains]
    if all(sure):
        return Verdict(HOLDS, measured)
    if any(sure):
        return Verdict(WITH_CONDITIONS, f"in some of the ways tried: {measured}")
    return Verdict(FAILS, measured)
