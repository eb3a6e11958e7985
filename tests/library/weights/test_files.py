"""Weights in a file: exact in every framework, atomic, and never another network's."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from safetensors import safe_open

import companion.tensorflow as ctf
import companion.torch as ct
from companion import reference, weights

NETWORKS = {
    "convolutions": lambda m, **o: m.cifar_preact_resnet(8, 2, in_channels=1, shortcut="C", **o),
    "transformer": lambda m, **o: m.transformer(9, 1, 8, merge="highway", **o),
}


def moved(model):
    """Give batch statistics other values than their first."""
    for layer in weights.layer_weights.layer_weights(model):
        for i, (key, array) in enumerate(layer.arrays.items()):
            layer.assign(key, array + np.float32(0.01 * (i + 1)))
    return model


@pytest.mark.parametrize("name", ["convolutions", "transformer"])
@pytest.mark.parametrize(("one", "other"), [(ct, ctf), (ctf, ct), (ct, ct), (ctf, ctf)])
def test_what_one_framework_wrote_the_other_reads_exactly(name, one, other, tmp_path):
    source = moved(NETWORKS[name](one, seed=0))
    target = NETWORKS[name](other, seed=1)
    weights.save(source, tmp_path / "a.safetensors", {"network": name})
    assert weights.load(target, tmp_path / "a.safetensors") == []
    about = weights.about(tmp_path / "a.safetensors")
    assert about["network"] == name and set(about) == {"network", "version"}
    here, there = weights.named_arrays(source), weights.named_arrays(target)
    assert here.keys() == there.keys()
    for key in here:
        np.testing.assert_array_equal(here[key], there[key])


def test_others_read_it_by_the_formats_own_package(tmp_path):
    model = ct.BasicBlock(2, 2)
    weights.save(model, tmp_path / "a.safetensors")
    with safe_open(tmp_path / "a.safetensors", "pt") as file:
        assert torch.equal(file.get_tensor("branch.conv1.weight"), model.branch.conv1.weight)
    block = reference.BasicBlock(2, 2)
    weights.load(block, tmp_path / "a.safetensors")
    np.testing.assert_array_equal(
        weights.named_arrays(block)["branch.conv1.weight"], model.branch.conv1.weight.detach()
    )


def test_another_network_or_a_damaged_file_leaves_the_model_as_it_was(tmp_path):
    path = tmp_path / "a.safetensors"
    weights.save(ct.BasicBlock(2, 2), path)
    wider, same = ct.BasicBlock(3, 3), ct.BasicBlock(2, 2)
    whole = path.read_bytes()
    for model, content, match in (
        (wider, whole, "another network: branch.conv1.weight: "),
        (same, whole[:-1], "a.safetensors is damaged"),
        (same, whole[:-1] + bytes([whole[-1] ^ 1]), "damaged: its values are not those"),
        (same, b"", "a.safetensors is damaged"),
    ):
        before = {name: t.clone() for name, t in model.state_dict().items()}
        path.write_bytes(content)
        with pytest.raises(ValueError, match=match):
            weights.load(model, path)
        assert all(torch.equal(before[name], t) for name, t in model.state_dict().items())
    with pytest.raises(FileNotFoundError):
        weights.load(same, tmp_path / "none.safetensors")


def test_bfloat16_of_either_framework_is_read_by_both(tmp_path):
    in_keras = moved(ctf.BasicBlock(2, 2, dtype="bfloat16"))
    weights.save(in_keras, tmp_path / "keras")
    wanted = weights.named_arrays(in_keras)
    in_torch = ct.BasicBlock(2, 2).bfloat16()
    weights.load(in_torch, tmp_path / "keras")
    weights.save(in_torch, tmp_path / "torch")
    again = ctf.BasicBlock(2, 2, dtype="bfloat16")
    weights.load(again, tmp_path / "torch")
    for model in (in_torch, again):
        for name, array in weights.named_arrays(model).items():
            np.testing.assert_array_equal(array.astype("f4"), wanted[name].astype("f4"))


@pytest.mark.parametrize("about", [{"sha256": "0"}, {"version": "1"}, {"epochs": 3}, {3: "a"}])
def test_what_could_not_be_read_again_is_not_written(about, tmp_path):
    with pytest.raises(ValueError, match="about must hold texts under names other than 'version'"):
        weights.save(ct.BasicBlock(2, 2), tmp_path / "a", about)
    assert not list(tmp_path.iterdir())


def test_a_model_that_would_round_is_refused(tmp_path):
    weights.save(ct.BasicBlock(2, 2).double(), tmp_path / "64")
    weights.save(ct.BasicBlock(2, 2), tmp_path / "32")
    weights.save(ct.BasicBlock(2, 2).bfloat16(), tmp_path / "16")
    weights.load(ct.BasicBlock(2, 2).bfloat16(), tmp_path / "16")
    weights.load(ct.BasicBlock(2, 2).double(), tmp_path / "32")
    for model, name in ((ct.BasicBlock(2, 2), "64"), (ct.BasicBlock(2, 2).bfloat16(), "32")):
        with pytest.raises(
            ValueError, match=rf"branch\.conv1\.weight: float{name} there, more than"
        ):
            weights.load(model, tmp_path / name)


def test_a_file_that_cannot_be_written_leaves_the_old_one(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    weights.save(ct.BasicBlock(2, 2), path)
    before = path.read_bytes()
    with pytest.raises(ValueError, match="model"):
        weights.save(object(), path)
    assert path.read_bytes() == before and [p.name for p in tmp_path.iterdir()] == [path.name]
