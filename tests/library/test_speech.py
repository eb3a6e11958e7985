"""Dilated convolutions over time: both frameworks alike."""

from __future__ import annotations

from tests.library.harness import FRAMES, networks_agree, networks_are_saved_whole, refused_alike

NETWORKS = [*(("speech_resnet", (7,), {"residual": r}, FRAMES) for r in (True, False))]
test_networks_start_alike_and_agree = networks_agree(NETWORKS)
test_keras_networks_are_saved_whole = networks_are_saved_whole(NETWORKS)


BAD = [("speech_resnet", (8,), {}, "depth")]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)
