"""The article's section 5: its program."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim


@claim(
    "P1",
    section="5.2",
    kind="measured",
    statement="its residual_block(x, filters, kernel_size, strides) is a residual block",
    notebook="05_code",
    test="tests/library/test_merges.py::test_one_channel_does_not_broadcast",
    examples={
        HOLDS: {"combinations": 4, "failures": 0, "silent_broadcasts": 0},
        WITH_CONDITIONS: {"combinations": 4, "failures": 2, "silent_broadcasts": 1},
    },
)
def described_block(combinations: int, failures: int, silent_broadcasts: int) -> Verdict:
    if failures + silent_broadcasts == 0:
        return Verdict(HOLDS, f"all {combinations} combinations of shapes work")
    return Verdict(
        WITH_CONDITIONS,
        f"only if neither stride nor channels change: of {combinations} combinations {failures} "
        f"fail at the addition, and {silent_broadcasts} adds one channel to all others silently",
    )


@claim(
    "P2",
    section="5.2",
    kind="measured",
    statement="its residual_network is a classifier",
    notebook="05_code",
    test="tests/book/test_claims.py::test_the_corrected_network_classifies",
    examples={
        HOLDS: {"axes_of_the_output": 2, "axes_of_a_classifiers": 2},
        FAILS: {"axes_of_the_output": 4, "axes_of_a_classifiers": 2},
    },
)
def described_network(axes_of_the_output: int, axes_of_a_classifiers: int) -> Verdict:
    if axes_of_the_output == axes_of_a_classifiers:
        return Verdict(HOLDS, f"its output has {axes_of_the_output} axes")
    return Verdict(
        FAILS,
        f"its output has {axes_of_the_output} axes, a map of class scores, where a classifier's "
        f"has {axes_of_a_classifiers}: nothing pools",
    )


@claim(
    "P3",
    section="5.4",
    kind="measured",
    statement="its script trains on MNIST",
    notebook="05_code",
    test="tests/library/test_training.py::test_small_network_learns_the_digits",
    examples={HOLDS: {"errors_on_the_way": 0}, FAILS: {"errors_on_the_way": 2}},
)
def described_training(errors_on_the_way: int) -> Verdict:
    if errors_on_the_way == 0:
        return Verdict(HOLDS, "it runs")
    return Verdict(
        FAILS,
        f"{errors_on_the_way} errors stop it: a missing import, and a loss that cannot compare a "
        "map with a label",
    )


@claim(
    "P4",
    section="5.4",
    kind="measured",
    statement="its test accuracy rises markedly, which proves that residual connections work",
    notebook="05_code",
    test="tests/book/test_page_numbers.py::test_shortcuts_do_not_matter_at_depth_8_and_do_at_44",
    examples={
        HOLDS: {"gain_at_8": 0.2, "gain_at_20": 0.2, "gain_at_56": 0.4},
        FAILS: {"gain_at_8": -0.002, "gain_at_20": 0.0083, "gain_at_56": 0.42},
    },
)
def proof_by_accuracy(gain_at_8: float, gain_at_20: float, gain_at_56: float) -> Verdict:
    measured = (
        f"against the control the accuracy changes by {gain_at_8:+g} at 8 layers, {gain_at_20:+g} "
        f"at 20 and {gain_at_56:+g} at 56"
    )
    if min(gain_at_8, gain_at_20) > 0.05:
        return Verdict(HOLDS, measured)
    return Verdict(FAILS, f"at its depth the control does about as well: {measured}")


@claim(
    "P5",
    section="9 (third FAQ)",
    kind="measured",
    statement="its second residual_block handles a change of shape by a 1 x 1 convolution",
    notebook="05_code",
    test="tests/library/test_blocks.py::test_three_implementations_agree",
    examples={
        HOLDS: {"works_with_a_stride": 1, "works_with_channels_alone": 1, "missing_imports": 0},
        WITH_CONDITIONS: {
            "works_with_a_stride": 1,
            "works_with_channels_alone": 0,
            "missing_imports": 1,
        },
    },
)
def described_again(
    works_with_a_stride: int, works_with_channels_alone: int, missing_imports: int
) -> Verdict:
    if works_with_a_stride and works_with_channels_alone and not missing_imports:
        return Verdict(HOLDS, "it runs for both changes of shape")
    return Verdict(
        WITH_CONDITIONS if works_with_a_stride else FAILS,
        f"it works for a stride, fails for a change of channels alone, and lacks {missing_imports} "
        "import; its projection has no norm",
    )


@claim(
    "P6",
    section="5.3",
    kind="measured",
    statement="its block holds two convolutions, two normalisations and one activation",
    notebook="05_code",
    test="tests/book/test_claims.py::test_a_block_activates_twice",
    examples={
        HOLDS: {"convolutions": 2, "norms": 2, "activations": 1},
        FAILS: {"convolutions": 2, "norms": 2, "activations": 2},
    },
)
def counted_layers(convolutions: int, norms: int, activations: int) -> Verdict:
    counted = f"{convolutions} convolutions, {norms} norms, {activations} activations"
    if (convolutions, norms, activations) == (2, 2, 1):
        return Verdict(HOLDS, counted)
    return Verdict(
        FAILS,
        f"{counted}: one activation between the convolutions, another after the addition",
    )
