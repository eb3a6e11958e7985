"""Residual networks in Keras on TensorFlow, each block one equation: see :class:`Residual`."""

try:
    import tensorflow  # noqa: F401
except ImportError as error:  # pragma: no cover - needs an environment without TensorFlow
    raise ImportError(
        "companion.tensorflow needs TensorFlow: install it with the extra, "
        "pip install 'residual-companion[tensorflow]'"
    ) from error

from companion.tensorflow.blocks import (
    BasicBlock,
    BottleneckBlock,
    BottleneckBlockV1,
    ResNeXtBlock,
    WideBottleneckBlock,
    residual_block,
)
from companion.tensorflow.densenet import DenseLayer, densenet_cifar
from companion.tensorflow.depth_attention import Append, DepthAttentionBlock, DepthPooling
from companion.tensorflow.dncnn import dncnn
from companion.tensorflow.export import export_onnx
from companion.tensorflow.fixup import FixupBlock, ScalarBias, ScalarScale
from companion.tensorflow.hyper_connections import (
    ExpandStreams,
    HyperConnection,
    ManifoldHyperConnection,
    ReduceStreams,
    sinkhorn,
)
from companion.tensorflow.inference import optimize_for_inference
from companion.tensorflow.layers import (
    BatchNorm2d,
    Conv2d,
    Dense,
    GlobalAveragePool,
    HiddenDense,
)
from companion.tensorflow.lstm import residual_lstm
from companion.tensorflow.merges import (
    Add,
    Concatenate,
    Highway,
    LayerScale,
    ScaledAdd,
    StochasticDepth,
    Subtract,
)
from companion.tensorflow.mlp import MLPBlock, residual_mlp
from companion.tensorflow.networks import (
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
from companion.tensorflow.preactivation import PreActivationBlock, PreActivationBottleneckBlock
from companion.tensorflow.prediction import evaluate, predict
from companion.tensorflow.residual import (
    Residual,
)
from companion.tensorflow.resnet import ResNet
from companion.tensorflow.resnet_v2 import resnet50_v2
from companion.tensorflow.reversible import (
    AdditiveCoupling,
    ReversibleBlock,
    ReversibleSequential,
    revnet_cifar,
)
from companion.tensorflow.separable import SeparableBlock
from companion.tensorflow.sequence_layers import (
    LSTM,
    Attention,
    BatchNorm1d,
    Conv1d,
    Embedding,
    LayerNorm,
    SinusoidalPositions,
)
from companion.tensorflow.shortcuts import (
    Identity,
    Projection,
    ZeroPad,
    shortcut,
)
from companion.tensorflow.speech import TemporalBlock, speech_resnet
from companion.tensorflow.squeeze_excitation import SEBottleneckBlock, SqueezeExcitation
from companion.tensorflow.training import (
    fit,
    train,
    use_threads,
)
from companion.tensorflow.transformer import (
    TransformerBlock,
    feed_forward,
    sublayer,
    transformer,
)
from companion.tensorflow.unet import residual_unet

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
