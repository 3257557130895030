"""A small convolutional network for small images and CPUs."""

from __future__ import annotations

from torch import Tensor, nn

from alenv.nets.classifier import BatchNorm, Classifier, conv3x3, global_average
from alenv.nets.registry import Shape, register


class ConvNet(Classifier):
    """Three stages conv-BN-ReLU with strides 1, 2, 2 and doubling channels; the taps are their outputs."""

    def __init__(self, shape: Shape, width: int) -> None:
        channels = (width, 2 * width, 4 * width)
        super().__init__(shape.num_classes, channels[-1], channels)
        self.stages = nn.ModuleList()
        inputs = shape.channels
        for outputs, stride in zip(channels, (1, 2, 2), strict=True):
            layers = (conv3x3(inputs, outputs, stride), BatchNorm(outputs), nn.ReLU(inplace=True))
            self.stages.append(nn.Sequential(*layers))
            inputs = outputs

    def trunk(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Returns the averaged last stage (n, 4 * width) and the three stage outputs."""
        x = images
        maps = []
        for stage in self.stages:
            x = stage(x)
            maps.append(x)
        return global_average(x), maps


@register(width=32)
def convnet(shape: Shape, width: int) -> Classifier:
    """Three convolutions; 94,186 parameters for 10 classes and 1 channel."""
    return ConvNet(shape, width)
