"""Chapter 7: the look-ups of its claims, and the details in which libraries differ."""

from __future__ import annotations

import inspect
import json
import re
from pathlib import Path

import keras
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from pybtex.database import parse_file

import companion
import companion.torch as ct
from companion import weights
from companion.architectures import Architecture, Stage
from companion.book import claims

BOOK = Path(__file__).resolve().parents[2] / "book"
LIBRARY = parse_file(str(BOOK / "references.bib")).entries
LEDGER = claims.ledger()


def test_the_corrected_references_are_the_bibliographys():
    denoiser, squeeze = LIBRARY["zhang2017beyond"], LIBRARY["hu2018squeeze"]
    found = LEDGER["R1"].numbers
    assert denoiser.fields["pages"] == f"{found['first_page']}--{found['last_page']}"
    assert denoiser.fields["volume"] == str(found["volume"])
    assert denoiser.fields["number"] == str(found["number"])
    found = LEDGER["R2"].numbers
    names = [person.last_names[-1] for person in squeeze.persons["author"]]
    assert names == ["Hu", "Shen", "Sun"] and len(names) == found["authors"]
    assert squeeze.fields["year"] == str(found["year"])
    assert squeeze.fields["pages"] == f"{found['first_page']}--{found['last_page']}"
    assert found["authors_that_the_article_names"] == 0


def test_what_the_book_has_is_in_its_entry():
    note = LIBRARY["goodfellow2016deep"].fields["note"]
    residual, skips = re.search(r"Residual networks: (.+?)\. Skip connections: (.+)", note).groups()
    found = LEDGER["O1"].numbers
    assert residual == "no section" and found["sections_on_residual_networks"] == 0
    sections = skips.split(", ")
    assert len(sections) == found["sections_on_skip_connections"]
    text = (BOOK / "07_tools.ipynb").read_text("utf-8")
    assert all(section in text for section in sections)


@pytest.mark.parametrize("key", sorted(LIBRARY))
def test_every_entry_is_complete(key):
    entry = LIBRARY[key]
    note = entry.fields.get("note", "")
    assert entry.persons["author"] and entry.fields["title"]
    address = re.search(r"arXiv \d{4}\.\d{4,5}|DOI 10\.|https://", note)
    numbered = {"pages", "institution", "school"} & set(entry.fields)
    assert address or numbered, "no pages, arXiv id, DOI or address"
    assert "year" in entry.fields or "https://" in note
    place = {"inproceedings": "booktitle", "article": "journal", "book": "publisher"}
    if entry.type in place:
        assert place[entry.type] in entry.fields
    arxiv = re.search(r"arXiv (\d{2})\d{2}\.", note)
    if arxiv and "year" in entry.fields:  # printed in the year of the preprint, or later
        assert int(entry.fields["year"][:4]) >= 2000 + int(arxiv[1])


def test_no_two_entries_have_one_label():
    """Author and year are what a page shows; a letter tells two papers of one year apart."""
    labels = {}
    for key, entry in LIBRARY.items():
        names = [" ".join(person.last_names) for person in entry.persons["author"]]
        author = f"{names[0]} et al." if len(names) > 2 else " and ".join(names)
        label = author, entry.fields.get("year")
        assert labels.setdefault(label, key) == key, f"{label} is {labels[label]} and {key}"


def small(block):
    table = Architecture("small", block, 8, 3, 1, False, (Stage(16, 1, 1), Stage(32, 1, 2)))
    model = ct.ResNet(table, in_channels=1, num_classes=10, seed=0).eval()
    generator = torch.Generator().manual_seed(0)
    for name, buffer in model.named_buffers():
        if name.endswith("running_var"):
            buffer.copy_(0.5 + torch.rand(buffer.shape, generator=generator))
    return model


def test_a_stride_in_another_place_loads_without_an_error_and_computes_something_else():
    source, other = small("bottleneck"), small("bottleneck_v1")
    weights.transfer(source, other)
    other.load_state_dict(source.state_dict())  # PyTorch finds nothing either
    x = torch.randn(4, 1, 14, 14, generator=torch.Generator().manual_seed(1))
    with torch.no_grad():
        apart = (source(x) - other(x)).abs().max() / source(x).abs().max()
    assert apart > 0.05


def test_same_padding_differs_at_even_sizes_alone():
    kernel = torch.randn(3, 3, 2, 4, generator=torch.Generator().manual_seed(0))
    for side, alike in ((14, False), (15, True)):
        x = torch.randn(1, side, side, 2, generator=torch.Generator().manual_seed(1))
        layer = keras.layers.Conv2D(4, 3, strides=2, padding="same", use_bias=False)
        layer.build(x.shape)
        layer.kernel.assign(kernel.numpy())
        ours = F.conv2d(x.permute(0, 3, 1, 2), kernel.permute(3, 2, 0, 1), stride=2, padding=1)
        theirs = np.asarray(layer(x.numpy())).transpose(0, 3, 1, 2)
        assert theirs.shape == tuple(ours.shape)
        assert np.allclose(theirs, ours.numpy(), atol=1e-4) == alike


def test_the_pages_dialect_of_keras_is_the_installed_ones():
    from keras.src.applications import convnext, imagenet_utils, resnet, resnet_v2

    v1 = inspect.getsource(resnet.residual_block_v1)
    v2 = inspect.getsource(resnet.residual_block_v2)
    strides = r"layers\.Conv2D\(\s*filters,\s*{},\s*strides=stride"
    assert re.search(strides.format("1"), v1) and not re.search(strides.format("1"), v2)
    assert re.search(strides.format("kernel_size"), v2)
    assert "epsilon=1.001e-5" in v1 and "use_bias" not in v1 and v2.count("use_bias=False") == 2
    last = inspect.getsource(resnet.stack_residual_blocks_v2)
    assert last.index("stride=stride1") > last.index("for i in range")  # V2: a stage's last block
    assert "conv_shortcut" in v1 and "_0_conv" in v1 and "_3_bn" in v1
    assert hasattr(convnext, "StochasticDepth")
    assert 'mode="caffe"' in inspect.getsource(resnet.preprocess_input)
    assert 'mode="tf"' in inspect.getsource(resnet_v2.preprocess_input)
    pixels = np.full((1, 1, 1, 3), 255.0)
    assert np.allclose(imagenet_utils.preprocess_input(pixels.copy(), mode="tf"), 1)
    blue_first = imagenet_utils.preprocess_input(np.array([[[[1.0, 2, 3]]]]), mode="caffe")
    assert np.allclose(blue_first + [103.939, 116.779, 123.68], [3, 2, 1])


def test_the_pages_dialect_of_the_companion_is_its_own():
    cells = json.loads((BOOK / "07_tools.ipynb").read_text("utf-8"))["cells"]
    text = "\n".join("".join(c["source"]) for c in cells if c["cell_type"] == "markdown")
    assert "zero_gamma" in weights.SCHEMES and "zero_gamma" in text
    for name in ("BottleneckBlock", "StochasticDepth"):
        assert hasattr(ct, name) and f"`{name}`" in text
    block = ct.BottleneckBlock(4, 8, stride=2)
    assert {"branch", "shortcut"} <= dict(block.named_children()).keys()
    assert block.branch.conv2.stride == (2, 2) and block.branch.conv1.stride == (1, 1)
    assert ct.resnet50(version="v1", seed=0).stages[1][0].branch.conv1.stride == (2, 2)


def test_how_to_cite_agrees_with_the_citation_file():
    root = BOOK.parent
    cff = (root / "CITATION.cff").read_text("utf-8")
    page = (BOOK / "cite.md").read_text("utf-8")
    changes = (root / "CHANGELOG.md").read_text("utf-8")
    for name, quoted in (("version", "version"), ("date-released", "date"), ("license", "license")):
        value = re.search(rf"^{name}: (.+)$", cff, re.M)[1]
        assert re.search(rf"^  {quoted} += {{{re.escape(value)}}},?$", page, re.M), name
        if name == "version":
            newest = re.search(r"^## (\S+) \((\S+)\)$", changes, re.M)
            released = re.search(r"^date-released: (.+)$", cff, re.M)[1]
            assert newest.groups() == (value, released)
            assert companion.__version__ == value  # pyproject.toml reads it there
    title = re.search(r'^title: "(.+)"$', cff, re.M)[1]
    assert f"title   = {{{title}}}" in page
    author = re.search(r"- name: (.+)$", cff, re.M)[1]
    assert f"author  = {{{{{author}}}}}" in page
