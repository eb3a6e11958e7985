"""The article's section 6: medical images."""

from __future__ import annotations

from companion.book.claims.core import Verdict, claim
from companion.book.claims.wording import FAILS, HOLDS, WITH_CONDITIONS

#: Dice that counts as a gain, and how many standard errors of its mean it has to be.
GAIN = 0.02


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
            "margin_alone": 0.02,
            "gain_beside": 0.03,
            "margin_beside": 0.01,
            "behind_beside": 0,
            "gain_beside_batch": 0.04,
            "margin_beside_batch": 0.01,
            "gain_shallow": 0.03,
            "chosen_network": 0.95,
            "blur_and_table": 0.9,
            "gain_of_long_skips": 0.05,
        },
        WITH_CONDITIONS: {
            "gain_alone": 0.2,
            "margin_alone": 0.1,
            "gain_beside": 0.0,
            "margin_beside": 0.05,
            "behind_beside": 3,
            "gain_beside_batch": 0.037,
            "margin_beside_batch": 0.03,
            "gain_shallow": 0.01,
            "chosen_network": 0.88,
            "blur_and_table": 0.9,
            "gain_of_long_skips": 0.05,
        },
        FAILS: {
            "gain_alone": 0.01,
            "margin_alone": 0.1,
            "gain_beside": 0.03,
            "margin_beside": 0.05,
            "behind_beside": 3,
            "gain_beside_batch": 0.03,
            "margin_beside_batch": 0.05,
            "gain_shallow": 0.01,
            "chosen_network": 0.88,
            "blur_and_table": 0.9,
            "gain_of_long_skips": 0.05,
        },
    },
)
def segmentation(
    gain_alone: float,
    margin_alone: float,
    gain_beside: float,
    margin_beside: float,
    behind_beside: int,
    gain_beside_batch: float,
    margin_beside_batch: float,
    gain_shallow: float,
    chosen_network: float,
    blur_and_table: float,
    *,
    gain_of_long_skips: float,
) -> Verdict:
    """``behind_beside``: in how many of six pairs; none is a chance of one in 32."""
    gains = {
        "without long skips": gain_alone >= GAIN and gain_alone > margin_alone,
        "beside long skips with instance norm": gain_beside >= GAIN
        and (gain_beside > margin_beside or behind_beside == 0),
        "beside long skips with batch norm": gain_beside_batch >= GAIN
        and gain_beside_batch > margin_beside_batch,
    }
    measured = (
        f"mean Dice by shortcuts in a U-Net of 48 layers without long skips {gain_alone:+g} "
        f"± {margin_alone:g}; beside long skips with instance norm "
        f"{gain_beside:+g} ± {margin_beside:g} (behind in {behind_beside} of 6 pairs), with batch "
        f"norm {gain_beside_batch:+g} ± {margin_beside_batch:g}; in one of 18 layers "
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
