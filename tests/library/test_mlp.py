"""Residual blocks of dense layers: both frameworks alike, with each norm and merge."""

from __future__ import annotations

from tests.library.harness import VECTORS, networks_agree, networks_are_saved_whole, refused_alike

NETWORKS = [
    ("residual_mlp", (16, 4, 2), {"residual": False}, VECTORS),
    ("residual_mlp", (16, 4, 2), {"norm": "batch", "merge": "rezero"}, VECTORS),
    ("residual_mlp", (16, 4, 2), {"norm": "layer", "merge": "highway"}, VECTORS),
    ("residual_mlp", (16, 4, 2), {"merge": "layer_scale"}, VECTORS),
]
test_networks_start_alike_and_agree = networks_agree(NETWORKS)
test_keras_networks_are_saved_whole = networks_are_saved_whole(NETWORKS)


BAD = [
    ("residual_mlp", (16, 4, 2), {"norm": "group"}, "norm"),
    ("residual_mlp", (16, 4, 2), {"merge": "max"}, "merge"),
    ("residual_mlp", (16, 4, 0), {}, "blocks"),
]
test_both_frameworks_refuse_in_the_same_words = refused_alike(BAD)
