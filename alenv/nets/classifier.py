"""The base class of every backbone, and the two layers in which alenv departs from torch's own."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from alenv.errors import InvalidRecipe


class Outputs(NamedTuple):
    """What one forward pass gives.

    Attributes:
        logits: (n, C) float32.
        features: (n, D) float32, penultimate, before dropout.
        feature_maps: Up to four stage outputs (n, c, h, w), in the precision of the pass.
    """

    logits: Tensor
    features: Tensor
    feature_maps: list[Tensor]


class BatchNorm(nn.BatchNorm2d):
    """Batch normalization that also trains on a single value per channel.

    The last batch of an epoch may hold one image, and deep in a network its map may be 1x1. One value has no
    variance, so torch refuses it; here the running statistics normalize it, and they stay as they are.
    """

    def forward(self, input: Tensor) -> Tensor:
        """Normalises (n, c, h, w) per channel."""
        if self.training and input.numel() == input.size(1):
            statistics = (self.running_mean, self.running_var)
            return F.batch_norm(input, *statistics, self.weight, self.bias, training=False, eps=self.eps)
        return super().forward(input)


class Dropout(nn.Module):
    """Dropout whose masks come from a generator of its own, never from the global random state.

    Attributes:
        p: The share of values set to zero, in [0, 1).
        generator: Draws the training masks; the training loop sets it before each cycle.
    """

    def __init__(self, p: float) -> None:
        super().__init__()
        if not 0.0 <= p < 1.0:
            raise InvalidRecipe(f"dropout={p!r} is not a share in [0, 1).")
        self.p = p
        self.generator: torch.Generator | None = None

    def forward(self, x: Tensor) -> Tensor:
        """Zeroes and rescales values in train mode; the identity in eval mode or where p is 0.

        Raises:
            InvalidRecipe: No generator is set.
        """
        if not self.training or self.p == 0.0:
            return x
        if self.generator is None:
            raise InvalidRecipe(
                "Dropout draws its masks from a generator of its own, and none is set; set classifier.dropout."
                "generator = torch.Generator() before a pass in train mode."
            )
        return x * self.mask(x.shape, self.generator).to(x)

    def mask(self, shape: torch.Size | tuple[int, ...], generator: torch.Generator) -> Tensor:
        """Returns a float32 mask of 0 and 1 / (1 - p), on the generator's device."""
        kept = torch.rand(shape, generator=generator, device=generator.device) >= self.p
        return kept.float() / (1.0 - self.p)


class Classifier(nn.Module):
    """An image classifier: a trunk that gives features and stage outputs, dropout, and a linear head.

    Subclasses define ``trunk`` and nothing else.

    Args:
        num_classes: C, the number of classes.
        feature_size: D, the number of penultimate features.
        tap_channels: Channels of the stage outputs that ``trunk`` returns.
    """

    def __init__(self, num_classes: int, feature_size: int, tap_channels: tuple[int, ...]) -> None:
        super().__init__()
        self.num_classes = num_classes
        self.feature_size = feature_size
        self.tap_channels = tap_channels
        self.dropout = Dropout(0.0)
        self.head = nn.Linear(feature_size, num_classes)

    def trunk(self, images: Tensor) -> tuple[Tensor, list[Tensor]]:
        """Maps normalized images (n, c, H, W) to features (n, D) and up to four maps (n, c, h, w)."""
        raise NotImplementedError

    def classify(self, features: Tensor) -> Tensor:
        """Maps features (n, D) to logits (n, C).

        Always in the head's own precision: half-precision logits would tie, and ties have no order.
        """
        with torch.autocast(device_type=features.device.type, enabled=False):
            logits: Tensor = self.head(self.dropout(features.to(self.head.weight.dtype)))
        return logits

    def forward(self, images: Tensor) -> Tensor:
        """Maps normalized images (n, c, H, W) to logits (n, C)."""
        return self.classify(self.trunk(images)[0])

    def outputs(self, images: Tensor) -> Outputs:
        """Returns logits, features and feature maps of one forward pass."""
        features, maps = self.trunk(images)
        return Outputs(self.classify(features), features, maps)

    def features(self, images: Tensor) -> Tensor:
        """Maps normalized images (n, c, H, W) to penultimate features (n, D)."""
        return self.trunk(images)[0]

    def feature_maps(self, images: Tensor) -> list[Tensor]:
        """Maps normalized images (n, c, H, W) to up to four stage outputs (n, c, h, w)."""
        return self.trunk(images)[1]

    def member_masks(self, count: int, generator: torch.Generator) -> Tensor:
        """Draws one dropout mask per member, (count, D) float32, to be shared by all images.

        Every mask is ones where dropout is 0.
        """
        return self.dropout.mask((count, self.feature_size), generator)


@contextmanager
def aside(classifier: Classifier, generator: torch.Generator) -> Iterator[None]:
    """Lets passes in train mode leave the classifier as it was, and its dropout's generator too.

    Inside, BatchNorm normalizes by the batch without noting it in the running statistics.

    Args:
        classifier: The network.
        generator: Draws the dropout masks meanwhile.
    """
    noting = [
        layer for layer in classifier.modules() if isinstance(layer, _BatchNorm) and layer.track_running_stats
    ]
    before = classifier.dropout.generator
    classifier.dropout.generator = generator
    for layer in noting:
        layer.track_running_stats = False
    try:
        yield
    finally:
        classifier.dropout.generator = before
        for layer in noting:
            layer.track_running_stats = True


def global_average(maps: Tensor) -> Tensor:
    """Averages maps (n, c, h, w) over space to (n, c), at least in float32.

    A plain mean, not adaptive pooling, whose gradient is not deterministic on CUDA.
    """
    return maps.to(torch.promote_types(maps.dtype, torch.float32)).mean((2, 3))


def halve(maps: Tensor) -> Tensor:
    """Max-pools maps (n, c, h, w) 2x2; skipped once they are one pixel high or wide, so that 8x8 images pass."""
    return F.max_pool2d(maps, 2) if min(maps.shape[2:]) > 1 else maps


def conv3x3(inputs: int, outputs: int, stride: int = 1) -> nn.Conv2d:
    """A 3x3 convolution that keeps the size at stride 1; without bias, since BatchNorm follows."""
    return nn.Conv2d(inputs, outputs, 3, stride, padding=1, bias=False)
