"""What chapter 9 answers: the evidence of its claims, and that its answers are all there."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

import companion.torch as ct
from companion import architectures
from companion.book import claims, results
from companion.measures import rank_one_residual
from companion.torch.resnet import BLOCKS
from tests.book.test_page_numbers import mean, runs

BOOK = Path(__file__).resolve().parents[2] / "book"
PAGES = ("09_faq", "09_shapes", "09_training")
GENERATIVE = {
    "ho2020denoising": "yes",
    "peebles2023scalable": "yes",
    "brown2020language": "yes",
    "karras2020analyzing": "no",
    "devlin2019bert": "yes",
    "he2022masked": "yes",
    "chen2020simple": "yes",
}


def prose(page: str) -> str:
    cells = json.loads((BOOK / f"{page}.ipynb").read_text("utf-8"))["cells"]
    return "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")


def gaps(depth: int, residual: bool, size: int) -> np.ndarray:
    chosen = runs("overfitting", of="gap", part="test", size=size, depth=depth, residual=residual)
    chosen = sorted(chosen, key=lambda run: run["seed"])
    return np.array([run["train_accuracy"] - run["test_accuracy"] for run in chosen])


def test_every_question_of_the_articles_lists_is_answered():
    rows = [
        line
        for line in prose("ledger").splitlines()
        if line.endswith("[FAQ](09_faq.ipynb) |") or "[FAQ](09_faq.ipynb), " in line
    ]
    columns = zip(*(row.split("|")[2:5] for row in rows), strict=True)
    given = [{int(n) for n in re.findall(r"\d+", " ".join(column))} for column in columns]
    assert given == [set(range(1, 6)), set(range(1, 9)), set(range(1, 10))]
    headings = re.findall(r"^### (.+)$", prose("09_faq"), re.M)
    for row in rows:  # each question has its heading, in nearly its words
        words = set(re.findall(r"[a-z]{4,}", row.split("|")[1].lower()))
        assert any(words & set(re.findall(r"[a-z]{4,}", h.lower())) for h in headings), row
    assert not re.search(r"(?:First|Second|Third|second|third) list", prose("09_faq"))


def test_there_are_many_further_questions_and_each_has_a_heading_of_its_own():
    headings = [re.findall(r"^### (.+)$", prose(page), re.M) for page in PAGES]
    assert len(headings[1]) + len(headings[2]) >= 25
    every = sum(headings, [])
    assert len(set(every)) == len(every)


def test_every_network_of_q1_is_cited_beside_what_it_is_built_of():
    cells = json.loads((BOOK / "09_faq.ipynb").read_text("utf-8"))["cells"]
    (source,) = ["".join(c["source"]) for c in cells if "NETWORKS = " in "".join(c["source"])]
    rows = [row.split("; ") for row in re.search(r'"""\n(.*?)"""', source, re.S)[1].splitlines()]
    listed = {(row[-1], row[-2]) for row in rows}
    assert listed == {
        *GENERATIVE.items(),
        ("karras2020analyzing", "yes"),
        ("karras2021alias", "no"),
    }
    numbers = claims.ledger()["Q1"].numbers
    assert numbers["networks_listed"] == len(rows)
    assert numbers["residual"] == sum(row[-2] == "yes" for row in rows)
    for key in GENERATIVE:
        assert f"{{{key}," in (BOOK / "references.bib").read_text("utf-8")


def test_a_plain_twin_of_twice_the_width_computes_the_same():
    torch.manual_seed(1)
    one, two = nn.Linear(6, 6, bias=False), nn.Linear(6, 6, bias=False)
    x, eye = torch.rand(9, 6), torch.eye(6)
    with torch.no_grad():
        inside = torch.relu(x @ torch.cat([one.weight, eye]).T)
        twin = torch.relu(inside @ torch.cat([two.weight, eye], 1).T)
        assert torch.allclose(twin, torch.relu(x + two(torch.relu(one(x)))), atol=1e-6)
        assert not torch.allclose(twin, torch.relu(two(torch.relu(one(x)))), atol=1e-2)


@pytest.mark.parametrize("depth", [8, 20])
def test_where_both_fit_shortcuts_do_not_widen_the_gap(depth):
    for size in (100, 300, 1000):
        of = {"of": "gap", "part": "test", "depth": depth, "size": size}
        for residual in (True, False):
            assert mean("train_accuracy", "overfitting", **of, residual=residual) > 0.97
        change = results.difference(gaps(depth, True, size), gaps(depth, False, size))
        assert change.mean - change.margin < 0.02
    assert gaps(depth, True, 100).mean() > 3 * gaps(depth, True, 1000).mean()


def test_the_overfitting_runs_differ_in_nothing_but_the_shortcuts():
    for depth in (8, 20, 32):
        chosen = runs("overfitting", of="gap", part="test", depth=depth)
        assert len({run["parameters"] for run in chosen}) == 1
        assert len({run["seed"] for run in chosen}) >= 3


def test_options_match_in_both_frameworks():
    import companion.tensorflow as ctf

    counts = {}
    for option in "ABC":
        theirs = ct.BasicBlock(4, 8, 2, shortcut=option)(torch.zeros(2, 4, 7, 7))
        ours = ctf.BasicBlock(4, 8, 2, shortcut=option)(np.zeros((2, 7, 7, 4), np.float32))
        assert tuple(theirs.permute(0, 2, 3, 1).shape) == tuple(ours.shape) == (2, 4, 4, 8)
        one, other = (
            module.cifar_resnet(20, 8, shortcut=option, in_channels=1, seed=0)
            for module in (ct, ctf)
        )
        counts[option] = sum(p.numel() for p in one.parameters())
        assert counts[option] == sum(int(np.prod(w.shape)) for w in other.trainable_weights)
    plain = ct.cifar_resnet(20, 8, residual=False, in_channels=1)
    assert counts["A"] == sum(p.numel() for p in plain.parameters()) < counts["B"] < counts["C"]


@pytest.mark.parametrize(
    ("build", "x"),
    [
        (lambda r: ct.residual_mlp(9, 10, 3, 16, residual=r, seed=0), torch.ones(2, 9)),
        (lambda r: ct.cifar_resnet(8, 4, residual=r, seed=0), torch.ones(2, 3, 8, 8)),
        (lambda r: ct.residual_lstm(12, 3, 16, residual=r, seed=0), torch.zeros(2, 5).long()),
        (lambda r: ct.transformer(12, 2, 16, residual=r, seed=0), torch.zeros(2, 5).long()),
    ],
    ids=["dense", "convolutional", "recurrent", "transformer"],
)
def test_every_kind_of_network_has_its_residual_form_and_control(build, x):
    residual, plain = build(True), build(False)
    assert residual(x).shape == plain(x).shape
    assert not torch.allclose(residual(x), plain(x), atol=1e-3)
    assert sum(p.numel() for p in residual.parameters()) == sum(
        p.numel() for p in plain.parameters()
    )


def test_attention_alone_makes_all_tokens_one():
    def left(residual: bool) -> float:
        model = ct.transformer(20, 6, 32, norm="none", residual=residual, causal=False, seed=3)
        stream = model.positions(model.embedding(torch.arange(15)[None]))
        for block in model.blocks:
            stream = block.attention(stream)
        return rank_one_residual(stream[0].detach().numpy())

    assert left(False) < 1e-4 < 1e-2 < left(True)


def test_the_papers_blocks_hold_two_or_three_convolutions():
    kinds = {kind for kind, _ in architectures.IMAGENET.values()}
    counts = {
        kind: sum(isinstance(m, nn.Conv2d) for m in BLOCKS[kind](64, 64).branch) for kind in kinds
    }
    assert counts == {"basic": 2, "bottleneck": 3}
    of = {"of": "block", "part": "test"}
    accuracy = [mean("test_accuracy", "overfitting", **of, layers=n) for n in range(4)]
    assert min(accuracy[1:]) > accuracy[0]
    assert len({run["parameters"] for run in runs("overfitting", of="block", part="test")}) == 1
