"""The NumPy reference, all layers: gradients against finite differences, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest
import torch

import companion.reference as ref
from companion import weights

torch.set_num_threads(1)

LAYERS = {
    "conv": (lambda: ref.Conv2d(3, 4, 3, 2), (2, 3, 5, 6)),
    "conv 5x5": (lambda: ref.Conv2d(2, 3, 5), (2, 2, 4, 5)),
    "norm": (lambda: ref.BatchNorm2d(3), (2, 3, 3, 4)),
    "relu": (ref.ReLU, (2, 3, 4, 4)),
    "max pool": (ref.MaxPool2d, (2, 3, 5, 6)),
    "average pool": (ref.GlobalAveragePool, (2, 3, 4, 5)),
    "dense": (lambda: ref.Dense(5, 3), (4, 5)),
    "zero pad": (lambda: ref.ZeroPad(2, 5, 2), (2, 2, 5, 4)),
    "residual": (lambda: ref.Residual(ref.Conv2d(3, 3)), (2, 3, 4, 4)),
    "plain": (lambda: ref.Residual(ref.Conv2d(3, 3), shortcut=None), (2, 3, 4, 4)),
    "basic": (lambda: ref.BasicBlock(2, 4, 2), (3, 2, 5, 6)),
    "basic A": (lambda: ref.BasicBlock(2, 4, 2, shortcut="A"), (3, 2, 5, 6)),
    "bottleneck": (lambda: ref.BottleneckBlock(4, 8, 2), (3, 4, 5, 6)),
    "pre-activation A": (lambda: ref.PreActivationBlock(2, 4, 2, "A"), (3, 2, 5, 6)),
    "pre-activation B": (lambda: ref.PreActivationBlock(2, 4, 2), (3, 2, 5, 6)),
    "pre-activation, plain": (
        lambda: ref.PreActivationBlock(2, 4, 2, residual=False),
        (3, 2, 5, 6),
    ),
    "pre-activation bottleneck": (
        lambda: ref.PreActivationBottleneckBlock(4, 8, 2),
        (3, 4, 5, 6),
    ),
    **{
        merge: (
            lambda name=merge, args=args: ref.Residual(
                ref.Conv2d(3, 3), merge=getattr(ref, name)(*args)
            ),
            (2, 3, 4, 4),
        )
        for merge, args in {
            "ScaledAdd": (0.3,),
            "LayerScale": (3, 0.3),
            "Highway": (3,),
            "Subtract": (),
            "Concatenate": (),
        }.items()
    },
    **{
        f"{merge} of {what}": (
            lambda name=merge, args=args, branch=branch: ref.Residual(
                branch(), merge=getattr(ref, name)(*args)
            ),
            shape,
        )
        for what, branch, shape, axis in (
            ("vectors", lambda: ref.Dense(4, 4), (5, 4), 1),
            ("tokens", ref.ReLU, (2, 3, 4), -1),
        )
        for merge, args in {
            "Highway": (4, -1.0, axis),
            "LayerScale": (4, 0.3, axis),
            "Concatenate": (axis,),
        }.items()
    },
    "hyper": (lambda: ref.HyperConnection(ref.ReLU(), 4, 3, 1), (2, 3, 3, 4)),
    "manifold": (lambda: ref.ManifoldHyperConnection(ref.ReLU(), 4, 3), (2, 3, 3, 4)),
    "depth attention": (lambda: ref.DepthAttentionBlock(ref.ReLU(), 4), (2, 3, 3, 4)),
}


def numerical(f, x, eps=1e-6):
    """Central differences of the scalar f() with respect to x, which f reads."""
    gradient = np.zeros_like(x)
    for i in np.ndindex(x.shape):
        kept = x[i]
        x[i] = kept + eps
        up = f()
        x[i] = kept - eps
        down = f()
        x[i] = kept
        gradient[i] = (up - down) / (2 * eps)
    return gradient


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("training", [True, False])
def test_gradients_equal_finite_differences(name, training):
    make, shape = LAYERS[name]
    layer, rng = make(), np.random.default_rng(0)
    weights.initialize(layer, seed=0)  # without it, a ReLU may turn between two differences
    for _, inner in layer.named_layers():
        for key, array in inner.params.items():
            inner.params[key] = array + 0.1 * rng.normal(size=array.shape)
    x = rng.normal(size=shape)
    dy = rng.normal(size=layer.forward(x, training).shape)

    def loss():
        return float((layer.forward(x, training) * dy).sum())

    loss()
    dx = layer.backward(dy)
    assert np.abs(dx - numerical(loss, x)).max() < 1e-6 * max(1, np.abs(dx).max())
    for _, inner in layer.named_layers():
        for key, array in inner.params.items():
            measured = numerical(loss, array)
            assert np.abs(inner.grads[key] - measured).max() < 1e-6 * max(1, np.abs(measured).max())


@pytest.mark.parametrize(
    ("call", "named"),
    [
        (lambda: ref.Conv2d(0, 4), "in_channels"),
        (lambda: ref.Conv2d(3, 4, 2), "kernel_size"),
        (lambda: ref.Conv2d(3, 4, 3, 0), "stride"),
        (lambda: ref.Conv2d(3, 4)(np.zeros((2, 3, 4))), "dimensions"),
        (lambda: ref.Conv2d(3, 4)(np.zeros((2, 4, 4, 4))), "channels"),
        (lambda: ref.Conv2d(3, 4)(np.zeros((0, 3, 4, 4))), "empty"),
        (lambda: ref.BatchNorm2d(3)(np.zeros((1, 3, 1, 1))), "more than one value"),
        (lambda: ref.ZeroPad(8, 4), "out_channels"),
        (lambda: ref.shortcut("D", 4, 4), "shortcut"),
        (lambda: ref.BottleneckBlock(4, 6), "out_channels"),
        (lambda: ref.Add().forward(np.zeros((1, 1, 4, 4)), np.zeros((1, 8, 4, 4))), "same shape"),
        (lambda: ref.softmax_cross_entropy(np.zeros((2, 3)), np.array([0, 3])), "labels"),
    ],
)
def test_bad_input_is_refused(call, named):
    with pytest.raises(ValueError, match=named):
        call()
