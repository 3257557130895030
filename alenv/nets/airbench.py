"""The airbench network: wide at low resolution, so that a short training gets far on little arithmetic."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alenv.nets.classifier import BatchNorm, Classifier, conv3x3, halve
from alenv.nets.registry import Shape, register

MULTIPLES = (1, 4, 4)  # channels of the three blocks, in widths
STEM = 24


class PoolingBlock(nn.Module):
    """Convolution, 2x2 max-pool, BatchNorm, GELU, convolution, BatchNorm, GELU."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs)
        self.norm1 = BatchNorm(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.norm2 = BatchNorm(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, inputs, h, w) to (n, outputs, h // 2, w // 2), or to h by w where that would be empty."""
        y = F.gelu(self.norm1(halve(self.conv1(x))))
        return F.gelu(self.norm2(self.conv2(y)))


class Airbench(Classifier):
    """A 2x2 stem and three blocks, ended by the largest value of each channel; the taps are the block outputs.

    Source: Jordan 2024, "94% on CIFAR-10 in 3.29 Seconds on a Single GPU", the network of its section 3.
    Differs: the stem is learned like any layer instead of set to whitening filters, the other weights start as
    PyTorch's do instead of near the identity, BatchNorm's scales are trained, and the logits are not scaled.
    """

    def __init__(self, shape: Shape, width: int) -> None:
        channels = tuple(width * multiple for multiple in MULTIPLES)
        super().__init__(shape.num_classes, channels[-1], channels)
        self.stem = nn.Conv2d(shape.channels, STEM, 2)
        self.stages = nn.ModuleList()
        inputs = STEM
        for outputs in channels:
            self.stages.append(PoolingBlock(inputs, outputs))
            inputs = outputs

    def trunk(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Returns the maximum over the last block's map (n, 4 * width), and all block outputs."""
        x = F.gelu(self.stem(images))
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return x.to(torch.promote_types(x.dtype, torch.float32)).amax((2, 3)), maps


@register(width=64)
def airbench(shape: Shape, width: int) -> Classifier:
    """The airbench network; 1,972,802 parameters for 10 classes and 3 channels."""
    return Airbench(shape, width)
