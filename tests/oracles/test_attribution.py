"""Captum's attributions of a companion network: their axioms, and Grad-CAM computed by hand."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from captum.attr import DeepLift, IntegratedGradients, LayerGradCam

import companion.torch as cp

torch.set_num_threads(1)
LABELS = torch.tensor([0, 3, 1])


@pytest.fixture(params=["B", "C"])
def network(request):
    """A network in float64 whose norms have statistics of their own."""
    model = cp.cifar_resnet(
        8, 4, shortcut=request.param, in_channels=1, num_classes=4, seed=0
    ).double()
    generator = torch.Generator().manual_seed(0)
    for name, buffer in model.named_buffers():
        if "running" in name:
            buffer += torch.rand(buffer.shape, generator=generator, dtype=torch.float64)
    return model.eval()


@pytest.fixture
def images():
    rng = np.random.default_rng(0)
    return torch.from_numpy(rng.normal(size=(3, 1, 8, 8)))


def rise(model, images):
    """How far each label's logit is above that of an empty image."""
    with torch.no_grad():
        both = model(images), model(torch.zeros_like(images))
    return (both[0] - both[1]).gather(1, LABELS[:, None])[:, 0]


def forms(network):
    return {"as it is": network, "optimized": cp.optimize_for_inference(network)}


@pytest.mark.parametrize("form", ["as it is", "optimized"])
def test_integrated_gradients_are_complete(network, images, form):
    # Sundararajan et al. 2017, arXiv 1703.01365, proposition 1.
    model = forms(network)[form]
    found = IntegratedGradients(model).attribute(images, target=LABELS, n_steps=400)
    wanted = rise(network, images)
    torch.testing.assert_close(found.sum((1, 2, 3)), wanted, rtol=0, atol=2e-3 * wanted.abs().max())


def test_integrated_gradients_by_hand(network, images):
    found = IntegratedGradients(network).attribute(
        images, target=LABELS, n_steps=5, method="riemann_middle"
    )
    total = torch.zeros_like(images)
    for step in range(5):
        x = ((step + 0.5) / 5 * images).requires_grad_()
        logits = network(x).gather(1, LABELS[:, None])
        total += torch.autograd.grad(logits.sum(), x)[0] / 5
    torch.testing.assert_close(found, total * images)


@pytest.mark.filterwarnings("ignore:Input Tensor 0 did not", "ignore:Setting forward, backward")
def test_deep_lift_is_complete(network, images):
    # Each ReLU is a module of its own, and called once: else it could not be told apart.
    found = DeepLift(network).attribute(images, target=LABELS)
    torch.testing.assert_close(found.sum((1, 2, 3)), rise(network, images))


@pytest.mark.parametrize("form", ["as it is", "optimized"])
@pytest.mark.parametrize("layer", ["stem", "stages.0.0", "stages.1", "stages"])
def test_grad_cam_by_hand(network, images, form, layer):
    # Selvaraju et al. 2017, arXiv 1610.02391, eq. 1 and 2, before the ReLU.
    model = forms(network)[form]
    seen = []
    hook = network.get_submodule(layer).register_forward_hook(lambda *call: seen.append(call[-1]))
    logits = network(images).gather(1, LABELS[:, None])
    hook.remove()
    (maps,) = seen
    (gradient,) = torch.autograd.grad(logits.sum(), maps)
    weights = gradient.mean((2, 3), keepdim=True)
    wanted = (weights * maps).sum(1, keepdim=True)
    images = images.requires_grad_()  # an optimized copy has nothing else that wants a gradient
    found = LayerGradCam(model, model.get_submodule(layer)).attribute(images, target=LABELS)
    torch.testing.assert_close(found, wanted)
