"""The article's section 6: speech."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS

_MEASURED = {
    "gain_at_7": 0.0,
    "gain_at_49": 0.3,
    "margin_at_49": 0.1,
    "noise_at_7": 0.02,
    "margin_at_7": 0.01,
    "noise_at_13": 0.06,
    "margin_at_13": 0.01,
    "clean_at_13": 0.015,
    "noise_at_13_longer": 0.03,
    "margin_at_13_longer": 0.02,
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
        HOLDS: {"settings": 4, "sure_gains": 4, **_MEASURED},
        WITH_CONDITIONS: {"settings": 4, "sure_gains": 2, **_MEASURED},
        FAILS: {"settings": 4, "sure_gains": 0, **_MEASURED},
    },
)
def speech(
    settings: int,
    sure_gains: int,
    *,
    gain_at_7: float,
    gain_at_49: float,
    margin_at_49: float,
    noise_at_7: float,
    margin_at_7: float,
    noise_at_13: float,
    margin_at_13: float,
    clean_at_13: float,
    noise_at_13_longer: float,
    margin_at_13_longer: float,
    loud_by_rate: float,
    loud_nearest_mean: float,
    loud_best_network: float,
) -> Verdict:
    """The settings: accuracy and accuracy under noise, each at a small depth and at a larger."""
    measured = (
        f"the test is who speaks, not what is said. The gain is sure in {sure_gains} of {settings} "
        f"settings. Accuracy {gain_at_7:+g} at 7 layers, {gain_at_49:+g} ± {margin_at_49:g} at 49. "
        f"Under noise, after 20 epochs, over three rates, equal for both, {noise_at_7:+g} ± "
        f"{margin_at_7:g} at 7 layers and {noise_at_13:+g} ± {margin_at_13:g} at 13, where "
        f"{clean_at_13:+g} is there without noise; after 60 epochs {noise_at_13_longer:+g} ± "
        f"{margin_at_13_longer:g}. A rate ten times larger gives {loud_by_rate:+g} "
        f"at the loudest noise, where the nearest mean frame reaches {loud_nearest_mean:g} and the "
        f"best network trained without noise {loud_best_network:g}"
    )
    if sure_gains == 0:
        return Verdict(FAILS, measured)
    if sure_gains == settings:
        return Verdict(HOLDS, measured)
    return Verdict(WITH_CONDITIONS, f"but not at every depth: {measured}")
