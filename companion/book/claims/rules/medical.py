"""The article's section 6: medical images."""

from __future__ import annotations

from companion.book.claims.core import FAILS, HOLDS, WITH_CONDITIONS, Verdict, claim

#: Dice that counts as a gain, and how many standard errors of its mean it has to be.
GAIN, ERRORS = 0.02, 2


@claim(
    "U5",
    section="6.4",
    kind="measured",
    statement="medical imaging: detection, classification and segmentation, with higher precision "
    "in segmentation",
    notebook="06_medical",
    test="tests/book/test_applications_medical.py::test_shortcuts_gain_where_long_skips_are_missing",
    examples={
        HOLDS: {
            "gain_alone": 0.05,
            "errors_alone": 5.0,
            "gain_beside": 0.03,
            "errors_beside": 4.0,
            "behind_beside": 0,
            "gain_beside_batch": 0.04,
            "errors_beside_batch": 3.0,
            "gain_shallow": 0.03,
            "chosen_network": 0.95,
            "blur_and_table": 0.9,
            "gain_of_long_skips": 0.05,
        },
        WITH_CONDITIONS: {
            "gain_alone": 0.2,
            "errors_alone": 3.0,
            "gain_beside": 0.0,
            "errors_beside": 0.5,
            "behind_beside": 3,
            "gain_beside_batch": 0.037,
            "errors_beside_batch": 2.9,
            "gain_shallow": 0.01,
            "chosen_network": 0.88,
            "blur_and_table": 0.9,
            "gain_of_long_skips": 0.05,
        },
        FAILS: {
            "gain_alone": 0.01,
            "errors_alone": 3.0,
            "gain_beside": 0.03,
            "errors_beside": 0.5,
            "behind_beside": 3,
            "gain_beside_batch": 0.03,
            "errors_beside_batch": 1.5,
            "gain_shallow": 0.01,
            "chosen_network": 0.88,
            "blur_and_table": 0.9,
            "gain_of_long_skips": 0.05,
        },
    },
)
def segmentation(
    gain_alone: float,
    errors_alone: float,
    gain_beside: float,
    errors_beside: float,
    behind_beside: int,
    gain_beside_batch: float,
    errors_beside_batch: float,
    gain_shallow: float,
    chosen_network: float,
    blur_and_table: float,
    *,
    gain_of_long_skips: float,
) -> Verdict:
    """``behind_beside``: in how many of six pairs; none is a chance of one in 32."""
    gains = {
        "without long skips": gain_alone >= GAIN and errors_alone > ERRORS,
        "beside long skips with instance norm": gain_beside >= GAIN
        and (errors_beside > ERRORS or behind_beside == 0),
        "beside long skips with batch norm": gain_beside_batch >= GAIN
        and errors_beside_batch > ERRORS,
    }
    measured = (
        f"mean Dice by shortcuts in a U-Net of 48 layers without long skips {gain_alone:+g} "
        f"({errors_alone:g} standard errors); beside long skips with instance norm "
        f"{gain_beside:+g} ({errors_beside:g}; behind in {behind_beside} of 6 pairs), with batch "
        f"norm {gain_beside_batch:+g} ({errors_beside_batch:g}); in one of 18 layers "
        f"{gain_shallow:+g}; by long skips {gain_of_long_skips:+g}. The network that validation "
        f"chooses has {chosen_network:g}, a blur and a table of grey levels {blur_and_table:g}. "
        "Tissue of one brain template was segmented; detection and classification were not tested"
    )
    if not any(gains.values()):
        return Verdict(FAILS, measured)
    conditions = []
    if gain_shallow < GAIN:
        conditions.append("where the network is deep")
    if not all(gains.values()):
        conditions.append(" and ".join(where for where, sure in gains.items() if sure))
    if chosen_network < blur_and_table + GAIN:
        conditions.append("against another network, not against a blur")
    if not conditions:
        return Verdict(HOLDS, measured)
    return Verdict(WITH_CONDITIONS, f"{', '.join(conditions)}: {measured}")
