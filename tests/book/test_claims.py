"""The ledger: every claim has an entry, every entry points at a cell, and numbers decide."""

from __future__ import annotations

import importlib.util
import inspect
import json
import re
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

import companion.torch as ct
from companion.book import claims
from companion.book.claims import core, wording
from companion.book.claims.core import KEY

ROOT = Path(__file__).resolve().parents[2]
LEDGER = claims.ledger()
#: Every claim of the article, by its sections; P6 was found while the book was written.
ANSWERED = {
    f"{letter}{i}"
    for letter, last in zip("BCAMPUOQR", (3, 6, 5, 2, 6, 6, 6, 9, 2), strict=True)
    for i in range(1, last + 1)
}


def outputs(id: str) -> list[dict]:
    """Return what the cells tagged with this claim settled it with."""
    path = ROOT / "book" / f"{claims.CLAIMS[id].notebook}.ipynb"
    cells = json.loads(path.read_text("utf-8"))["cells"]
    tagged = [c for c in cells if f"claim-{id}" in c["metadata"].get("tags", [])]
    assert len(tagged) == 1, f"{path.name} needs one cell tagged claim-{id}, has {len(tagged)}"
    found = [o["metadata"].get(KEY) for o in tagged[0]["outputs"] if "metadata" in o]
    return [settled for settled in found if settled and settled["id"] == id]


def test_every_claim_of_the_article_is_settled():
    assert set(LEDGER) == ANSWERED
    assert set(LEDGER) == set(claims.CLAIMS), "a rule without a cell, or a cell without a rule"


@pytest.mark.parametrize("id", sorted(LEDGER))
def test_the_stored_numbers_are_those_of_the_cell(id):
    (settled,) = outputs(id)
    assert settled["numbers"] == LEDGER[id].numbers


def words_of(claim) -> set[str]:
    """Return the verdicts that the source of a rule can say."""
    source = inspect.getsource(claim.rule).partition("def ")[2]
    names = {"HOLDS": claims.HOLDS, "WITH_CONDITIONS": claims.WITH_CONDITIONS}
    names["FAILS"] = claims.FAILS
    return {word for name, word in names.items() if re.search(rf"\b{name}\b", source)}


@pytest.mark.parametrize("id", sorted(claims.CLAIMS))
def test_a_rule_can_come_out_each_way_and_a_derived_claim_has_none(id):
    claim = claims.CLAIMS[id]
    if claim.kind == "derived":
        assert claim.word in (claims.HOLDS, claims.WITH_CONDITIONS, claims.FAILS)
        assert not claim.examples and not claim.deciding and not words_of(claim)
        return
    assert claim.word is None and claim.deciding
    assert {claims.HOLDS, claims.FAILS} <= set(claim.examples) == words_of(claim)
    for word, numbers in claim.examples.items():
        assert claim.verdict(**numbers).word == word


@pytest.mark.parametrize("id", sorted(claims.CLAIMS))
def test_what_decides_can_change_the_verdict_and_what_accompanies_cannot(id):
    claim = claims.CLAIMS[id]
    sets = [*claim.examples.values(), LEDGER[id].numbers]
    for name in inspect.signature(claim.rule).parameters:
        others = {value for numbers in sets for value in (numbers[name],)}
        others |= {0, 1, -1, 0.5, 1000, -1000}
        changes = any(
            claim.verdict(**numbers).word != claim.verdict(**{**numbers, name: other}).word
            for numbers in sets
            for other in others
        )
        assert changes == (name in claim.deciding), name


@pytest.mark.parametrize("id", sorted(LEDGER))
def test_the_entry_names_a_test_that_exists(id):
    file, _, name = LEDGER[id].claim.test.partition("::")
    text = (ROOT / file).read_text("utf-8")
    assert re.search(rf"^def {name}\(", text, re.M), LEDGER[id].claim.test
    assert LEDGER[id].claim.kind in ("measured", "derived", "cited")


@pytest.mark.parametrize("path", sorted((ROOT / "book").glob("0*.ipynb")), ids=lambda p: p.stem)
def test_each_chapter_ends_with_the_claims_that_it_settles(path):
    here = sorted(id for id in LEDGER if LEDGER[id].claim.notebook == path.stem)
    source = "\n".join("".join(c["source"]) for c in json.loads(path.read_text("utf-8"))["cells"])
    shown = re.findall(r"claims\.table\(([^)]*)\)", source)
    assert len(shown) == bool(here)  # a page that settles none has no table
    assert sorted(re.findall(r'"(\w+)"', "".join(shown))) == here


def test_the_overview_shows_every_claim_once_with_a_link_to_its_cell(monkeypatch):
    shown = []
    monkeypatch.setattr("IPython.display.display", lambda bundle, raw=True: shown.append(bundle))
    claims.show_ledger()
    text = shown.pop()["text/markdown"]
    assert re.findall(r"^\*\*(\w\d)\*\* \*\*[✓◐✗] ", text, re.M) == [
        e.claim.id for e in claims.in_article_order()
    ]
    for id, entry in LEDGER.items():
        assert text.count(f'href="{entry.claim.notebook}.html#claim-{id}"') == 1
        assert wording.typeset(entry.verdict.reason)[1:] in text
    assert sum(claims.counts().values()) == len(LEDGER)
    assert claims.counts()[claims.HOLDS] == text.count("**✓ holds**")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("by 10^-9.1 without", "by $10^{-9.1}$ without"),
        ("one of its 2^L paths; in", "one of its $2^{L}$ paths; in"),
        ("10^1.5 with and 10^0.0.", "$10^{1.5}$ with and $10^{0.0}$."),
        ("the LSTM of 1997, $x^2$", "the LSTM of 1997, $x^2$"),
    ],
)
def test_powers_are_typeset(text, expected):
    assert wording.typeset(text) == expected


def test_no_verdict_has_a_power_as_plain_text_and_each_has_its_sign():
    for id, entry in LEDGER.items():
        text = core.shown(entry)["text/markdown"]
        assert not re.search(r"\w\^", re.sub(r"\$[^$]*\$", "", text)), id
        assert f"**{wording.SIGNS[entry.verdict.word]} {entry.verdict.word.capitalize()}**:" in text


@pytest.mark.parametrize("path", sorted((ROOT / "book").glob("*.ipynb")), ids=lambda p: p.stem)
def test_stored_verdicts_are_as_they_are_written_now(path):
    outputs = [
        output
        for cell in json.loads(path.read_text("utf-8"))["cells"]
        for output in cell.get("outputs", ())
        if KEY in output.get("metadata", {})
    ]
    for output in outputs:
        recorded = output["metadata"][KEY]
        entry = core.Entry(claims.CLAIMS[recorded["id"]], recorded["numbers"])
        stored = {kind: "".join(text) for kind, text in output["data"].items()}
        assert stored == core.shown(entry)


def test_the_page_of_the_ledger_is_not_stale():
    cells = json.loads((ROOT / "book" / "ledger.ipynb").read_text("utf-8"))["cells"]
    shown = "".join(
        "".join(output["data"].get("text/plain", ""))
        for cell in cells
        for output in cell.get("outputs", [])
        if "data" in output
    )
    for id, entry in LEDGER.items():
        assert f"{id}: {entry.verdict.word}" in shown, id


def test_settling_shows_the_verdict_and_keeps_the_numbers(monkeypatch):
    shown = []
    monkeypatch.setattr(
        "IPython.display.display",
        lambda bundle, metadata=None, raw=True: shown.append((bundle, metadata)),
    )
    monkeypatch.setattr("companion.book.claims.core._RECORDED", {})
    with pytest.raises(ValueError, match="C3"):
        claims.table("C3")
    at_2 = {"log10_plain_at_2": 0.0, "log10_residual_at_2": 0.5}
    claims.record("C3", log10_plain=-9.1234, log10_residual=1.5432, **at_2)
    bundle, metadata = shown.pop()
    numbers = {"log10_plain": -9.1, "log10_residual": 1.5, **at_2}
    assert metadata[KEY] == {"id": "C3", "numbers": numbers}
    assert "**✓ Holds**" in bundle["text/markdown"] and "$10^{-9.1}$" in bundle["text/markdown"]
    assert "10^-9.1" in bundle["text/plain"]
    claims.record("C3", digits=1, log10_plain=-9.1234, log10_residual=-8.0, **at_2)
    assert "does not hold" in shown.pop()[0]["text/plain"]
    claims.table("C3")
    assert '<a href="#claim-C3">C3</a>' in shown.pop()[0]["text/markdown"]


@pytest.mark.parametrize(
    ("id", "numbers", "named"),
    [
        ("Z9", {}, "id must be one of"),
        ("C3", {"log10_plain": -9.0}, "log10_residual"),
        ("C3", {"log10_plain": -9.0, "log10_residual": 1.0, "more": 1.0}, "more"),
        (
            "C3",
            {"log10_plain": float("nan"), "log10_residual": 1.0},
            "log10_plain must be finite",
        ),
        ("C3", {"log10_plain": -9.0, "log10_residual": 1.0, "digits": 0}, "digits"),
    ],
)
def test_settling_refuses(id, numbers, named):
    with pytest.raises(ValueError, match=named):
        claims.record(id, **numbers)


def test_refreshing_a_notebook_replaces_its_numbers_and_no_others(tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location("refresh", ROOT / "tools" / "refresh.py")
    assert spec is not None and spec.loader is not None
    refresh = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(sys.modules, "refresh", refresh)
    spec.loader.exec_module(refresh)
    stored = tmp_path / "measured.json"
    stored.write_text(json.dumps({"C1": {"a": 1}, "A1": {"b": 2}, "C2": {"old": 0}}))
    monkeypatch.setattr(refresh, "MEASURED", stored)
    refresh.keep_numbers("02_idea", {"C2": {"new": 3}})
    assert json.loads(stored.read_text()) == {"A1": {"b": 2}, "C2": {"new": 3}}


def test_the_dates_of_b3_are_the_bibliographys():
    text = (ROOT / "book" / "references.bib").read_text("utf-8")
    numbers = LEDGER["B3"].numbers
    for key, name in (
        ("srivastava2015highway", "highway_networks"),
        ("kim2016accurate", "vdsr"),
        ("he2016deep", "residual_networks"),
    ):
        entry = text[text.index(f"{{{key},") :]
        assert re.search(r"arXiv (\d{4})\.", entry)[1] == str(numbers[name])
    for key, year in (("hochreiter1997long", numbers["lstm"]), ("gers2000learning", 2000)):
        entry = text[text.index(f"{{{key},") :]
        assert re.search(r"year\s+= \{(\d{4})\}", entry)[1] == str(year)
    assert numbers["lstm"] < 2015 and numbers["highway_networks"] < numbers["vdsr"] < 1512
    assert numbers["most_shared"] == 3  # of four: no earlier shortcut has all of them


def test_a_single_linear_layer_with_a_shortcut_is_a_plain_layer():
    torch.manual_seed(0)
    for layer, x in (
        (ct.Dense(5, 5), torch.randn(3, 5)),
        (ct.Conv2d(4, 4), torch.randn(2, 4, 6, 7)),
    ):
        plain = type(layer)(layer.weight.shape[1], layer.weight.shape[0])
        plain.load_state_dict(layer.state_dict())
        with torch.no_grad():
            if x.ndim == 2:
                plain.weight += torch.eye(5)
            else:
                plain.weight[range(4), range(4), 1, 1] += 1
        residual = ct.Residual(layer, activation=nn.ReLU())
        assert torch.allclose(residual(x), torch.relu(plain(x)), atol=1e-5)
        assert not torch.allclose(residual(x), torch.relu(layer(x)), atol=1e-2)


def test_the_corrected_network_classifies():
    import keras

    import companion.tensorflow as ctf

    assert ct.residual_network((1, 28, 28), 10)(torch.zeros(2, 1, 28, 28)).shape == (2, 10)
    corrected = ctf.residual_network((28, 28, 1), 10)
    assert tuple(corrected(keras.ops.zeros((2, 28, 28, 1))).shape) == (2, 10)


def test_a_block_activates_twice():
    import companion.tensorflow as ctf

    called = [type(m).__name__ for m in ct.residual_block(8, 8).modules()]
    assert called.count("Conv2d") == called.count("BatchNorm2d") == 2
    block = ct.residual_block(8, 8)
    for p in block.branch.parameters():
        nn.init.constant_(p, 0.0)  # the branch is silent, so only the last activation is left
    x = torch.tensor([-1.0, 2.0]).reshape(1, 1, 1, 2).expand(1, 8, 1, 2)
    assert torch.equal(block(x), x.clamp(min=0))
    with torch.no_grad():  # and one inside: a linear branch would be odd
        inner = ct.BasicBlock(8, 8, residual=False).branch.eval()
        assert not torch.allclose(inner(-x), -inner(x), atol=1e-4)
    names = [type(layer).__name__ for layer in ctf.BasicBlock(8, 8).branch.layers]
    assert sum("Conv" in n for n in names) == sum("BatchNorm" in n for n in names) == 2


def test_gradients_explode_where_the_verdict_says():
    def growth(gain=2.0, **options):
        model = ct.residual_mlp(64, 10, 30, 64, seed=0, **options)
        with torch.no_grad():
            for block in model.blocks:
                for layer in (block.branch.dense1, block.branch.dense2):
                    layer.weight *= (gain / 2) ** 0.5
        torch.manual_seed(0)
        streams = [model.stem(torch.randn(128, 64))]
        for block in model.blocks:
            streams.append(block(streams[-1]))
        first, last = torch.autograd.grad(
            torch.logsumexp(streams[-1], 1).sum(), [streams[0], streams[-1]]
        )
        return float(first.norm() / last.norm())

    for gain in (
        1,
        2,
        3,
    ):  # without a norm, shortcuts make the gradient longer at every scale
        assert growth(gain) > 100 * growth(gain, residual=False)
    assert growth(3, residual=False) > 1000  # also where the plain one explodes
    assert growth(norm="batch", residual=False) > 100 * growth(norm="batch")  # with one, they help


U1_GAINS = (0.004, 0.5, 0.0, 0.3, 0.1, 0.0, 0.04, 0.01)  # these accompany the verdict
Q5_OTHERS = (0.97, 0.97, 0.8, 0.5)
U6_GAINS = (1.8, 0.0, 1.7, -0.9, 2.2, 0.1, 6.0, 0.9, 2.2, 0.6)

CASES = [
    ("B1", (-9, 0, 0.04, 0.02, 0.9, 0.3, 500, 0), "holds with conditions"),
    ("B1", (-9, 0, 0.04, 0.042, 0.9, 0.3, 500, 0), "does not hold"),
    ("B1", (-0.9, 0, 0.04, 0.02, 0.9, 0.3, 500, 0), "does not hold"),
    ("B1", (-9, -1.1, 0.04, 0.02, 11, 0.3, 500, 0), "holds"),
    ("B1", (-9, -0.9, 0.04, 0.02, 11, 0.3, 500, 0), "holds with conditions"),
    ("B1", (-9, -1.1, 0.04, 0.02, 9, 0.3, 500, 0), "holds with conditions"),
    ("B3", (5, 3, 1997, 1505, 1511, 1512), "holds with conditions"),
    ("B3", (5, 4, 1997, 1505, 1511, 1512), "does not hold"),
    ("B3", (0, 0, 1997, 1505, 1511, 1512), "holds"),
    ("C3", (-9, -0.9, 0, 0.9), "holds"),
    ("C3", (-9, -0.9, 0, 1.1), "holds with conditions"),
    ("C3", (-9, -0.9, -1.2, 1.1), "holds"),
    ("C3", (-9, -1.1, 0, 0.9), "does not hold"),
    ("C3", (-0.9, 1, 0, 0.9), "does not hold"),
    ("A3", (0.19, 0.002, 0.188), "does not hold"),
    ("A3", (0.21, 0.002, 0.208), "holds with conditions"),
    ("A3", (0.51, 0.002, 0.508), "holds"),
    ("A5", (0, 2, 0, 0, 0, 0), "does not hold"),
    ("A5", (1, 2, 0, 0, 0, 0), "holds with conditions"),
    ("A5", (2, 2, 0, 0, 0, 0), "holds"),
    ("C4", (7, 6.6, 6, 1, 0, 6, 0), "holds with conditions"),
    ("C4", (7, 6.4, 6, 1, 0, 6, 0), "holds"),
    ("C4", (7, 6.4, 1, 0.6, 0, 6, 0), "holds with conditions"),
    ("C4", (7, 6.6, 1, 0.6, 0, 6, 0), "does not hold"),
    ("C5", (1, 0.8, 9, 0, 0.71, 0.2, 0.02, 0.9, 0.4), "holds"),
    ("C5", (1, 1.2, 9, 0, 0.71, 0.2, 0.02, 0.9, 0.4), "holds with conditions"),
    ("C5", (0.29, 0.2, 9, 0, 0.71, 0.2, 0.02, 0.9, 0.4), "holds with conditions"),
    ("C5", (1, 0.8, 9, 0, 0.69, 0.2, 0.02, 0.9, 0.4), "holds with conditions"),
    ("C5", (1, 0.8, 0.9, 0, 0.71, 0.2, 0.02, 0.9, 0.4), "does not hold"),
    ("C5", (1, 0.8, 3, 3.2, 0.71, 0.2, 0.02, 0.9, 0.4), "does not hold"),
    ("C6", (0.009, 0, 0.4, 0.06, 0.9, 0.5), "holds with conditions"),
    ("C6", (0.04, 0.06, 0.4, 0.06, 0.9, 0.5), "holds with conditions"),
    ("C6", (0.02, 0.018, 0.4, 0.06, 0.9, 0.5), "holds"),
    ("C6", (0, 0.02, 0.05, 0.06, 0.9, 0.5), "does not hold"),
    ("O6", (4, 0.021, 0.02, 0.2, 0.2, 0.2, 0.3, 3.0, 0.9, 0.85, 0.97, 0.4), "holds"),
    (
        "O6",
        (4, 0.019, 0.02, 0.2, 0.2, 0.2, 0.3, 3.0, 0.9, 0.85, 0.97, 0.4),
        "holds with conditions",
    ),
    (
        "O6",
        (3, 0.021, 0.02, 0.2, 0.2, 0.2, 0.3, 3.0, 0.9, 0.85, 0.97, 0.4),
        "holds with conditions",
    ),
    (
        "O6",
        (0, 0.021, 0.02, 0.2, 0.2, 0.2, 0.3, 3.0, 0.9, 0.85, 0.97, 0.4),
        "holds with conditions",
    ),
    (
        "O6",
        (1, 0.0, 0.02, 0.2, 0.2, 0.2, 0.3, 3.0, 0.9, 0.85, 0.97, 0.4),
        "holds with conditions",
    ),
    (
        "O6",
        (0, 0.019, 0.02, 0.2, 0.2, 0.2, 0.3, 3.0, 0.9, 0.85, 0.97, 0.4),
        "does not hold",
    ),
    ("O2", (11, 3.8, 5.4, 1.4, 1.5, 1), "holds with conditions"),
    ("O2", (11, 3.8, 5.6, 1.4, 1.5, 0.96), "does not hold"),
    ("O2", (11, 3.8, 1, 1.04, 1.04, 1), "holds"),
    ("O3", (0.08, 0.02, 0.08, 0.02, 0.021, 0.02, 0, 0, 0), "holds"),
    ("O3", (0.08, 0.02, 0.08, 0.02, 0.019, 0.02, 0, 0, 0), "holds with conditions"),
    ("O3", (0.01, 0.02, 0.02, 0.02, 0.019, 0.02, 0.1, 0, 0), "does not hold"),
    ("O4", (0.1, 0.2, 0.31, 0.0, 0.02, 0, 0.2, 0.2), "holds with conditions"),
    ("O4", (0.1, 0.2, 0.29, 0.0, 0.02, 0, 0.2, 0.2), "holds"),
    ("O4", (0.1, 0.2, 0.29, -0.021, 0.02, 0, 0.2, 0.2), "holds with conditions"),
    ("O4", (0.1, 0.81, 0.5, 0.0, 0.02, 0, 0.2, 0.2), "does not hold"),
    ("O5", (0.3, 0.89, 0.009, 0.019, 0.03, 0.02, 0, 0), "holds"),
    ("O5", (0.3, 0.89, 0.009, 0.021, 0.03, 0.02, 0, 0), "holds with conditions"),
    ("O5", (0.3, 0.89, 0.009, 0.019, 0.019, 0.02, 0, 0), "holds with conditions"),
    ("O5", (0.3, 0.89, 0.011, 0, 0.03, 0.02, 0, 0), "holds with conditions"),
    ("O5", (0.3, 0.91, 0, 0, 0.03, 0.02, 0, 0), "does not hold"),
    ("P1", (4, 0, 0), "holds"),
    ("P1", (4, 2, 1), "holds with conditions"),
    ("P1", (4, 3, 1), "does not hold"),
    ("P3", (1, 0), "does not hold"),
    ("P3", (0, 1), "does not hold"),
    ("P3", (0, 0), "holds"),
    ("P4", (0.04, 0.002, 0.4, 0.4), "does not hold"),
    ("P4", (0.06, 0.062, 0.4, 0.4), "does not hold"),
    ("P4", (0.06, 0.058, 0.0, 0.0), "holds"),
    ("P5", (1, 1, 0), "holds"),
    ("P5", (1, 0, 0), "holds with conditions"),
    ("P5", (0, 0, 0), "does not hold"),
    ("P5", (1, 1, 1), "does not hold"),
    ("Q5", (0.97, 0.98, 0.98, 1, 2, 1, 2, 1, 2, 1, 2, *Q5_OTHERS), "holds"),
    ("Q5", (0.97, 0.98, 0.98, 3, 2, 1, 2, 1, 2, 1, 2, *Q5_OTHERS), "holds with conditions"),
    ("Q5", (0.97, 0.98, 0.98, 1, 2, 3, 2, 1, 2, 1, 2, *Q5_OTHERS), "holds with conditions"),
    ("Q5", (0.97, 0.98, 0.98, 1, 2, 1, 2, 3, 2, 1, 2, *Q5_OTHERS), "holds with conditions"),
    ("Q5", (0.97, 0.98, 0.98, 1, 2, 1, 2, 1, 2, 3, 2, *Q5_OTHERS), "holds with conditions"),
    ("Q5", (0.49, 0.98, 0.98, 1, 2, 1, 2, 1, 2, 1, 2, *Q5_OTHERS), "does not hold"),
    ("Q5", (0.97, 0.98, 0.49, 1, 2, 1, 2, 1, 2, 1, 2, *Q5_OTHERS), "does not hold"),
    ("U2", (0.2, 0.2, 0.1, 20, 0, 2, 0.1, 1, 0.8), "does not hold"),
    ("U2", (0.21, 0.2, 0.1, 20, 0, 2, 0.1, 1, 0.8), "holds with conditions"),
    ("U2", (0.21, 0.2, 0.91, 20, 0, 2, 0.1, 1, 0.8), "holds"),
    ("U2", (0.2, 0.2, 0.91, 20, 0, 2, 0.1, 1, 0.8), "does not hold"),
    ("U3", (4, 4, 0, 0.9, 0.6, 0.2, 0.1, 0.6, 1), "holds"),
    ("U3", (4, 1, 0, 0.9, 0.6, 0.2, 0.1, 0.6, 1), "holds with conditions"),
    ("U3", (4, 0, 0, 0.9, 0.6, 0.2, 0.1, 0.6, 1), "does not hold"),
    ("U4", (4, 4, 0, 0.3, 0.1, 0, 0.1, 0, 0, 0, 0, 0, 0.3, 0.8, 0.7), "holds"),
    (
        "U4",
        (4, 1, 0, 0.3, 0.1, 0, 0.1, 0, 0, 0, 0, 0, 0.3, 0.8, 0.7),
        "holds with conditions",
    ),
    ("U4", (4, 0, 0, 0.3, 0.1, 0, 0.1, 0, 0, 0, 0, 0, 0.3, 0.8, 0.7), "does not hold"),
    (
        "U5",
        (0.03, 0.01, 0.0, 0.04, 3, 0.0, 0.04, 0.03, 0.93, 0.9, 0.05),
        "holds with conditions",
    ),
    ("U5", (0.03, 0.01, 0.03, 0.01, 1, 0.03, 0.01, 0.03, 0.93, 0.9, 0.05), "holds"),
    ("U5", (0.03, 0.01, 0.03, 0.04, 0, 0.03, 0.01, 0.03, 0.93, 0.9, 0.05), "holds"),
    (
        "U5",
        (0.03, 0.01, 0.03, 0.04, 1, 0.03, 0.01, 0.03, 0.93, 0.9, 0.05),
        "holds with conditions",
    ),
    (
        "U5",
        (0.03, 0.01, 0.03, 0.01, 1, 0.03, 0.01, 0.03, 0.91, 0.9, 0.05),
        "holds with conditions",
    ),
    (
        "U5",
        (0.03, 0.01, 0.03, 0.01, 1, 0.03, 0.01, 0.01, 0.93, 0.9, 0.05),
        "holds with conditions",
    ),
    (
        "U5",
        (0.019, 0.01, 0.019, 0.01, 0, 0.03, 0.04, 0.03, 0.93, 0.9, 0.05),
        "does not hold",
    ),
    ("U1", (8, 8, 0.021, 0.02, *U1_GAINS), "holds"),
    ("U1", (8, 8, 0.019, 0.02, *U1_GAINS), "holds with conditions"),
    ("U1", (8, 1, 0.1, 0.02, *U1_GAINS), "holds with conditions"),
    ("U1", (8, 0, 0.1, 0.02, *U1_GAINS), "does not hold"),
    ("U6", (6, 6, 6, *U6_GAINS), "holds"),
    ("U6", (6, 5, 6, *U6_GAINS), "holds with conditions"),
    ("U6", (6, 0, 1, *U6_GAINS), "holds with conditions"),
    ("U6", (6, 0, 0, *U6_GAINS), "does not hold"),
    ("O1", (0, 3), "does not hold"),
    ("O1", (1, 3), "holds"),
    ("R1", (3146, 3156, 26, 7), "does not hold"),
    ("R1", (3146, 3157, 26, 7), "holds"),
    ("R2", (5, 5, 2018, 7132, 7141), "does not hold"),
    ("R2", (5, 4, 2019, 7132, 7141), "does not hold"),
    ("R2", (5, 5, 2019, 7132, 7141), "holds"),
    ("Q1", (0, 7, 7), "does not hold"),
    ("Q1", (1, 7, 6), "holds with conditions"),
    ("Q1", (1, 7, 3), "holds"),
    ("Q2", (0.0, 0, 0.4), "holds with conditions"),
    ("Q2", (0.021, 0.02, 0.4), "holds"),
    ("Q2", (0.021, 0.022, 0.4), "holds with conditions"),
    ("Q2", (0.1, 0.02, 0.019), "does not hold"),
    ("Q3", (0.009, 0.002, 7, 0.2), "holds"),
    ("Q3", (0.0, 0.0202, 7, 0.2), "holds with conditions"),
    ("Q3", (0.011, 0.002, 7, 0.2), "does not hold"),
    ("Q3", (0.0, 0.0198, 7, 0.2), "holds"),
    ("Q6", (4, 4, 0.03), "holds"),
    ("Q6", (4, 3, 0.0), "holds with conditions"),
    ("Q6", (4, 2, 0.0), "does not hold"),
    ("Q7", (0.0, 0.0, -0.021, 0.02, 0.02, 0.02), "holds with conditions"),
    ("Q7", (0.0, 0.0, -0.019, 0.02, 0.02, 0.02), "does not hold"),
    ("Q7", (-0.021, -0.021, -0.021, 0.02, 0.02, 0.02), "holds"),
    ("Q8", (2, 13, -6, 0, -1), "holds with conditions"),
    ("Q8", (13, 13, -6, 0, -1), "holds"),
    ("Q8", (2, 13, -6, -5.5, -1), "does not hold"),
]


@pytest.mark.parametrize(("id", "numbers", "word"), CASES)
def test_each_rule_turns_where_it_says(id, numbers, word):
    names = inspect.signature(claims.CLAIMS[id].rule).parameters
    assert claims.CLAIMS[id].verdict(**dict(zip(names, numbers, strict=True))).word == word
