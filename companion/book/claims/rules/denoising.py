"""The article's reference 3: denoising."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS

#: What accompanies the verdict: gains over the direct network that starts at random, in decibels.
_GAINS = {
    "gain_weak_noise": 1.8,
    "gain_strong_noise": 0.0,
    "gain_weak_noise_with_norm": 1.7,
    "gain_strong_noise_with_norm": -0.9,
    "gain_from_zero_weak_noise": 2.2,
    "gain_from_zero_strong_noise": 0.1,
    "gain_from_zero_weak_noise_with_norm": 6.0,
    "gain_from_zero_strong_noise_with_norm": 0.9,
    "gain_of_the_start_alone": 2.2,
    "gain_after_four_times_the_steps": 0.6,
}


@claim(
    "U6",
    section="reference 3",
    kind="measured",
    statement="residual learning helps denoising (DnCNN)",
    notebook="06_denoising",
    test="tests/book/test_applications_denoising.py::test_a_random_start_gains_at_weak_noise_and_a_zero_start_with_norm",
    examples={
        HOLDS: {"settings": 6, "sure_gains": 6, "sure_gains_from_zero": 6, **_GAINS},
        WITH_CONDITIONS: {"settings": 6, "sure_gains": 3, "sure_gains_from_zero": 5, **_GAINS},
        FAILS: {"settings": 6, "sure_gains": 0, "sure_gains_from_zero": 0, **_GAINS},
    },
)
def denoising(
    settings: int,
    sure_gains: int,
    sure_gains_from_zero: int,
    *,
    gain_weak_noise: float,
    gain_strong_noise: float,
    gain_weak_noise_with_norm: float,
    gain_strong_noise_with_norm: float,
    gain_from_zero_weak_noise: float,
    gain_from_zero_strong_noise: float,
    gain_from_zero_weak_noise_with_norm: float,
    gain_from_zero_strong_noise_with_norm: float,
    gain_of_the_start_alone: float,
    gain_after_four_times_the_steps: float,
) -> Verdict:
    measured = (
        f"both networks started at random, predicting the noise gains for sure in "
        f"{sure_gains} of {settings} settings (three levels of noise, without and with "
        f"batch norm): {gain_weak_noise:+g} and {gain_weak_noise_with_norm:+g} dB at a noise of "
        f"10 grey levels, {gain_strong_noise:+g} and {gain_strong_noise_with_norm:+g} at 50. With "
        f"its branch started at zero, in {sure_gains_from_zero}: {gain_from_zero_weak_noise:+g} "
        f"and {gain_from_zero_weak_noise_with_norm:+g}, {gain_from_zero_strong_noise:+g} and "
        f"{gain_from_zero_strong_noise_with_norm:+g}"
    )
    start = (
        f"without a norm, four times the steps leave {gain_after_four_times_the_steps:+g} of the "
        f"zero start's gain at weak noise, and a network that predicts the image but starts as "
        f"the identity gains {gain_of_the_start_alone:+g}"
    )
    if max(sure_gains, sure_gains_from_zero) == 0:
        return Verdict(FAILS, measured)
    if sure_gains == settings:
        return Verdict(HOLDS, f"{measured}; {start}")
    return Verdict(WITH_CONDITIONS, f"{measured}; {start}")
