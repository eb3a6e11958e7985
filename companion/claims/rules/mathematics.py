"""The article's section 4: mathematics."""

from __future__ import annotations

from companion.claims.settling import FAILS, HOLDS, Verdict, claim


@claim(
    "M1",
    section="4.2",
    kind="derived",
    says="a layer is sigma(Wx + b), so the residual model is H(x) = sigma(Wx + b) + x",
    notebook="04_gradients",
    test="tests/test_claims.py::test_a_single_linear_layer_with_a_shortcut_is_a_plain_layer",
    otherwise={
        "negative_changes_by_the_articles_block": 0.5,
        "negative_changes_by_the_papers_block": 0.5,
        "one_linear_layer_differs_from_plain_by": 0.0,
        "gain_of_two_layers_over_one": 0.0,
    },
)
def single_layer(
    negative_changes_by_the_articles_block: float,
    negative_changes_by_the_papers_block: float,
    one_linear_layer_differs_from_plain_by: float,
    gain_of_two_layers_over_one: float,
) -> Verdict:
    if negative_changes_by_the_articles_block > 0:
        return Verdict(HOLDS, "the article's block can add and take away")
    return Verdict(
        FAILS,
        "with a ReLU inside, the branch can only add "
        f"({100 * negative_changes_by_the_articles_block:g} % of its changes are negative, in the "
        f"paper's block {100 * negative_changes_by_the_papers_block:g} %); and around one linear "
        "layer a shortcut computes nothing that a plain layer does not. As a start of training "
        f"even one layer profits: two gain {gain_of_two_layers_over_one:+g} of accuracy over one",
    )


@claim(
    "M2",
    section="4.3",
    kind="measured",
    says="the worked example of four lines shows how the residual connection passes each layer's "
    "output on",
    notebook="04_gradients",
    test="tests/test_blocks_agree.py::test_three_implementations_agree",
    otherwise={
        "additions_in_the_articles_lines": 1,
        "additions_with_the_shortcut": 1,
        "implementations_agree": 1,
    },
)
def worked_example(
    additions_in_the_articles_lines: int,
    additions_with_the_shortcut: int,
    implementations_agree: int,
) -> Verdict:
    if additions_in_the_articles_lines:
        return Verdict(HOLDS, f"its lines contain {additions_in_the_articles_lines} addition")
    agree = "agree" if implementations_agree else "do not agree"
    return Verdict(
        FAILS,
        f"its lines contain {additions_in_the_articles_lines} additions, so they are a plain "
        f"network; with the shortcut there is {additions_with_the_shortcut}, and NumPy, PyTorch "
        f"and TensorFlow {agree} on the gradients of both",
    )
