"""What is computed again in the backward pass gives the gradients of what is kept."""

from __future__ import annotations

import copy
import gc

import pytest
import torch
from torch import nn
from torch.func import functional_call, grad, vmap
from torch.utils.checkpoint import checkpoint

import companion.torch as cp
from companion.torch import _recomputation
from companion.torch import checkpointed as checkpointed_module
from companion.torch._recomputation import Recomputation
from companion.torch.checkpointed import CheckpointedNetwork
from companion.torch.costs import saved_bytes

torch.set_num_threads(1)
X = torch.randn(4, 8, 5, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(0))


def reversible():
    torch.manual_seed(0)
    blocks = [cp.ReversibleBlock(8, 8) for _ in range(4)]
    for block in blocks[1::2]:
        block.branch.function.add_module("drop", nn.Dropout(0.5))
    stack = cp.ReversibleSequential(*blocks).double()
    plain = copy.deepcopy(stack)
    plain.recompute = False
    return plain, stack


def checkpointed():
    torch.manual_seed(0)
    blocks = nn.Sequential(*(cp.BasicBlock(8, 8) for _ in range(4)))
    for block in blocks:
        block.branch.add_module("drop", nn.Dropout(0.5))
    plain = nn.Sequential(cp.Conv2d(8, 8), blocks, nn.Tanh()).double()
    return plain, CheckpointedNetwork(*copy.deepcopy(plain), segments=3)


BOTH = pytest.mark.parametrize("pair", [reversible, checkpointed])


def alike(a, b, tolerance=1e-10):
    assert len(a) == len(b)
    for one, other in zip(a, b, strict=True):
        assert (one is None) == (other is None)
        if one is not None:
            assert one.shape == other.shape
            assert (one - other).abs().max() <= tolerance * max(1, one.abs().max())


def saves(plain, model):
    """The model computes again: what it keeps is less."""
    assert saved_bytes(model, X) < 0.7 * saved_bytes(plain, X)


@BOTH
@pytest.mark.parametrize("needs_input", [False, True])
@pytest.mark.parametrize("frozen", ["none", "all", "first half", "last half", "every other"])
def test_gradients_of_some_parameters(pair, frozen, needs_input):
    found = []
    for model in pair():
        parameters = list(model.parameters())
        half = len(parameters) // 2
        chosen = {"none": parameters[:0], "all": parameters, "every other": parameters[::2]}
        chosen |= {"first half": parameters[:half], "last half": parameters[half:]}
        for p in chosen[frozen]:
            p.requires_grad_(False)
        x = X.clone().requires_grad_(needs_input)
        torch.manual_seed(1)
        y = model(x)
        if y.requires_grad:
            y.square().sum().backward()
        found.append([y.detach(), x.grad, *(p.grad for p in parameters), *model.buffers()])
    alike(*found)


@BOTH
@pytest.mark.parametrize("training", [True, False])
def test_gradient_penalty(pair, training):
    found = []
    for model in pair():
        x = X.clone().requires_grad_()
        torch.manual_seed(1)
        y = model.train(training)(x)
        (dx,) = torch.autograd.grad(y.square().sum(), x, create_graph=True)
        dx.square().sum().backward()
        found.append([dx.detach(), x.grad, *(p.grad for p in model.parameters())])
        assert found[-1][1].abs().max() > 1e-3
    alike(*found, tolerance=1e-8)


@BOTH
def test_a_graph_that_is_used_again_and_in_parts(pair):
    found = []
    for model in pair():
        x = X.clone().requires_grad_()
        torch.manual_seed(1)
        y = model(x)
        first, *rest = model.parameters()
        grads = [*torch.autograd.grad(y.sum(), [first], retain_graph=True)]
        grads += torch.autograd.grad(y.square().sum(), rest[-2:], retain_graph=True)
        grads += torch.autograd.grad(y.sum(), [x, *rest], retain_graph=True)
        found.append([*grads, *torch.autograd.grad(y.square().sum(), [x, *rest])])
    alike(*found)


@BOTH
def test_functional_calls_use_the_parameters_that_they_are_given(pair):
    found = []
    for model in pair():
        model.eval()
        given = {n: (1.5 * p.detach()).requires_grad_() for n, p in model.named_parameters()}
        y = functional_call(model, given, (X,))
        found.append(torch.autograd.grad(y.square().sum(), list(given.values())))
        assert all(p.grad is None for p in model.parameters())
    saves(*(model.eval() for model in pair()))
    alike(*found)


@BOTH
def test_transforms_of_functions(pair):
    found = []
    for model in pair():
        model.eval()
        parameters = {n: p.detach() for n, p in model.named_parameters()}

        def loss(parameters, x, model=model):
            return functional_call(model, parameters, (x[None],)).square().sum()

        each = vmap(grad(loss), (None, 0))(parameters, X)
        y = vmap(lambda x, model=model: model(x[None]))(X)
        whole = torch.autograd.grad(y.square().sum(), list(model.parameters()))
        found.append([*each.values(), *whole])
    alike(*found)


@BOTH
def test_what_happened_to_the_model_since_does_not_count(pair):
    found = []
    for model in pair():
        x = X.clone().requires_grad_()
        torch.manual_seed(1)
        loss = model(x).square().sum()
        with torch.no_grad():
            model(3 * X)
        for p in list(model.eval().parameters())[::2]:
            p.requires_grad_(False)
        loss.backward()
        assert not any(m.training for m in model.modules())
        found.append([x.grad, *(p.grad for p in model.parameters())])
    alike(*found)


@BOTH
def test_hooks_see_what_they_see_elsewhere(pair):
    found = []
    for model in pair():
        inside = next(m for n, m in model.named_modules() if n.endswith("1.branch"))
        seen, gradients = [], []
        handle = inside.register_forward_hook(lambda module, args, y, seen=seen: seen.append(y))
        torch.manual_seed(1)
        y = model(X)
        handle.remove()
        assert len(seen) == 1
        seen[0].register_hook(lambda g, gradients=gradients: gradients.append(g))
        y.square().sum().backward()
        found.append([seen[0].detach(), *gradients, *(p.grad for p in model.parameters())])
        assert len(seen) == len(gradients) == 1
    alike(*found)


@BOTH
def test_parameters_that_were_written_over_are_refused(pair):
    _, model = pair()
    y = model(X)
    with torch.no_grad():
        next(p for n, p in model.named_parameters() if "conv1" in n).mul_(2)
    with pytest.raises(RuntimeError, match="in place|inplace"):
        y.sum().backward()


def test_an_output_that_was_written_over_is_refused():
    _, model = reversible()
    y = model(X)
    with torch.no_grad():
        y.mul_(2)
    with pytest.raises(RuntimeError, match="inplace"):
        y.sum().backward()


@BOTH
def test_autocast_is_that_of_the_forward_pass(pair):
    found = []
    for model in pair():
        model.float()
        torch.manual_seed(1)
        with torch.autocast("cpu", torch.bfloat16):
            y = model(X.float())
        y.float().square().sum().backward()
        found.append([y.detach().float(), *(p.grad for p in model.parameters())])
        assert {p.grad.dtype for p in model.parameters()} == {torch.float32}
    alike(*found, tolerance=0.05 if pair is reversible else 1e-6)


@BOTH
def test_within_a_checkpoint_of_pytorch_s_own(pair):
    found = []
    for model in pair():
        x = X.clone().requires_grad_()
        torch.manual_seed(1)
        y = checkpoint(model.eval(), x, use_reentrant=False)
        y.square().sum().backward()
        found.append([x.grad, *(p.grad for p in model.parameters())])
    alike(*found)


def held():
    return sum(type(o) is Recomputation for o in gc.get_objects())


@BOTH
@pytest.mark.parametrize("backward", [False, True])
def test_nothing_stays_behind(pair, backward):
    _, model = pair()
    gc.collect()
    gc.disable()
    try:
        before = held()  # by errors of earlier tests, say
        y = model(X)
        assert held() > before
        if backward:
            y.sum().backward()
        del y
        assert held() == before
    finally:
        gc.enable()


def test_more_runs_than_blocks_are_refused():
    with pytest.raises(ValueError, match="segments must be at most the 2 blocks, got 3"):
        CheckpointedNetwork(nn.ReLU(), nn.Sequential(nn.ReLU(), nn.ReLU()), nn.ReLU(), 3)


@BOTH
def test_nothing_is_left_of_a_step_once_its_gradients_are_there(pair):
    """Handles stand for what autograd keeps; one that stays keeps its whole step in memory."""

    def handles() -> int:
        gc.collect()
        return sum(type(found) is _recomputation._Handle for found in gc.get_objects())

    _, model = pair()
    before = handles()  # of other tests
    for _ in range(2):
        loss = model(X).sum()
        assert handles() > before
        loss.backward()
        del loss
        assert handles() <= before


@pytest.mark.parametrize("segments", range(1, 12))
def test_runs_are_of_nearly_equal_length(segments, monkeypatch):
    lengths = []

    def counted(blocks, x):
        lengths.append(len(blocks))
        return blocks(x)

    monkeypatch.setattr(checkpointed_module, "_run", counted)
    blocks = nn.Sequential(*(nn.Identity() for _ in range(11)))
    CheckpointedNetwork(nn.Identity(), blocks, nn.Identity(), segments)(X)
    lengths.append(11 - sum(lengths))  # the last is not computed again
    assert len(lengths) == segments and max(lengths) - min(lengths) <= 1
