"""The article's reference 3: denoising."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim

#: Decibels that count as a gain: three seeds of one setting lie closer together.
GAIN = 0.5


@claim(
    "U6",
    section="reference 3",
    kind="measured",
    statement="residual learning helps denoising (DnCNN)",
    notebook="06_denoising",
    test="tests/book/test_applications_denoising.py::test_the_shortcut_gains_at_weak_noise_or_with_norm",
    examples={
        HOLDS: {
            "gain_weak_noise": 2.0,
            "gain_strong_noise": 1.0,
            "gain_of_the_start_alone": 0.0,
            "gain_weak_noise_with_norm": 2.0,
            "gain_strong_noise_with_norm": 1.0,
            "gain_after_four_times_the_steps": 2.0,
        },
        WITH_CONDITIONS: {
            "gain_weak_noise": 2.2,
            "gain_strong_noise": 0.0,
            "gain_of_the_start_alone": 2.2,
            "gain_weak_noise_with_norm": 6.0,
            "gain_strong_noise_with_norm": 0.92,
            "gain_after_four_times_the_steps": 0.58,
        },
        FAILS: {
            "gain_weak_noise": 0.4,
            "gain_strong_noise": 0.0,
            "gain_of_the_start_alone": 0.4,
            "gain_weak_noise_with_norm": 0.4,
            "gain_strong_noise_with_norm": 0.9,
            "gain_after_four_times_the_steps": 0.4,
        },
    },
)
def denoising(
    gain_weak_noise: float,
    gain_strong_noise: float,
    gain_of_the_start_alone: float,
    gain_weak_noise_with_norm: float,
    gain_strong_noise_with_norm: float,
    gain_after_four_times_the_steps: float,
) -> Verdict:
    measured = (
        f"without batch norm {gain_weak_noise:+g} dB at a noise of 10 grey levels "
        f"({gain_after_four_times_the_steps:+g} after four times the steps) and "
        f"{gain_strong_noise:+g} at 50; with batch norm {gain_weak_noise_with_norm:+g} and "
        f"{gain_strong_noise_with_norm:+g}"
    )
    if max(gain_weak_noise, gain_weak_noise_with_norm) < GAIN:
        return Verdict(FAILS, measured)
    start = (
        f"a network that predicts the image and starts as the identity gains "
        f"{gain_of_the_start_alone:+g}"
    )
    if gain_strong_noise >= GAIN and gain_weak_noise - gain_of_the_start_alone >= GAIN:
        return Verdict(HOLDS, f"{measured}; {start}")
    return Verdict(
        WITH_CONDITIONS,
        f"if the branch starts at zero, and without a norm where the noise is weak: {measured}. "
        f"Without a norm it is the start more than the target: {start}",
    )
