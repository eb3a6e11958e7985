"""The article's section 8: what it expects to come."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim


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
    statement="sparse forms reduce computation and parameters",
    notebook="08_smaller",
    test="tests/book/test_outlook.py::test_sparse_branches_save_more_arithmetic_than_time",
    examples={
        HOLDS: {
            "parameters": 0.1,
            "multiply_adds": 0.2,
            "time": 0.29,
            "multiply_adds_separable": 0.2,
            "time_separable": 0.2,
            "accuracy_lost": 0,
        },
        WITH_CONDITIONS: {
            "parameters": 0.14,
            "multiply_adds": 0.15,
            "time": 0.69,
            "multiply_adds_separable": 0.18,
            "time_separable": 0.6,
            "accuracy_lost": 0.089,
        },
        FAILS: {
            "parameters": 1.0,
            "multiply_adds": 1.0,
            "time": 1.0,
            "multiply_adds_separable": 1.0,
            "time_separable": 1.0,
            "accuracy_lost": 0.0,
        },
    },
)
def sparse(
    parameters: float,
    multiply_adds: float,
    time: float,
    multiply_adds_separable: float,
    time_separable: float,
    accuracy_lost: float,
) -> Verdict:
    measured = (
        f"the grouped branch has {parameters:g} of the basic one's parameters, {multiply_adds:g} "
        f"of its multiply-adds, {time:g} of its time and loses {100 * accuracy_lost:g} points; the "
        f"separable one {multiply_adds_separable:g} of the multiply-adds, {time_separable:g} of "
        "the time"
    )
    if max(parameters, multiply_adds) > 0.8:
        return Verdict(FAILS, measured)
    if time < 1.5 * multiply_adds and time_separable < 1.5 * multiply_adds_separable:
        return Verdict(HOLDS, measured)
    return Verdict(
        WITH_CONDITIONS, f"in the branch, and time falls less than the counts: {measured}"
    )


@claim(
    "O5",
    section="8.4",
    kind="measured",
    statement="compression (quantisation, pruning, distillation) lowers cost",
    notebook="08_smaller",
    test="tests/book/test_outlook.py::test_compression_and_what_only_residual_networks_survive",
    examples={
        HOLDS: {
            "size_int8": 0.3,
            "time_int8": 0.89,
            "lost_int8": 0.009,
            "lost_pruned": 0.019,
            "distilled": 0.01,
            "lost_block_residual": 0,
            "lost_block_plain": 0,
        },
        WITH_CONDITIONS: {
            "size_int8": 0.33,
            "time_int8": 0.59,
            "lost_int8": -0.0,
            "lost_pruned": 0.085,
            "distilled": -0.01,
            "lost_block_residual": 0.037,
            "lost_block_plain": 0.85,
        },
        FAILS: {
            "size_int8": 1.0,
            "time_int8": 1.0,
            "lost_int8": 0.0,
            "lost_pruned": 0.0,
            "distilled": 0.0,
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
    lost_block_residual: float,
    lost_block_plain: float,
) -> Verdict:
    measured = (
        f"int8: {size_int8:g} of the bytes, {time_int8:g} of the time, "
        f"{_points(lost_int8)} lost; 90 % of the weights pruned and an epoch more: "
        f"{_points(lost_pruned)} lost, and no time saved; a student "
        f"{'gains' if distilled > 0 else 'loses'} {_points(abs(distilled))} by learning from its "
        "teacher and not from the labels; "
        f"one block of six gone: {100 * lost_block_residual:g} points lost with shortcuts, "
        f"{100 * lost_block_plain:g} without"
    )
    if size_int8 > 0.6 or time_int8 > 0.9:
        return Verdict(FAILS, measured)
    if lost_int8 < 0.01 and lost_pruned < 0.02 and distilled > 0:
        return Verdict(HOLDS, measured)
    return Verdict(WITH_CONDITIONS, measured)


@claim(
    "O3",
    section="8.2",
    kind="measured",
    statement="residual connections will serve multimodal learning",
    notebook="08_fusion",
    test="tests/book/test_outlook.py::test_fusion_on_the_stream_adds_a_view_and_breaks_nothing",
    examples={
        HOLDS: {
            "best_alone": 0.9,
            "concatenated": 0.95,
            "added": 0.97,
            "gated": 0.961,
            "without_shortcuts": 0.8,
            "frozen_gated": 0.95,
            "frozen_missing": 0.9,
        },
        WITH_CONDITIONS: {
            "best_alone": 0.9,
            "concatenated": 0.96,
            "added": 0.97,
            "gated": 0.96,
            "without_shortcuts": 0.9,
            "frozen_gated": 0.94,
            "frozen_missing": 0.9,
        },
        FAILS: {
            "best_alone": 0.9,
            "concatenated": 0.9,
            "added": 0.9,
            "gated": 0.9,
            "without_shortcuts": 0.9,
            "frozen_gated": 0.9,
            "frozen_missing": 0.9,
        },
    },
)
def multimodal(
    best_alone: float,
    concatenated: float,
    added: float,
    gated: float,
    without_shortcuts: float,
    frozen_gated: float,
    frozen_missing: float,
) -> Verdict:
    measured = (
        f"accuracy {best_alone:g} with the better view alone, {concatenated:g} with both "
        f"concatenated, {added:g} with the second added to the stream, {gated:g} with it behind a "
        f"gate, {without_shortcuts:g} concatenated before blocks without shortcuts; added to a "
        f"frozen model of one view {frozen_gated:g}, and {frozen_missing:g} where the second view "
        "is missing"
    )
    if min(added, gated) > concatenated + 0.01:
        return Verdict(HOLDS, measured)
    if min(added, gated, frozen_gated) > best_alone + 0.01:
        return Verdict(WITH_CONDITIONS, f"they serve, as concatenation does: {measured}")
    return Verdict(FAILS, measured)
