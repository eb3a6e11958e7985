"""The article's section 6: speech."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim

#: What counts as a gain in accuracy: about twice the spread over seeds.
GAIN = 0.02


@claim(
    "U4",
    section="3.4, 6.3",
    kind="measured",
    statement="speech: more robust and more accurate",
    notebook="06_speech",
    test="tests/book/test_applications_speech.py::test_accuracy_gains_by_depth_and_robustness_is_apart",
    examples={
        HOLDS: {
            "gain_at_7": 0.05,
            "gain_at_49": 0.5,
            "gain_under_noise": 0.2,
            "loud_by_rate": 0.0,
            "loud_nearest_mean": 0.5,
            "loud_best_network": 0.9,
        },
        WITH_CONDITIONS: {
            "gain_at_7": 0.0,
            "gain_at_49": 0.3,
            "gain_under_noise": 0.02,
            "loud_by_rate": 0.3,
            "loud_nearest_mean": 0.8,
            "loud_best_network": 0.7,
        },
        FAILS: {
            "gain_at_7": 0.0,
            "gain_at_49": 0.01,
            "gain_under_noise": 0.01,
            "loud_by_rate": 0.3,
            "loud_nearest_mean": 0.8,
            "loud_best_network": 0.7,
        },
    },
)
def speech(
    gain_at_7: float,
    gain_at_49: float,
    gain_under_noise: float,
    loud_by_rate: float,
    loud_nearest_mean: float,
    loud_best_network: float,
) -> Verdict:
    accurate = f"accuracy {gain_at_7:+g} at 7 layers and {gain_at_49:+g} at 49"
    robust = (
        f"under noise, at 7 layers, where both are equal without it, {gain_under_noise:+g} over "
        f"three learning rates; a rate ten times larger gives {loud_by_rate:+g} at the loudest "
        f"noise, where the nearest mean frame reaches {loud_nearest_mean:g} and the best network "
        f"trained without noise {loud_best_network:g}"
    )
    if gain_at_49 < GAIN and gain_under_noise < GAIN:
        return Verdict(FAILS, f"{accurate}; {robust}")
    if gain_at_7 >= GAIN and gain_under_noise >= GAIN:
        return Verdict(HOLDS, f"{accurate}; {robust}")
    return Verdict(WITH_CONDITIONS, f"more accurate only where deep: {accurate}. Robust: {robust}")
