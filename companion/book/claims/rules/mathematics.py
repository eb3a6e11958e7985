"""The article's section 4: mathematics."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim


@claim(
    "M1",
    section="4.2",
    kind="derived",
    statement="a layer is sigma(Wx + b), so the residual model is H(x) = sigma(Wx + b) + x",
    notebook="04_gradients",
    test="tests/book/test_claims.py::test_a_single_linear_layer_with_a_shortcut_is_a_plain_layer",
    examples={
        WITH_CONDITIONS: {
            "negative_changes_by_the_articles_block": 0.0,
            "negative_changes_by_the_papers_block": 0.5,
            "one_linear_layer_differs_from_plain_by": 1e-06,
            "accuracy_of_the_articles_block": 0.9,
            "accuracy_of_the_plain_stack": 0.5,
        },
        FAILS: {
            "negative_changes_by_the_articles_block": 0.5,
            "negative_changes_by_the_papers_block": 0.5,
            "one_linear_layer_differs_from_plain_by": 0.0,
            "accuracy_of_the_articles_block": 0.1,
            "accuracy_of_the_plain_stack": 0.5,
        },
    },
)
def single_layer(
    negative_changes_by_the_articles_block: float,
    negative_changes_by_the_papers_block: float,
    one_linear_layer_differs_from_plain_by: float,
    accuracy_of_the_articles_block: float,
    accuracy_of_the_plain_stack: float,
) -> Verdict:
    trained = (
        f"24 layers of it reach {accuracy_of_the_articles_block:g}, the plain stack "
        f"{accuracy_of_the_plain_stack:g}"
    )
    if accuracy_of_the_articles_block < accuracy_of_the_plain_stack + 0.05:
        return Verdict(FAILS, f"as a block it gains nothing: {trained}")
    return Verdict(
        WITH_CONDITIONS,
        f"it is a residual block and it trains ({trained}), but not the paper's, which has two "
        "layers and its last activation after the addition: with a ReLU inside, "
        f"{100 * negative_changes_by_the_articles_block:g} % of the changes are negative, so the "
        f"stream can only grow (in the paper's {100 * negative_changes_by_the_papers_block:g} %)",
    )


@claim(
    "M2",
    section="4.3",
    kind="measured",
    statement="the worked example of four lines shows how the residual connection passes each "
    "layer's "
    "output on",
    notebook="04_gradients",
    test="tests/library/test_blocks.py::test_three_implementations_agree",
    examples={
        HOLDS: {
            "sums_with_an_earlier_output": 1,
            "sums_with_the_shortcut": 1,
            "implementations_agree": 1,
        },
        FAILS: {
            "sums_with_an_earlier_output": 0,
            "sums_with_the_shortcut": 1,
            "implementations_agree": 1,
        },
    },
)
def worked_example(
    sums_with_an_earlier_output: int,
    sums_with_the_shortcut: int,
    implementations_agree: int,
) -> Verdict:
    if sums_with_an_earlier_output:
        return Verdict(HOLDS, f"it adds an earlier output {sums_with_an_earlier_output} times")
    agree = "agree" if implementations_agree else "do not agree"
    return Verdict(
        FAILS,
        f"its lines add an earlier output {sums_with_an_earlier_output} times: they are a plain "
        f"network. With the shortcut it is {sums_with_the_shortcut}, and NumPy, PyTorch and "
        f"TensorFlow {agree} on the gradients of both",
    )
