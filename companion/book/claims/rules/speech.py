"""The article's section 6: speech."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, SURE, WITH_CONDITIONS, Verdict, claim

_MEASURED = {
    "gain_at_7": 0.0,
    "gain_at_49": 0.3,
    "error_at_49": 0.1,
    "noise_at_7": 0.02,
    "error_at_7": 0.01,
    "noise_at_13": 0.06,
    "error_at_13": 0.01,
    "clean_at_13": 0.015,
    "loud_by_rate": 0.3,
    "loud_nearest_mean": 0.8,
    "loud_best_network": 0.7,
}


@claim(
    "U4",
    section="3.4, 6.3",
    kind="measured",
    statement="speech: more robust and more accurate",
    notebook="06_speech",
    test="tests/book/test_applications_speech.py::test_accuracy_gains_by_depth_and_robustness_is_apart",
    examples={
        HOLDS: {"least_errors": 3.0, "most_errors": 9.0, **_MEASURED},
        WITH_CONDITIONS: {"least_errors": 0.0, "most_errors": 9.0, **_MEASURED},
        FAILS: {"least_errors": -1.0, "most_errors": 1.0, **_MEASURED},
    },
)
def speech(
    least_errors: float,
    most_errors: float,
    *,
    gain_at_7: float,
    gain_at_49: float,
    error_at_49: float,
    noise_at_7: float,
    error_at_7: float,
    noise_at_13: float,
    error_at_13: float,
    clean_at_13: float,
    loud_by_rate: float,
    loud_nearest_mean: float,
    loud_best_network: float,
) -> Verdict:
    """Of four gains (accuracy and accuracy under noise, by depth) least and most sure decide."""
    measured = (
        "the test is who speaks, not what is said. Accuracy "
        f"{gain_at_7:+g} at 7 layers, {gain_at_49:+g} ± {error_at_49:g} at 49 (error of the mean, "
        "three pairs). Under noise, after 20 epochs, over "
        f"three rates, equal for both, {noise_at_7:+g} ± {error_at_7:g} at 7 layers and "
        f"{noise_at_13:+g} ± {error_at_13:g} at 13, where {clean_at_13:+g} is there without noise. "
        f"A rate ten times larger gives {loud_by_rate:+g} at the loudest noise, where the nearest "
        f"mean frame reaches {loud_nearest_mean:g} and the best network trained without noise "
        f"{loud_best_network:g}"
    )
    if most_errors <= SURE:
        return Verdict(FAILS, measured)
    if least_errors > SURE:
        return Verdict(HOLDS, measured)
    return Verdict(WITH_CONDITIONS, f"but not at every depth: {measured}")
