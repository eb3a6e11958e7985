"""Recurrent layers with shortcuts: both frameworks alike."""

from __future__ import annotations

from tests.library.harness import TOKENS, networks_agree, networks_are_saved_whole, refused_alike

NETWORKS = [*(("residual_lstm", (9, 2, 8), {"residual": r}, TOKENS) for r in (True, False))]
test_networks_start_alike_and_agree = networks_agree(NETWORKS)
test_keras_networks_are_saved_whole = networks_are_saved_whole(NETWORKS)


BAD = [
    ("residual_lstm", (9, 0), {}, "depth"),
    ("residual_lstm", (0, 2), {}, "vocabulary"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)
