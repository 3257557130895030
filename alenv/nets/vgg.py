"""VGG with BatchNorm for small images."""

from __future__ import annotations

from torch import Tensor, nn

from alenv.nets.classifier import BatchNorm, Classifier, conv3x3, global_average, halve
from alenv.nets.registry import Shape, register

MULTIPLES = (1, 2, 4, 8, 8)  # channels of the five stages, in widths
TAPS = 4


class VGG(Classifier):
    """Five stages of 3x3 convolutions, each ended by a 2x2 max-pool; one linear layer as head.

    A pool is skipped once the map is one pixel high or wide, so that 8x8 images pass. The taps are the last
    four stage outputs, pooled or not.

    Source: Simonyan & Zisserman 2015, configurations A and D.
    Differs: BatchNorm after every convolution (and so no bias), and one linear layer instead of three: the
    usual form for 32x32 images.
    """

    def __init__(self, shape: Shape, width: int, convolutions: tuple[int, ...]) -> None:
        channels = tuple(width * multiple for multiple in MULTIPLES)
        super().__init__(shape.num_classes, channels[-1], channels[-TAPS:])
        self.stages = nn.ModuleList()
        inputs = shape.channels
        for outputs, count in zip(channels, convolutions, strict=True):
            layers: list[nn.Module] = []
            for _ in range(count):
                layers += [conv3x3(inputs, outputs), BatchNorm(outputs), nn.ReLU(inplace=True)]
                inputs = outputs
            self.stages.append(nn.Sequential(*layers))

    def trunk(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Returns the averaged last stage (n, 8 * width) and the last four stage outputs."""
        x = images
        maps = []
        for stage in self.stages:
            x = halve(stage(x))
            maps.append(x)
        return global_average(x), maps[-TAPS:]


@register(width=64)
def vgg11(shape: Shape, width: int) -> Classifier:
    """VGG-11 with BatchNorm."""
    return VGG(shape, width, (1, 1, 2, 2, 2))


@register(width=64)
def vgg16(shape: Shape, width: int) -> Classifier:
    """VGG-16 with BatchNorm; 14,724,042 parameters for 10 classes and 3 channels."""
    return VGG(shape, width, (2, 2, 3, 3, 3))
