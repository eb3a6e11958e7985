"""The article's section 4: mathematics."""

from __future__ import annotations

from companion.book.claims.core import claim
from companion.book.claims.wording import FAILS, WITH_CONDITIONS


@claim(
    "M1",
    section="4.2",
    kind="derived",
    word=WITH_CONDITIONS,
    statement="a layer is sigma(Wx + b), so the residual model is H(x) = sigma(Wx + b) + x",
    notebook="04_gradients",
    test="tests/book/test_claims.py::test_a_single_linear_layer_with_a_shortcut_is_a_plain_layer",
)
def single_layer(
    *,
    negative_changes_by_the_articles_block: float,
    negative_changes_by_the_papers_block: float,
    accuracy_of_the_articles_block: float,
    accuracy_of_the_plain_stack: float,
    accuracy_of_a_linear_map: float,
) -> str:
    return (
        "it is a residual block, but not the paper's, which has two layers and its last activation "
        "after the addition. With a ReLU inside the branch the stream can only grow: at the start "
        f"{100 * negative_changes_by_the_articles_block:g} % of the coordinates fall from block to "
        f"block, in the paper's {100 * negative_changes_by_the_papers_block:g} %. With batch norms "
        "in the branches it does train: "
        f"24 layers of it reach {accuracy_of_the_articles_block:g}, the plain stack "
        f"{accuracy_of_the_plain_stack:g}, a linear map {accuracy_of_a_linear_map:g}"
    )


@claim(
    "M2",
    section="4.3",
    kind="derived",
    word=FAILS,
    statement="the worked example of four lines shows how the residual connection passes each "
    "layer's output on",
    notebook="04_gradients",
    test="tests/library/test_blocks.py::test_three_implementations_agree",
)
def worked_example(
    *,
    sums_with_the_shortcut: int,
    median_gain_of_the_gradient: float,
    draws_with_less_gradient: int,
    draws: int,
) -> str:
    return (
        "none of its lines adds an earlier output: they are a plain network. Worked with the "
        f"shortcut there is {sums_with_the_shortcut} such sum, and over {draws} draws of weights "
        "the gradient at the first convolution is, in the median, "
        f"{median_gain_of_the_gradient:g} times as long; in {draws_with_less_gradient} it is "
        "shorter"
    )
