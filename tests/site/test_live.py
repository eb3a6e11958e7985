"""Figures that compute in the page: their numbers are the reference's."""

from __future__ import annotations

import base64
import json
import re
from math import comb

import numpy as np
import pytest
from live_figure import LIVE

from companion import data, reference
from tools import kernels, stills


@pytest.fixture(scope="module")
def compute(browser):
    """Evaluate an expression with the scripts of a figure on an empty page."""
    pages = {}

    def evaluate(name: str, expression: str, argument: object = None):
        if name not in pages:
            pages[name] = browser.new_page()
            kernels = [LIVE / name / "kernels.js"] if name == "digit" else []
            for script in [*stills.scripts(name), *kernels]:
                pages[name].add_script_tag(path=script)
        return pages[name].evaluate(expression, argument)

    yield evaluate
    for page in pages.values():
        page.close()


class Times(reference.Layer):
    """y = a tanh(x)."""

    def __init__(self, a: float) -> None:
        super().__init__()
        self.a = a

    def forward(self, x, training=True):
        self.x = x
        return self.a * np.tanh(x)

    def backward(self, dy):
        return dy * self.a * (1 - np.tanh(self.x) ** 2)


@pytest.mark.parametrize("weight", [-1.5, -1.0, -0.01, 0.0, 0.5, 1.5])
@pytest.mark.parametrize("divisor, power", [("one", 0), ("root", 0.5), ("depth", 1)])
def test_a_chain_is_a_product(weight, divisor, power, compute):
    found = compute(
        "chain",
        """([depth, weight, divisor]) => {
          const chain = companionLive.chain;
          const { plain, residual } = chain.factors(depth, weight, divisor);
          return [chain.flow(depth, plain), chain.flow(depth, residual)];
        }""",
        [50, weight, divisor],
    )
    for row, factor in zip(found, (weight, 1 + weight / 50**power), strict=True):
        stream, values, branch = 1.0, [1.0], factor - 1
        for _ in range(50):
            stream = stream + branch * stream
            values.append(stream)
        np.testing.assert_allclose(np.array(row["values"], float), values, rtol=1e-6, atol=1e-290)
        derivatives = [np.prod(np.full(50 - layer, factor)) for layer in range(51)]
        np.testing.assert_allclose(
            np.array(row["gradients"], float), derivatives, rtol=1e-6, atol=1e-290
        )


@pytest.mark.parametrize("a", [-2.0, 0.5, 1.3])
@pytest.mark.parametrize("shortcut", [0.0, 0.4, 1.0])
@pytest.mark.parametrize("x", [-2.5, 0.0, 1.0])
def test_a_block_and_its_stack_are_the_references(a, shortcut, x, compute):
    found = compute(
        "block",
        "([a, s, x]) => [1, 7].map(blocks => companionLive.block.stack(a, s, blocks, x))",
        [a, shortcut, x],
    )

    class Carry(reference.Layer):
        def forward(self, x, training=True):
            return shortcut * x

        def backward(self, dy):
            return shortcut * dy

    for blocks, row in zip((1, 7), found, strict=True):
        stack = reference.Sequential(
            **{f"block{i}": reference.Residual(Times(a), Carry()) for i in range(blocks)}
        )
        value = stack(np.array([[x]]))
        slope = stack.backward(np.ones((1, 1)))
        np.testing.assert_allclose([row["value"], row["slope"]], [value[0, 0], slope[0, 0]], 1e-6)


def test_the_slopes_that_chapter_2_states(compute):
    stack = "shortcut => companionLive.block.stack(0.5, shortcut, 10, 1).slope"
    assert compute("block", stack, 0) == pytest.approx(3.4e-4, abs=1e-5)
    assert compute("block", stack, 1) == pytest.approx(1.46, abs=0.01)


def test_the_slope_of_a_block_is_the_shortcuts_plus_the_branchs(compute):
    def slope(a, x):
        return compute("block", "([a, x]) => companionLive.block.branchSlope(a, x)", [a, x])

    for a, x in ((0.5, 1.0), (-2.0, 0.3)):
        step = 1e-5
        numerical = a * (np.tanh(x + step) - np.tanh(x - step)) / (2 * step)
        assert slope(a, x) == pytest.approx(numerical, abs=1e-6)


@pytest.mark.parametrize("L, a", [(1, 0.3), (27, 0.5), (60, 1.0), (60, 0.0)])
def test_shares_of_paths_are_binomial(L, a, compute):
    found = compute("depth", "([L, a]) => companionLive.depth.shares(L, a)", [L, a])
    counted = np.array([comb(L, k) * a**k for k in range(L + 1)])
    np.testing.assert_allclose(found, counted / counted.sum(), rtol=1e-6)
    assert np.dot(found, np.arange(L + 1)) == pytest.approx(L * a / (1 + a))


def test_shares_of_the_gradient_are_those_of_the_companions_probe(compute):
    import torch

    import companion.torch as ct
    from companion.torch import probes

    class Scaled(torch.nn.Module):
        def forward(self, x):
            return 0.6 * x

    blocks = [ct.Residual(Scaled()) for _ in range(9)]
    lengths = probes.path_gradients(blocks, torch.ones(1, 1).double(), lambda z: z.sum())
    found = compute("depth", "() => companionLive.depth.shares(9, 0.6)")
    np.testing.assert_allclose(found, np.array(lengths) / np.sum(lengths), rtol=1e-6)


@pytest.mark.parametrize("a", [0.5, 1.0])
@pytest.mark.parametrize("name, residual, power", [
    ("plain", False, 0), ("sum", True, 0), ("divided", True, 0.5),
])  # fmt: skip
def test_variances_are_those_of_the_companions_stack(a, name, residual, power, compute):
    import torch

    import companion.torch as ct

    blocks, width = 40, 256
    found = compute("depth", "([L, a]) => companionLive.depth.variances(L, a)", [blocks, a])
    expected = {"plain": a**2, "sum": 1 + a**2, "divided": 1 + a**2 / blocks}
    powers = expected[name] ** np.arange(blocks + 1.0)
    np.testing.assert_allclose(np.array(found[name], float), powers, rtol=1e-6)
    model = ct.residual_mlp(width, 10, blocks, width, residual=residual, seed=0)
    torch.manual_seed(0)
    with torch.no_grad():
        for block in model.blocks:
            block.branch.dense2.weight *= a / blocks**power
        stream = first = model.stem(torch.randn(128, width))
        for block in model.blocks:
            stream = block(stream)
    measured = float(torch.log10(stream.double().var() / first.double().var()))
    counted = np.log10(found[name][-1])
    assert abs(measured - counted) < 0.4 + 0.03 * abs(counted)


def stored() -> dict:
    text = (LIVE / "digit" / "kernels.js").read_text("utf-8")
    return json.loads(re.search(r"= (\{.*\});", text)[1])


def by_the_reference(images: np.ndarray, shortcut: bool) -> dict[str, np.ndarray]:
    """The stem and the block in NumPy, with the weights that the page loads."""
    flat = np.frombuffer(base64.b64decode(stored()["weights"]), "<f4").astype(float)
    stem = reference.Sequential(
        conv=reference.Conv2d(1, 16, 5, 2), norm=reference.BatchNorm2d(16), relu=reference.ReLU()
    )
    block = reference.BasicBlock(16, 16, residual=shortcut)
    parts, branch = stem.children, block.branch.children
    for conv, norm in (
        (parts["conv"], parts["norm"]),
        (branch["conv1"], branch["norm1"]),
        (branch["conv2"], branch["norm2"]),
    ):
        for store, key in (
            (conv.params, "weight"), (norm.params, "weight"), (norm.params, "bias"),
            (norm.buffers, "running_mean"), (norm.buffers, "running_var"),
        ):  # fmt: skip
            size = store[key].size
            store[key], flat = flat[:size].reshape(store[key].shape), flat[size:]
    assert not flat.size
    x = stem(images[None, None], training=False)
    values = block.branch(x, training=False)
    return {
        "x": x,
        "convolution": branch["conv1"](x, training=False),
        "branch": values,
        "sum": x + values if shortcut else values,
        "output": block(x, training=False),
    }


@pytest.mark.parametrize("shortcut", [True, False])
@pytest.mark.parametrize("image", ["the page's", "random"])
def test_a_digits_block_is_the_references(shortcut, image, compute):
    digit = data.mnist().x_test[0, :, :, 0]
    pixels = digit if image == "the page's" else np.random.default_rng(0).random((28, 28))
    found = compute(
        "digit",
        """([pixels, shortcut]) => {
          const { unpack, steps } = companionLive.digit;
          const kernels = unpack(companionKernels);
          const found = steps(pixels, kernels, shortcut);
          const listed = Object.entries({ ...found, digit: kernels.digit });
          return Object.fromEntries(listed.map(([name, values]) => [name, Array.from(values)]));
        }""",
        [pixels.astype(float).ravel().tolist(), shortcut],
    )
    np.testing.assert_allclose(found["digit"], digit.ravel(), atol=1e-6)
    for name, values in by_the_reference(pixels.astype(float), shortcut).items():
        np.testing.assert_allclose(found[name], values.ravel(), atol=1e-6, err_msg=name)


def test_the_page_says_how_large_the_kernels_are():
    size = (LIVE / "digit" / "kernels.js").stat().st_size
    script = (LIVE / "digit" / "digit.js").read_text("utf-8")
    assert int(re.search(r"KIB = (\d+);", script)[1]) == -(-size // 1024)
    assert kernels.FILE == LIVE / "digit" / "kernels.js"
