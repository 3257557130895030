"""DenseNet with the CIFAR stem."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alenv.nets.classifier import BatchNorm, Classifier, conv3x3, global_average
from alenv.nets.registry import Shape, register

BOTTLENECK = 4  # a layer's 1x1 convolution gives 4 x growth channels


class Layer(nn.Module):
    """A bottleneck layer: BN-ReLU-1x1, BN-ReLU-3x3; gives ``growth`` new channels."""

    def __init__(self, inputs: int, growth: int) -> None:
        super().__init__()
        self.norm1 = BatchNorm(inputs)
        self.conv1 = nn.Conv2d(inputs, BOTTLENECK * growth, 1, bias=False)
        self.norm2 = BatchNorm(BOTTLENECK * growth)
        self.conv2 = conv3x3(BOTTLENECK * growth, growth)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, inputs, h, w) to (n, inputs + growth, h, w): the new channels follow the old."""
        y = self.conv1(F.relu(self.norm1(x), inplace=True))
        y = self.conv2(F.relu(self.norm2(y), inplace=True))
        return torch.cat((x, y), dim=1)


class DenseNet(Classifier):
    """Four dense blocks with halving transitions between them.

    The taps are the three transitions and the last dense block (after its BN-ReLU): there is no fourth
    transition.

    Source: Huang et al. 2017, DenseNet-BC with compression 0.5; a 3x3 stem without stride and pooling.
    """

    def __init__(self, shape: Shape, growth: int, layers: tuple[int, ...]) -> None:
        channels = 2 * growth
        stem = conv3x3(shape.channels, channels)
        blocks, transitions, taps = [], [], []
        for i, count in enumerate(layers):
            blocks.append(nn.Sequential(*(Layer(channels + j * growth, growth) for j in range(count))))
            channels += count * growth
            if i < len(layers) - 1:
                transitions.append(_transition(channels, channels // 2))
                channels //= 2
            taps.append(channels)
        super().__init__(shape.num_classes, channels, tuple(taps))
        self.stem = stem
        self.blocks = nn.ModuleList(blocks)
        self.transitions = nn.ModuleList(transitions)
        self.norm = BatchNorm(channels)

    def trunk(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Returns the averaged last dense block and the four taps."""
        x = self.stem(images)
        maps = []
        for block, transition in zip(self.blocks, self.transitions, strict=False):
            x = transition(block(x))
            maps.append(x)
        x = F.relu(self.norm(self.blocks[-1](x)), inplace=True)
        return global_average(x), [*maps, x]


def _transition(inputs: int, outputs: int) -> nn.Sequential:
    convolution = nn.Conv2d(inputs, outputs, 1, bias=False)
    return nn.Sequential(BatchNorm(inputs), nn.ReLU(inplace=True), convolution, nn.AvgPool2d(2))


@register(width=32)
def densenet121(shape: Shape, width: int) -> Classifier:
    """DenseNet-121 with growth rate ``width``; 6,956,298 parameters for 10 classes and 3 channels."""
    return DenseNet(shape, width, (6, 12, 24, 16))


@register(width=32)
def densenet201(shape: Shape, width: int) -> Classifier:
    """DenseNet-201 with growth rate ``width``."""
    return DenseNet(shape, width, (6, 12, 48, 32))
