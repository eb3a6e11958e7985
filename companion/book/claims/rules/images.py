"""The article's section 6: images."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS

#: What accompanies the verdict: gains in test accuracy.
_GAINS = {
    "gain_at_8": 0.004,
    "gain_at_56": 0.5,
    "gain_at_20_easy": 0.0,
    "gain_at_20_hard": 0.3,
    "gain_at_20_hard_longer": 0.1,
    "gain_of_best_easy": 0.0,
    "gain_of_best_hard": 0.04,
    "margin_of_best_hard": 0.01,
}


@claim(
    "U1",
    section="3.4, 6.1",
    kind="measured",
    statement="image recognition: better accuracy, above all on complex images",
    notebook="06_images",
    test="tests/book/test_applications_images.py::test_the_gain_grows_with_depth_and_with_difficulty",
    examples={
        HOLDS: {
            "settings": 8,
            "sure_gains": 8,
            "more_on_hard_longest": 0.1,
            "margin_on_hard_longest": 0.01,
            **_GAINS,
        },
        WITH_CONDITIONS: {
            "settings": 8,
            "sure_gains": 5,
            "more_on_hard_longest": 0.1,
            "margin_on_hard_longest": 0.01,
            **_GAINS,
        },
        FAILS: {
            "settings": 8,
            "sure_gains": 0,
            "more_on_hard_longest": 0.1,
            "margin_on_hard_longest": 0.01,
            **_GAINS,
        },
    },
)
def recognition(
    settings: int,
    sure_gains: int,
    more_on_hard_longest: float,
    margin_on_hard_longest: float,
    *,
    gain_at_8: float,
    gain_at_56: float,
    gain_at_20_easy: float,
    gain_at_20_hard: float,
    gain_at_20_hard_longer: float,
    gain_of_best_easy: float,
    gain_of_best_hard: float,
    margin_of_best_hard: float,
) -> Verdict:
    depth = (
        f"on digits (no photographs were tested) the gain in test accuracy is sure in "
        f"{sure_gains} of {settings} settings (two data sets, 8 to 56 layers): "
        f"{gain_at_8:+g} at 8 layers and {gain_at_56:+g} at 56 on the smaller digits"
    )
    if sure_gains == 0:
        return Verdict(FAILS, depth)
    difficulty = (
        f"at 20 layers {gain_at_20_easy:+g} on centred digits and {gain_at_20_hard:+g} on "
        f"cluttered ones, of which three times the epochs leave {gain_at_20_hard_longer:+g}, and "
        f"six times {more_on_hard_longest:+g} ± {margin_on_hard_longest:g} more than on centred "
        f"ones; where each side has the depth that suits it, {gain_of_best_easy:+g} and "
        f"{gain_of_best_hard:+g} ± {margin_of_best_hard:g}"
    )
    lasting = more_on_hard_longest > margin_on_hard_longest
    if sure_gains == settings and lasting:
        return Verdict(HOLDS, f"{depth}; {difficulty}")
    return Verdict(WITH_CONDITIONS, f"in deep networks: {depth}; {difficulty}")
