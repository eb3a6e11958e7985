"""The tool that puts faults into the library finds its places, in toys and in the library."""

from __future__ import annotations

import ast
import textwrap
from pathlib import Path

import pytest

from tools import mutation
from tools.mutations import patterns, places, plugins, runner, sandbox
from tools.mutations.faults import FAULTS

ROOT = Path(__file__).resolve().parents[2]

TOY = {
    "torch/merges.py": '''
        """A module."""

        class Gate(nn.Module):
            """x times a gate, at most 3."""

            def __init__(self, channels: int, bias: float = -2.0, causal: bool = False) -> None:
                _checks.positive_int("channels", channels, 7)
                if channels > 99:
                    raise ValueError(f"at most {99}")
                self.part = nn.Sequential(OrderedDict(dense=Dense(4 * channels), relu=nn.ReLU()))

            def forward(self, x, y):
                return (1 - torch.sigmoid(x)) * y / math.sqrt(x.shape[1])
        ''',
    "tensorflow/merges.py": """
        class Gate(keras.layers.Layer):
            def __init__(self, channels: int, bias: float = -2.0, causal: bool = False) -> None:
                parts = [Dense(4 * channels, name="dense"), keras.layers.ReLU(name="relu")]
                self.part = keras.Sequential(parts)

            def call(self, x, y):
                return (1 - ops.sigmoid(x)) * y / math.sqrt(x.shape[-1])

            def get_config(self):
                return {"channels": 5}
        """,
    "measures.py": """
        def dice(a, b):
            return 2 * (a & b).sum() / (a.sum() + b.sum())

        def _scaled(x, factor=3):
            return factor * x

        def scaled(x):
            return _scaled(x, factor=4)
        """,
}


@pytest.fixture
def toy(tmp_path):
    for name, text in TOY.items():
        path = tmp_path / "companion" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(textwrap.dedent(text))
    return tmp_path


def changed(package, name):
    (mutant,) = [m for m in places.mutants(package) if m.name == name]
    return places.texts(package, mutant)


def test_operators_find_what_computes_and_twins_share_it(toy):
    found = places.mutants(toy / "companion")
    twins = {m.name for m in found if m.kind == "twin"}
    for expected in (
        "Gate.__init__ | default | bias=-2.0 -> -1.0 | 0",
        "Gate.__init__ | default | causal=False -> True | 0",
        "Gate.__init__ | constant | 4 * channels -> 5 | 0",
        "Gate.__init__ | layer | relu -> left out | 0",
        "Gate.forward | constant | 1 - … -> 2 | 0",
        "Gate.forward | function | sigmoid -> left out | 0",
        "Gate.forward | function | sqrt -> left out | 0",
    ):
        assert expected in twins
    assert all({f for f, _ in m.scopes} == {"torch/merges.py", "tensorflow/merges.py"}
               for m in found if m.kind == "twin")  # fmt: skip
    assert "dice | constant | 2 * … -> 3 | 0" in {m.name for m in found if m.kind == "shared"}
    names = " ".join(m.name for m in found)
    for left_out in ("7", "99", "get_config", "'dense'", "at most"):
        assert left_out not in names
    single = {m.name for m in found if m.kind == "single"}
    assert "Gate.forward | constant | x.shape[1] -> 2 | 0 | torch" in single


def test_a_mutant_changes_one_thing_in_each_twin(toy):
    for name, text in changed(
        toy / "companion", "Gate.__init__ | layer | relu -> left out | 0"
    ).items():
        assert "ReLU" not in text and "Dense" in text, name
    (text,) = changed(toy / "companion", "dice | constant | 2 * … -> 3 | 0").values()
    assert "3 * (a & b).sum() / (a.sum() + b.sum())" in text
    package = toy / "companion"
    for mutant in places.mutants(package):
        for name, text in places.texts(package, mutant).items():
            assert ast.dump(ast.parse(text)) != ast.dump(ast.parse((package / name).read_text()))


def test_a_default_that_every_call_sets_does_not_count(toy):
    found = {m.name: m.equivalent for m in places.mutants(toy / "companion")}
    assert found["measures:_scaled | default | factor=3 -> 4 | 0"]
    assert not found["Gate.__init__ | default | bias=-2.0 -> -1.0 | 0"]


def test_an_argument_that_is_the_default_does_not_count():
    found = {m.name: m.equivalent for m in places.mutants(ROOT / "companion", "blocks")}
    name = "BottleneckBlock.__init__ | keyword | Conv2d(kernel_size={}) -> left out | 0"
    assert found[name.format(3)] == "an argument that is the default"
    assert not found[name.format(1)]


def test_patterns_bind_and_replace():
    tree = ast.parse(
        "y = f(a) / math.sqrt(n)\ng(x, 1, two=2, three=3)\nif p.ndim > 1:\n    p.mul_(2)"
    )
    assert len(patterns.replace_all(tree, "A_ / math.sqrt(B_)", "A_ / B_")) == 1
    assert len(patterns.replace_all(tree, "g(*A_, two=2, **K_)", "h(*A_, **K_)")) == 1
    assert len(patterns.replace_all(tree, "if A_.ndim > 1:\n    B_", "B_")) == 1
    assert ast.unparse(tree) == "y = f(a) / n\nh(x, 1, three=3)\np.mul_(2)"
    assert not patterns.replace_all(tree, "A_ + A_", "A_")


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_every_fault_put_in_by_hand_finds_its_places(fault):
    mutant, missing = patterns.curated(ROOT / "companion", fault)
    assert not missing
    for name, text in mutant.texts.items():
        compile(text, name, "exec")
        before = (ROOT / "companion" / name).read_text()
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(before))


def test_marks_are_put_at_the_head_of_functions():
    source = (
        'from __future__ import annotations\nclass A:\n    def call(self):\n        """Doc."""\n'
    )
    text = sandbox.marked("torch/a.py", source)
    assert text.startswith("from __future__")
    space: dict = {}
    setattr(__import__("builtins"), plugins.MARKS, found := set())
    try:
        exec(text, space)
        space["A"]().call()
    finally:
        delattr(__import__("builtins"), plugins.MARKS)
    assert found == {"torch/a.py:A.forward"} and space["A"].call.__doc__ == "Doc."


def test_tests_are_chosen_by_what_they_reach_and_must_fail_twice(toy, monkeypatch):
    work = runner.Runner(toy, toy / "known.json", seconds=2, slowest=5)
    reaches = {"t::a[1]": "Gate.forward", "t::a[2]": "Gate.forward", "t::b": "Gate.forward"}
    work.tests = {
        name: {"outcome": "passed", "seconds": 0.5 + i, "reaches": [f"torch/merges.py:{scope}"]}
        for i, (name, scope) in enumerate({**reaches, "t::c": "Other"}.items())
    }
    work.tests["t::b"]["seconds"] = 1.0
    mutant = places.Mutant("m", "twin", (("torch/merges.py", "Gate.forward"),), {})
    assert work.chosen(mutant) == (["t::a[1]", "t::b"], 1)  # the second case is over the time

    failures = iter(["t::a[1]", "", "t::b", "t::b"])  # the first passes when it is asked again

    def meet(ids):
        failed = next(failures)
        return (1, failed, "assert 1 == 2") if failed else (0, "", "")

    monkeypatch.setattr(work, "_meet", meet)
    result = work.run(mutant, {"torch/merges.py": "changed"})
    work.sandbox.remove()
    assert (result["outcome"], result["by"]) == ("caught", "t::b")
    assert work.tests["t::a[1]"]["outcome"] == "unreliable"


def test_survivors_that_are_known_name_their_reason():
    for name, why in mutation.known_survivors().items():
        assert name and why
    known = {"Gate.*": "a toy"}
    mutant = places.Mutant("Gate.forward | sign | 0", "twin", (), {})
    assert mutation.reason(mutant, known) == "a toy" and not mutation.reason(mutant, {})


def test_the_share_counts_what_can_be_caught(capsys):
    mutants = [places.Mutant(n, "twin", (), {}) for n in "abc"]
    mutants.append(places.Mutant("d", "twin", (), {}, "a default that no call leaves out"))
    held = {"kind": "twin", "tests": 3, "left_out": 0}
    results = {n: {**held, "outcome": o} for n, o in zip("abcd", ["caught"] * 2 + ["survived"] * 2,
                                                        strict=True)}  # fmt: skip
    assert mutation.summary(mutants, results) == pytest.approx(2 / 3)
    printed = capsys.readouterr().out
    assert "survived: c" in printed and "survived: d" not in printed
