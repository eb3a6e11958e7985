"""The article's section 5: its program."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS


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
        FAILS: {"combinations": 4, "failures": 3, "silent_broadcasts": 1},
    },
)
def described_block(combinations: int, failures: int, silent_broadcasts: int) -> Verdict:
    bad = failures + silent_broadcasts
    if bad == 0:
        return Verdict(HOLDS, f"all {combinations} combinations of shapes work")
    measured = (
        f"of {combinations} combinations of shapes {failures} fail at the addition, and "
        f"{silent_broadcasts} adds one channel to all others silently"
    )
    if bad == combinations:
        return Verdict(FAILS, measured)
    return Verdict(WITH_CONDITIONS, f"only if neither stride nor channels change: {measured}")


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
    examples={
        HOLDS: {"names_without_an_import": 0, "errors_in_the_loss": 0},
        FAILS: {"names_without_an_import": 1, "errors_in_the_loss": 1},
    },
)
def described_training(names_without_an_import: int, errors_in_the_loss: int) -> Verdict:
    if names_without_an_import == errors_in_the_loss == 0:
        return Verdict(HOLDS, "it runs")
    return Verdict(
        FAILS,
        f"it uses {names_without_an_import} name that it does not import; with it, the loss stops "
        f"with {errors_in_the_loss} error: a map cannot be compared with a label",
    )


@claim(
    "P4",
    section="5.4",
    kind="measured",
    statement="its test accuracy rises markedly, which proves that residual connections work",
    notebook="05_code",
    test="tests/book/test_page_numbers.py::test_at_the_articles_depth_its_network_does_without_shortcuts",
    examples={
        HOLDS: {"gain": 0.2, "gain_margin": 0.02, "gain_as_evaluated": 0.2, "gain_at_56": 0.4},
        FAILS: {"gain": 0.004, "gain_margin": 0.003, "gain_as_evaluated": 0.1, "gain_at_56": 0.4},
    },
)
def proof_by_accuracy(
    gain: float, gain_margin: float, *, gain_as_evaluated: float, gain_at_56: float
) -> Verdict:
    measured = (
        f"over the same network without its shortcuts, which the article did not train, it gains "
        f"{gain:+g} ± {gain_margin:g} (by each test batch's own statistics; {gain_as_evaluated:+g} "
        f"by Keras's averages); over 56 layers, in this book's networks, {gain_at_56:+g}"
    )
    if gain > max(0.05, gain_margin):
        return Verdict(HOLDS, measured)
    return Verdict(FAILS, measured)


@claim(
    "P5",
    section="9 (third FAQ)",
    kind="measured",
    statement="its second residual_block handles a change of shape by a 1 x 1 convolution",
    notebook="05_code",
    test="tests/library/test_blocks.py::test_three_implementations_agree",
    examples={
        HOLDS: {
            "works_with_a_stride": 1,
            "works_with_channels_alone": 1,
            "names_without_an_import": 0,
        },
        WITH_CONDITIONS: {
            "works_with_a_stride": 1,
            "works_with_channels_alone": 0,
            "names_without_an_import": 0,
        },
        FAILS: {
            "works_with_a_stride": 1,
            "works_with_channels_alone": 0,
            "names_without_an_import": 1,
        },
    },
)
def described_again(
    works_with_a_stride: int, works_with_channels_alone: int, names_without_an_import: int
) -> Verdict:
    works = (works_with_a_stride > 0, works_with_channels_alone > 0)
    stride, channels = ("works" if each else "fails" for each in works)
    measured = f"it {stride} for a stride and {channels} for a change of channels alone"
    if names_without_an_import:
        return Verdict(
            FAILS,
            f"as printed it never runs, for want of {names_without_an_import} import; with it, "
            f"{measured}",
        )
    return Verdict((FAILS, WITH_CONDITIONS, HOLDS)[sum(works)], measured)


@claim(
    "P6",
    section="5.3",
    kind="derived",
    word=FAILS,
    statement="its block holds two convolutions, two normalisations and one activation",
    notebook="05_code",
    test="tests/book/test_claims.py::test_a_block_activates_twice",
)
def counted_layers(*, convolutions: int, norms: int, activations: int) -> str:
    return (
        f"{convolutions} convolutions, {norms} norms, {activations} activations: one activation "
        "between the convolutions, another after the addition"
    )
