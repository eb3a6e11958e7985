"""The article's section 6: medical images."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim

#: Dice that counts as a gain, if the spread over seeds is not larger.
GAIN = 0.02


@claim(
    "U5",
    section="6.4",
    kind="measured",
    statement="medical imaging: higher precision in segmentation",
    notebook="06_medical",
    test="tests/book/test_applications_medical.py::test_shortcuts_gain_where_long_skips_are_missing",
    examples={
        HOLDS: {
            "gain_shallow": 0.05,
            "gain_deep": 0.05,
            "spread_of_the_gain": 0.01,
            "gain_deep_without_long_skips": 0.05,
            "gain_of_long_skips": 0.0,
            "best_network": 0.95,
            "blur_and_table": 0.8,
        },
        WITH_CONDITIONS: {
            "gain_shallow": 0.022,
            "gain_deep": 0.037,
            "spread_of_the_gain": 0.032,
            "gain_deep_without_long_skips": 0.25,
            "gain_of_long_skips": 0.074,
            "best_network": 0.87,
            "blur_and_table": 0.9,
        },
        FAILS: {
            "gain_shallow": 0.0,
            "gain_deep": 0.04,
            "spread_of_the_gain": 0.05,
            "gain_deep_without_long_skips": 0.01,
            "gain_of_long_skips": 0.1,
            "best_network": 0.87,
            "blur_and_table": 0.9,
        },
    },
)
def segmentation(
    gain_shallow: float,
    gain_deep: float,
    spread_of_the_gain: float,
    gain_deep_without_long_skips: float,
    gain_of_long_skips: float,
    best_network: float,
    blur_and_table: float,
) -> Verdict:
    measured = (
        f"mean Dice by shortcuts {gain_deep_without_long_skips:+g} in a deep U-Net without its "
        f"long skips; with them {gain_deep:+g} (pairs of seeds spread by "
        f"{spread_of_the_gain:g}), and {gain_shallow:+g} in a shallow one; by long skips "
        f"{gain_of_long_skips:+g}. The best "
        f"network has {best_network:g}, a blur and a table of grey levels {blur_and_table:g}"
    )
    sure = gain_deep >= max(GAIN, spread_of_the_gain)
    if not sure and gain_deep_without_long_skips < GAIN:
        return Verdict(FAILS, measured)
    if sure and gain_shallow >= GAIN and best_network >= blur_and_table + GAIN:
        return Verdict(HOLDS, measured)
    return Verdict(WITH_CONDITIONS, f"where the network is deep and has no other skips: {measured}")
