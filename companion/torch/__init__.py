"""Residual networks in PyTorch, each block one equation: see :class:`Residual`."""

try:
    import torch  # noqa: F401
except ImportError as error:  # pragma: no cover - needs an environment without PyTorch
    raise ImportError(
        "companion.torch needs PyTorch: install it with the extra, "
        "pip install 'residual-companion[torch]'"
    ) from error

from companion.torch.blocks import (
    BasicBlock,
    BottleneckBlock,
    BottleneckBlockV1,
    ResNeXtBlock,
    WideBottleneckBlock,
    residual_block,
)
from companion.torch.densenet import DenseLayer, densenet_cifar
from companion.torch.depth_attention import Append, DepthAttentionBlock, DepthPooling
from companion.torch.dncnn import dncnn
from companion.torch.export import export_onnx
from companion.torch.fixup import FixupBlock, ScalarBias, ScalarScale
from companion.torch.hyper_connections import (
    ExpandStreams,
    HyperConnection,
    ManifoldHyperConnection,
    ReduceStreams,
    sinkhorn,
)
from companion.torch.inference import optimize_for_inference
from companion.torch.layers import (
    BatchNorm2d,
    Conv2d,
    Dense,
    GlobalAveragePool,
    HiddenDense,
)
from companion.torch.lstm import residual_lstm
from companion.torch.merges import (
    Add,
    Concatenate,
    Highway,
    LayerScale,
    ScaledAdd,
    StochasticDepth,
    Subtract,
)
from companion.torch.mlp import MLPBlock, residual_mlp
from companion.torch.networks import (
    cifar_preact_resnet,
    cifar_resnet,
    fixup_resnet,
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
from companion.torch.preactivation import PreActivationBlock, PreActivationBottleneckBlock
from companion.torch.prediction import evaluate, predict
from companion.torch.residual import (
    Residual,
)
from companion.torch.resnet import ResNet
from companion.torch.resnet_v2 import resnet50_v2
from companion.torch.reversible import (
    AdditiveCoupling,
    ReversibleBlock,
    ReversibleSequential,
    revnet_cifar,
)
from companion.torch.separable import SeparableBlock
from companion.torch.sequence_layers import (
    LSTM,
    Attention,
    BatchNorm1d,
    Conv1d,
    Embedding,
    LayerNorm,
    SinusoidalPositions,
)
from companion.torch.shortcuts import (
    Identity,
    Projection,
    ZeroPad,
    shortcut,
)
from companion.torch.speech import TemporalBlock, speech_resnet
from companion.torch.squeeze_excitation import SEBottleneckBlock, SqueezeExcitation
from companion.torch.training import (
    fit,
    train,
    use_threads,
)
from companion.torch.transformer import (
    TransformerBlock,
    feed_forward,
    sublayer,
    transformer,
)
from companion.torch.unet import residual_unet

__all__ = [
    "Add",
    "AdditiveCoupling",
    "Append",
    "Attention",
    "BasicBlock",
    "BatchNorm1d",
    "BatchNorm2d",
    "BottleneckBlock",
    "BottleneckBlockV1",
    "Concatenate",
    "Conv1d",
    "Conv2d",
    "Dense",
    "DenseLayer",
    "DepthAttentionBlock",
    "DepthPooling",
    "Embedding",
    "ExpandStreams",
    "FixupBlock",
    "GlobalAveragePool",
    "HiddenDense",
    "Highway",
    "HyperConnection",
    "Identity",
    "LSTM",
    "LayerNorm",
    "LayerScale",
    "MLPBlock",
    "ManifoldHyperConnection",
    "PreActivationBlock",
    "PreActivationBottleneckBlock",
    "Projection",
    "ReduceStreams",
    "ResNeXtBlock",
    "ResNet",
    "Residual",
    "ReversibleBlock",
    "ReversibleSequential",
    "SEBottleneckBlock",
    "ScalarBias",
    "ScalarScale",
    "ScaledAdd",
    "SeparableBlock",
    "SinusoidalPositions",
    "SqueezeExcitation",
    "StochasticDepth",
    "Subtract",
    "TemporalBlock",
    "TransformerBlock",
    "WideBottleneckBlock",
    "ZeroPad",
    "cifar_preact_resnet",
    "cifar_resnet",
    "densenet_cifar",
    "dncnn",
    "evaluate",
    "export_onnx",
    "feed_forward",
    "fit",
    "fixup_resnet",
    "mnist_resnet",
    "optimize_for_inference",
    "predict",
    "residual_block",
    "residual_lstm",
    "residual_mlp",
    "residual_network",
    "residual_unet",
    "resnet101",
    "resnet152",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet50_v2",
    "resnext50_32x4d",
    "revnet_cifar",
    "se_resnet50",
    "shortcut",
    "sinkhorn",
    "speech_resnet",
    "sublayer",
    "train",
    "transformer",
    "use_threads",
    "wide_resnet",
    "wide_resnet50_2",
]
