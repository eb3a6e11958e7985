"""make quick runs the tests that a change asks for."""

from __future__ import annotations

import pytest

from tools import affected

MERGES = ["tests/library/test_merges.py", "tests/oracles/test_merges.py"]
REFERENCE = ["tests/library/test_reference.py", "tests/oracles/test_reference.py"]
UNET = ["tests/library/test_unet.py", "tests/oracles/test_unet_dncnn.py"]


@pytest.mark.parametrize(
    ("file", "tests"),
    [
        ("companion/torch/merges.py", MERGES),
        ("companion/reference/merges.py", [*MERGES, *REFERENCE]),
        ("companion/tensorflow/unet.py", UNET),
        ("companion/torch/optimizers.py", ["tests/library/test_optimizers.py"]),
        ("companion/torch/whole_batch_norm.py", ["tests/library/test_distributed.py"]),
        ("companion/recipe.py", ["tests/library/test_recipe.py", "tests/oracles/test_recipe.py"]),
        (
            "companion/weights/initializers.py",
            ["tests/library/weights/test_initializers.py", "tests/oracles/test_initializers.py"],
        ),
        (
            "companion/data/mnist.py",
            ["tests/library/data/test_data.py", "tests/library/data/test_mnist.py"],
        ),
        ("companion/data/speech.py", ["tests/library/data/test_data.py"]),
        ("tools/processor.py", ["tests/tools/test_processor.py"]),
        ("tools/stage.py", ["tests/tools/test_stage.py"]),
        ("tools/mutations/places.py", ["tests/tools/test_mutation.py"]),
        ("companion/book/bench/timing.py", ["tests/book/test_bench.py"]),
        ("companion/book/results.py", ["tests/book/test_results.py"]),
        ("companion/book/experiments/fusion.py", ["tests/book/test_outlook.py"]),
        ("book/02_idea.ipynb", ["tests/book/test_glossary.py", "tests/book/test_pages.py"]),
        ("tests/tools/test_stage.py", ["tests/tools/test_stage.py"]),
    ],
)
def test_a_change_asks_for_the_tests_of_the_mirror(file, tests):
    assert affected.affected([file]) == sorted([*tests, *affected.ALWAYS])


@pytest.mark.parametrize("files", [[], ["README.md"], ["companion/torch/__init__.py"]])
def test_without_a_mirror_the_equation_is_tested(files):
    found = affected.affected(files)
    assert {"tests/library/test_blocks.py", *affected.ALWAYS} <= set(found)
    assert all((affected.ROOT / test).exists() for test in found)
