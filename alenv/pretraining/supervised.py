"""Pretraining on the labels of another dataset."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alenv import nets
from alenv.data import Dataset
from alenv.learners.images import ImageSet, Origin
from alenv.pretraining.pretext import Pretext
from alenv.runtime import Runtime
from alenv.settings import Recipe

_BLOCK = 4096


class OtherLabels(Pretext):
    """The classes of another dataset, all its training images with their labels.

    Its images are brought to the size of the environment's; each new pixel averages what it covers.

    Source: "Best Practices in Pool-based Active Learning for Image Classification", section A.11.3, with the recipe of
        section 3.
    """

    published = Recipe()

    def __init__(self, dataset: Dataset, images: ImageSet, recipe: Recipe) -> None:
        """Takes the other dataset.

        Args:
            dataset: The other dataset, with as many channels.
            images: The environment's, for their size and device.
            recipe: The environment's.
        """
        self._dataset, self._device = dataset, images.device
        origin = Origin(dataset.name, dataset.checksum)
        super().__init__("labels", origin, images.shape, recipe, self._resized)

    def _resized(self) -> ImageSet:
        dataset, (_, height, width) = self._dataset, self.shape
        stored = torch.from_numpy(resized(dataset.train_images, height, width)).to(self._device)
        return ImageSet(stored, np.arange(len(stored)), dataset.mean, dataset.std, origin=self.origin)

    @cached_property
    def _labels(self) -> Tensor:
        return torch.tensor(self._dataset.train_labels).to(self._device)

    def network(self, generator: torch.Generator) -> nets.Classifier:
        """Builds a classifier of the other dataset's classes."""
        return self._classifier(max(2, self._dataset.num_classes), generator)

    def loss(
        self, network: nets.Classifier, batch: Tensor, generator: torch.Generator, runtime: Runtime
    ) -> Tensor:
        """Returns the cross-entropy over n images."""
        pictures = self.images.augmented(self.images.raw(batch), self.augmentation, generator)
        return F.cross_entropy(runtime.outputs(network, pictures).logits, self._labels[batch])


def resized(images: np.ndarray, height: int, width: int) -> np.ndarray:
    """Returns uint8 images (n, h, w, C) as uint8 (n, height, width, C), bilinear with antialiasing."""
    if images.shape[1:3] == (height, width):
        return np.array(images)
    parts = []
    for start in range(0, len(images), _BLOCK):
        pictures = torch.from_numpy(np.array(images[start : start + _BLOCK])).permute(0, 3, 1, 2).float()
        size = F.interpolate(pictures, (height, width), mode="bilinear", align_corners=False, antialias=True)
        parts.append(size.round().clamp(0, 255).to(torch.uint8).permute(0, 2, 3, 1).contiguous().numpy())
    return np.concatenate(parts)
