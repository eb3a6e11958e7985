"""What bfloat16 and int8 gain and cost: accuracy of five networks on digits, times by processor.

Accuracy: each network is trained on 4,000 MNIST digits, 4 epochs, three seeds, in float32 and, from
the same start with the same batches, in bfloat16 (autocast). The one in float32 is then prepared by
``optimize_for_inference`` in each precision, in PyTorch and, its weights carried over, in Keras;
int8 takes its scales from 256 training digits. The test digits are the other 1,000.

Time: CPU seconds of a call, or of a step of training, over those of the float32 copy, in turns, as
in the bench. oneDNN, PyTorch and FBGEMM are told which instructions they may use at most.
onnxruntime and LiteRT choose by themselves, and are timed with the processor's own alone. The
processor must have AMX, or the row "its own" repeats another. About 45 minutes on one core.

    python -m companion.book.experiments.precision
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from functools import partial
from typing import Any

import numpy as np

from companion.book.bench.timing import Comparison
from companion.book.experiments import common

SEEDS, EPOCHS, CALIBRATION = (0, 1, 2), 4, 256
NETWORKS = {
    "ResNet-14, width 8": ("cifar_resnet", (14, 8)),
    "pre-activation ResNet-14": ("cifar_preact_resnet", (14, 8)),
    "wide ResNet-10": ("wide_resnet", (10, 1)),
    "DenseNet-22": ("densenet_cifar", (22, 8)),
    "chapter 5's network": ("mnist_resnet", ()),
}
PRECISIONS = ("float32", "bfloat16", "int8")
#: At most these, for oneDNN, PyTorch's own kernels and FBGEMM.
INSTRUCTIONS = {
    "its own": {},
    "AVX-512 with VNNI": {
        "ONEDNN_MAX_CPU_ISA": "AVX512_CORE_VNNI",
        "FBGEMM_ENABLE_INSTRUCTIONS": "AVX512_VNNI",
    },
    "AVX2": {
        "ONEDNN_MAX_CPU_ISA": "AVX2",
        "ATEN_CPU_CAPABILITY": "avx2",
        "FBGEMM_ENABLE_INSTRUCTIONS": "AVX2",
    },
}
#: Images at a time, and their side, for each network that is timed.
INFERENCE = {"resnet18": ((8, 224), (1, 224)), "resnet50": ((8, 224),), "cifar20": ((32, 32),)}
TRAINING = {"resnet18": (8, 64), "cifar20": (32, 32)}
ROUNDS = 7


def accuracies() -> list[dict[str, Any]]:
    import companion.tensorflow as ctf
    import companion.torch as ct
    from companion import weights
    from companion.data import mnist

    data, rows = mnist(), []
    images = data.x_train[:CALIBRATION]
    for name, (kind, args) in NETWORKS.items():
        for seed in SEEDS:
            trained = {}
            for precision in ("float32", "bfloat16"):
                model = getattr(ct, kind)(*args, in_channels=1, seed=seed)
                settings = {"epochs": EPOCHS, "seed": seed, "precision": precision}
                ct.fit(model, data, **settings, progress=False)
                trained[precision] = ct.evaluate(model, data.x_test, data.y_test)[1]
                if precision == "float32":
                    network = model
            common.noted(rows, network=name, seed=seed, part="training", **trained)
            there = getattr(ctf, kind)(*args, in_channels=1, seed=seed)
            weights.transfer(network, there)
            expected = ct.predict(network, data.x_test)
            for framework, package, model in (
                ("PyTorch", ct, network),
                ("TensorFlow", ctf, there),
            ):
                for precision in PRECISIONS:
                    scales = images if precision == "int8" else None
                    copy = package.optimize_for_inference(model, precision, scales)
                    found = package.predict(copy, data.x_test)
                    common.noted(
                        rows,
                        network=name,
                        seed=seed,
                        part="inference",
                        framework=framework,
                        precision=precision,
                        accuracy=float((found.argmax(1) == data.y_test).mean()),
                        distance=float(np.linalg.norm(found - expected) / np.linalg.norm(expected)),
                    )
    return rows


def tell(framework: str, own: bool) -> None:
    """Print the times of a framework, with the instructions that the environment names."""
    warnings.simplefilter("ignore")  # that a processor is slow with a precision is what is measured
    for row in (in_pytorch if framework == "PyTorch" else in_tensorflow)(own):
        print(json.dumps(row), flush=True)


def in_pytorch(own: bool) -> Any:
    import torch
    from torch.nn import functional as F

    import companion.torch as ct
    from companion.book.bench.torch import inference_call

    torch.set_num_threads(1)
    for network, sizes in INFERENCE.items():
        model = build(ct, network)
        for batch, side in sizes:
            images = np.random.default_rng(0).random((batch, side, side, 3), np.float32)
            x = torch.from_numpy(images).permute(0, 3, 1, 2)
            base = ct.optimize_for_inference(model)
            for arm in ("bfloat16", "int8", *(("onnxruntime",) if own else ())):
                copy = prepared(ct, model, arm, images)
                pair = inference_call(copy, x), inference_call(base, x)
                yield timed(network, batch, side, "inference", arm, pair)
    for network, (batch, side) in TRAINING.items():
        x = torch.rand(batch, 3, side, side, generator=torch.Generator().manual_seed(0))
        labels = torch.arange(batch) % 10

        def step(model: Any, short: bool, x: Any = x, labels: Any = labels) -> Any:
            def call() -> None:
                with torch.autocast("cpu", torch.bfloat16, enabled=short):
                    y = model(x)
                F.cross_entropy(y.float(), labels).backward()
                for p in model.parameters():
                    p.grad = None

            return call

        pair = [step(build(ct, network).train(), short) for short in (True, False)]
        yield timed(network, batch, side, "training", "bfloat16", pair)


def in_tensorflow(own: bool) -> Any:
    import companion.tensorflow as ctf

    ctf.use_threads(1)
    for network, sizes in INFERENCE.items():
        if network == "resnet50":
            continue
        model = build(ctf, network)
        for batch, side in sizes:
            images = np.random.default_rng(0).random((batch, side, side, 3), np.float32)
            base = ctf.optimize_for_inference(model)
            for arm in ("bfloat16", *(("int8", "onnxruntime") if own else ())):
                copy = prepared(ctf, model, arm, images)
                pair = (partial(copy, images), partial(base, images))
                yield timed(network, batch, side, "inference", arm, pair)


def build(package: Any, network: str) -> Any:
    if network == "cifar20":
        return package.cifar_resnet(20, seed=0)
    return getattr(package, network)(seed=0)


def prepared(package: Any, model: Any, arm: str, images: np.ndarray) -> Any:
    if arm == "onnxruntime":
        return package.optimize_for_inference(model, runtime=arm)
    return package.optimize_for_inference(model, arm, images if arm == "int8" else None)


def timed(network: str, batch: int, side: int, part: str, arm: str, pair: Any) -> dict[str, Any]:
    row = Comparison(
        f"{network}/{batch}/{part}/{arm}", "", lambda: tuple(pair), rounds=ROUNDS
    ).run()
    kept = {key: row[key] for key in ("ratio", "low", "high", "noise", "seconds", "base_seconds")}
    return {"network": network, "batch": batch, "side": side, "part": part, "arm": arm, **kept}


def times() -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = []
    for instructions, variables in INSTRUCTIONS.items():
        for framework in ("PyTorch", "TensorFlow"):
            if (framework, instructions) == ("TensorFlow", "AVX2"):
                continue  # TensorFlow asks the processor, not oneDNN, and then cannot have bfloat16
            environment = {**os.environ, "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3"}
            command = [sys.executable, "-m", "companion.book.experiments.precision", framework]
            command += ["own"] if not variables else []
            done = subprocess.run(
                command, env={**environment, **variables}, stdout=subprocess.PIPE, check=True
            )
            for line in done.stdout.decode().splitlines():
                common.noted(
                    rows, instructions=instructions, framework=framework, **json.loads(line)
                )
    return rows


if __name__ == "__main__":
    if len(sys.argv) > 1:
        tell(sys.argv[1], own=len(sys.argv) > 2)
        sys.exit()
    found = [*times(), *accuracies()]
    common.store("precision", "companion/book/experiments/precision.py", found, epochs=EPOCHS)
