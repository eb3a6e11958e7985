"""The pre-activation ResNet-50 of keras.applications, which differs from the paper's in detail."""

from __future__ import annotations

import keras
from keras import KerasTensor as Tensor
from keras import ops

from companion import _checks
from companion.architectures import IMAGENET
from companion.tensorflow._layer import Layer
from companion.tensorflow._saving import Sequential
from companion.tensorflow.layers import BatchNorm2d, Conv2d, Dense, GlobalAveragePool
from companion.tensorflow.preactivation import PreActivatedResidual
from companion.tensorflow.resnet import build_sequential
from companion.tensorflow.shortcuts import Identity, ZeroPad


@keras.saving.register_keras_serializable("companion")
class ZeroPaddedMaxPool2d(Layer):
    """3x3 maximum with stride 2, padded by zeros, which win over negative inputs at the border.

    Wrong where no ReLU came before, and kept because Keras's published weights were trained so.
    """

    def call(self, x: Tensor) -> Tensor:
        return ops.max_pool(ops.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0))), 3, 2, padding="valid")


def resnet50_v2(
    residual: bool = True,
    in_channels: int = 3,
    num_classes: int = 1000,
    seed: int | None = None,
) -> keras.Sequential:
    """Return ResNet-50 with pre-activation as keras.applications builds it (arXiv 1603.05027).

    (N, H, W, in_channels) to logits (N, num_classes). Two details are Keras's own: the stride is in
    the last block of a stage, and convolutions that no norm follows have biases.

    Parameters
    ----------
    residual: ``False`` gives the plain control, the same branches without shortcuts.
    in_channels, num_classes: of images and of labels.
    seed: of the initial weights, the same in both frameworks; ``None`` draws one.

    Raises
    ------
    ValueError: any argument out of its range.
    """
    residual = _checks.boolean("residual", residual)
    _checks.positive_int("num_classes", num_classes)
    seed = _checks.seed(seed)
    channels, stages = 64, []
    for i, count in enumerate(IMAGENET[50][1]):
        width, blocks = 64 * 2**i, []
        for j in range(count):
            stride = 2 if j == count - 1 and i < 3 else 1
            blocks.append(_block(channels, width, stride, j == 0, residual, str(j)))
            channels = 4 * width
        stages.append(Sequential(blocks, name=str(i)))
    stem = [
        Conv2d(in_channels, 64, kernel_size=7, stride=2, bias=True, name="conv"),
        ZeroPaddedMaxPool2d(name="pool"),
    ]
    head = [
        BatchNorm2d(channels, name="norm"),
        keras.layers.ReLU(name="relu"),
        GlobalAveragePool(name="pool"),
        Dense(channels, num_classes, name="dense"),
    ]
    parts = [
        keras.Input((None, None, in_channels)),
        Sequential(stem, name="stem"),
        Sequential(stages, name="stages"),
        Sequential(head, name="head"),
    ]
    return build_sequential(parts, "resnet50_v2", seed)


def _block(
    channels: int, width: int, stride: int, first: bool, residual: bool, name: str
) -> keras.layers.Layer:
    before = [BatchNorm2d(channels, name="norm"), keras.layers.ReLU(name="relu")]
    rest = [
        Conv2d(channels, width, kernel_size=1, name="conv1"),
        BatchNorm2d(width, name="norm1"),
        keras.layers.ReLU(name="relu1"),
        Conv2d(width, width, kernel_size=3, stride=stride, name="conv2"),
        BatchNorm2d(width, name="norm2"),
        keras.layers.ReLU(name="relu2"),
        Conv2d(width, 4 * width, kernel_size=1, bias=True, name="conv3"),
    ]
    if first:
        project = Conv2d(channels, 4 * width, 1, stride, bias=True, name="shortcut")
        block = PreActivatedResidual(before, rest, project, residual, name="block")
        return Sequential([block], name=name)  # weights are drawn by name: it keeps its own
    carry = Identity() if stride == 1 else ZeroPad(channels, channels, stride)
    return PreActivatedResidual(before, rest, carry, residual, name=name)
