"""Residual networks in PyTorch: one equation, y = activation(merge(shortcut(x), branch(x)))."""

try:
    import torch  # noqa: F401
except ImportError as error:  # pragma: no cover - needs an environment without PyTorch
    raise ImportError(
        "companion.torch needs PyTorch: install it with the extra, pip install 'companion[torch]'"
    ) from error

from companion.torch.blocks import (
    BasicBlock,
    BottleneckBlock,
    BottleneckBlockV1,
    ResNeXtBlock,
    WideBottleneckBlock,
    residual_block,
)
from companion.torch.merges import (
    Add,
    Concatenate,
    Highway,
    LayerScale,
    ScaledAdd,
    StochasticDepth,
    Subtract,
)
from companion.torch.networks import (
    ResNet,
    cifar_preact_resnet,
    cifar_resnet,
    mnist_resnet,
    residual_network,
    resnet18,
    resnet34,
    resnet50,
    resnet101,
    resnet152,
    resnext50_32x4d,
    se_resnet50,
    wide_resnet,
    wide_resnet50_2,
)
from companion.torch.residual import (
    Residual,
)
from companion.torch.shortcuts import (
    Identity,
    Projection,
    ZeroPad,
    shortcut,
)
from companion.torch.training import (
    evaluate,
    fit,
    predict,
    use_threads,
)
from companion.torch.variants import (
    DenseLayer,
    PreActivationBlock,
    PreActivationBottleneckBlock,
    SEBottleneckBlock,
    SeparableBlock,
    SqueezeExcitation,
)

__all__ = [
    "Add",
    "BasicBlock",
    "BottleneckBlock",
    "BottleneckBlockV1",
    "Concatenate",
    "DenseLayer",
    "Highway",
    "Identity",
    "LayerScale",
    "PreActivationBlock",
    "PreActivationBottleneckBlock",
    "Projection",
    "ResNeXtBlock",
    "ResNet",
    "Residual",
    "SEBottleneckBlock",
    "ScaledAdd",
    "SeparableBlock",
    "SqueezeExcitation",
    "StochasticDepth",
    "Subtract",
    "WideBottleneckBlock",
    "ZeroPad",
    "cifar_preact_resnet",
    "cifar_resnet",
    "evaluate",
    "fit",
    "mnist_resnet",
    "predict",
    "residual_block",
    "residual_network",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnext50_32x4d",
    "se_resnet50",
    "shortcut",
    "use_threads",
    "wide_resnet",
    "wide_resnet50_2",
]
