"""ResNet-18 with the CIFAR stem."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from alenv.nets.classifier import BatchNorm, Classifier, conv3x3, global_average
from alenv.nets.registry import Shape, register


class Subsample(nn.Module):
    """Keeps every ``stride``-th row and column.

    Before a 1x1 convolution this is the strided convolution. That one itself overwrites memory in torch 2.14 on
    CPUs when it runs channels-last on two threads: seen with 8 and 12 input channels, not with 16, 32 or 64.
    """

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, c, h, w) to (n, c, ceil(h / stride), ceil(w / stride))."""
        return x[:, :, :: self.stride, :: self.stride]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut, projected where size or channels change."""

    def __init__(self, inputs: int, outputs: int, stride: int) -> None:
        super().__init__()
        self.conv1 = conv3x3(inputs, outputs, stride)
        self.norm1 = BatchNorm(outputs)
        self.conv2 = conv3x3(outputs, outputs)
        self.norm2 = BatchNorm(outputs)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or inputs != outputs:
            self.shortcut = nn.Sequential(
                Subsample(stride), nn.Conv2d(inputs, outputs, 1, bias=False), BatchNorm(outputs)
            )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        y = F.relu(self.norm1(self.conv1(x)), inplace=True)
        y = self.norm2(self.conv2(y))
        return F.relu(y + self.shortcut(x), inplace=True)


class ResNet(Classifier):
    """A 3x3 stem and four stages of basic blocks; the taps are the stage outputs.

    Source: He et al. 2016; the stem without stride and pooling is the usual one for 32x32 images.
    """

    def __init__(self, shape: Shape, width: int, blocks: tuple[int, ...]) -> None:
        channels = tuple(width * 2**i for i in range(len(blocks)))
        super().__init__(shape.num_classes, channels[-1], channels)
        self.stem = nn.Sequential(conv3x3(shape.channels, width), BatchNorm(width), nn.ReLU(inplace=True))
        self.stages = nn.ModuleList()
        inputs = width
        for i, outputs in enumerate(channels):
            first = BasicBlock(inputs, outputs, stride=1 if i == 0 else 2)
            rest = [BasicBlock(outputs, outputs, stride=1) for _ in range(blocks[i] - 1)]
            self.stages.append(nn.Sequential(first, *rest))
            inputs = outputs

    def trunk(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Returns the averaged last stage (n, 8 * width) and all stage outputs."""
        x = self.stem(images)
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return global_average(x), maps


@register(width=64)
def resnet18(shape: Shape, width: int) -> Classifier:
    """ResNet-18: four stages of two blocks; 11,173,962 parameters for 10 classes and 3 channels."""
    return ResNet(shape, width, (2, 2, 2, 2))
