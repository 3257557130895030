"""LeNet-5 in its modern form."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F

from alenv.nets.classifier import Classifier
from alenv.nets.registry import Shape, register

SMALLEST_INPUT = 32  # LeCun et al. pad 28x28 digits to 32x32
CHANNELS = (6, 16)


class LeNet(Classifier):
    """Two 5x5 convolutions with ReLU and 2x2 max-pools, then layers of 120 and 84 and the head.

    Images below 32x32 are padded with zeros, which is the mean color after normalization. The taps are the
    two pool outputs.

    Source: LeCun et al. 1998.
    Differs: ReLU, max-pooling and full connections instead of the 1998 forms.
    """

    def __init__(self, shape: Shape) -> None:
        super().__init__(shape.num_classes, 84, CHANNELS)
        self.conv1 = nn.Conv2d(shape.channels, CHANNELS[0], 5)
        self.conv2 = nn.Conv2d(CHANNELS[0], CHANNELS[1], 5)
        height, width = (_pooled(_pooled(max(side, SMALLEST_INPUT))) for side in (shape.height, shape.width))
        self.linear1 = nn.Linear(CHANNELS[1] * height * width, 120)
        self.linear2 = nn.Linear(120, 84)

    def trunk(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Returns the 84 features and the two pool outputs."""
        height, width = images.shape[2:]
        down, right = max(0, SMALLEST_INPUT - height), max(0, SMALLEST_INPUT - width)
        x = F.pad(images, (right // 2, right - right // 2, down // 2, down - down // 2))
        first = F.max_pool2d(F.relu(self.conv1(x)), 2)
        second = F.max_pool2d(F.relu(self.conv2(first)), 2)
        features = F.relu(self.linear2(F.relu(self.linear1(second.flatten(1)))))
        return features.to(self.head.weight.dtype), [first, second]


def _pooled(side: int) -> int:
    """Side of the map after a 5x5 convolution without padding and a 2x2 pool."""
    return (side - 4) // 2


@register(width=None, fixed_size=True)
def lenet(shape: Shape, width: int) -> Classifier:
    """LeNet-5 style; the published sizes only, so it takes no width."""
    del width
    return LeNet(shape)
