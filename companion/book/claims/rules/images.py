"""The article's section 6: images."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim


@claim(
    "U1",
    section="3.4, 6.1",
    kind="measured",
    statement="image recognition: better accuracy, above all on complex images",
    notebook="06_images",
    test="tests/book/test_applications_images.py::test_the_gain_grows_with_depth_and_with_difficulty",
    examples={
        HOLDS: {
            "gain_at_8": 0.05,
            "gain_at_56": 0.6,
            "gain_at_20_easy": 0.0,
            "gain_at_20_hard": 0.3,
            "gain_at_20_hard_longer": 0.3,
            "gain_of_best_easy": 0.05,
            "gain_of_best_hard": 0.1,
        },
        WITH_CONDITIONS: {
            "gain_at_8": 0.01,
            "gain_at_56": 0.5,
            "gain_at_20_easy": 0.0,
            "gain_at_20_hard": 0.2,
            "gain_at_20_hard_longer": 0.02,
            "gain_of_best_easy": -0.01,
            "gain_of_best_hard": 0.04,
        },
        FAILS: {
            "gain_at_8": 0.01,
            "gain_at_56": 0.01,
            "gain_at_20_easy": 0.0,
            "gain_at_20_hard": 0.2,
            "gain_at_20_hard_longer": 0.1,
            "gain_of_best_easy": -0.01,
            "gain_of_best_hard": 0.04,
        },
    },
)
def recognition(
    gain_at_8: float,
    gain_at_56: float,
    gain_at_20_easy: float,
    gain_at_20_hard: float,
    gain_at_20_hard_longer: float,
    gain_of_best_easy: float,
    gain_of_best_hard: float,
) -> Verdict:
    depth = f"test accuracy {gain_at_8:+g} at 8 layers and {gain_at_56:+g} at 56 on digits of 8 x 8"
    if gain_at_56 < 0.02:
        return Verdict(FAILS, depth)
    difficulty = (
        f"at 20 layers {gain_at_20_easy:+g} on centred digits and {gain_at_20_hard:+g} on "
        f"cluttered ones, of which three times the epochs leave {gain_at_20_hard_longer:+g}; where "
        f"each side has the depth that suits it, {gain_of_best_easy:+g} and {gain_of_best_hard:+g}"
    )
    if gain_at_8 >= 0.02 and gain_at_20_hard_longer > gain_at_20_easy + 0.02:
        return Verdict(HOLDS, f"{depth}; {difficulty}")
    sooner = gain_at_20_hard > gain_at_20_easy + 0.02
    harder = ", and sooner on harder images" if sooner else ""
    return Verdict(WITH_CONDITIONS, f"in deep networks{harder}: {depth}; {difficulty}")
