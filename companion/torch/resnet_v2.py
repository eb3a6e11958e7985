"""The pre-activation ResNet-50 of keras.applications, which differs from the paper's in detail."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn

from companion import _checks
from companion.architectures import IMAGENET
from companion.torch.layers import BatchNorm2d, Conv2d, Dense, GlobalAveragePool, skip_init
from companion.torch.preactivation import PreActivatedResidual
from companion.torch.resnet import build_sequential
from companion.torch.shortcuts import Identity, ZeroPad


class ZeroPaddedMaxPool2d(nn.Module):
    """3x3 maximum with stride 2, padded by zeros, which win over negative inputs at the border.

    Wrong where no ReLU came before, and kept because Keras's published weights were trained so.
    """

    def forward(self, x: Tensor) -> Tensor:
        return F.max_pool2d(F.pad(x, (1, 1, 1, 1)), kernel_size=3, stride=2)


@skip_init()
def resnet50_v2(
    residual: bool = True,
    in_channels: int = 3,
    num_classes: int = 1000,
    seed: int | None = None,
) -> nn.Sequential:
    """Return ResNet-50 with pre-activation as keras.applications builds it (arXiv 1603.05027).

    (N, in_channels, H, W) to logits (N, num_classes). Two details are Keras's own: the stride is in
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
            blocks.append(_block(channels, width, stride, j == 0, residual))
            channels = 4 * width
        stages.append(nn.Sequential(*blocks))
    stem = OrderedDict[str, nn.Module](
        conv=Conv2d(in_channels, 64, kernel_size=7, stride=2, bias=True),
        pool=ZeroPaddedMaxPool2d(),
    )
    head = OrderedDict[str, nn.Module](
        norm=BatchNorm2d(channels),
        relu=nn.ReLU(),
        pool=GlobalAveragePool(),
        dense=Dense(channels, num_classes),
    )
    whole = OrderedDict(
        stem=nn.Sequential(stem), stages=nn.Sequential(*stages), head=nn.Sequential(head)
    )
    return build_sequential(whole, seed)


def _block(channels: int, width: int, stride: int, first: bool, residual: bool) -> nn.Module:
    before = OrderedDict[str, nn.Module](norm=BatchNorm2d(channels), relu=nn.ReLU())
    rest = OrderedDict[str, nn.Module](
        conv1=Conv2d(channels, width, kernel_size=1),
        norm1=BatchNorm2d(width),
        relu1=nn.ReLU(),
        conv2=Conv2d(width, width, kernel_size=3, stride=stride),
        norm2=BatchNorm2d(width),
        relu2=nn.ReLU(),
        conv3=Conv2d(width, 4 * width, kernel_size=1, bias=True),
    )
    if first:
        project = Conv2d(channels, 4 * width, kernel_size=1, stride=stride, bias=True)
        block = PreActivatedResidual(before, rest, project, residual)
        return nn.Sequential(OrderedDict(block=block))  # weights are drawn by the layers' names
    carry = Identity() if stride == 1 else ZeroPad(channels, channels, stride)
    return PreActivatedResidual(before, rest, carry, residual)
