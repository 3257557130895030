"""The random changes that training applies to a batch of images."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from alenv.learners.trivial import trivial_augment
from alenv.settings import Recipe


@dataclass(frozen=True)
class Augmentation:
    """Random crop, flip and cutout of uint8 batches, as index arithmetic, and TrivialAugment.

    Attributes:
        flip: Horizontal flip with probability one half.
        crop_padding: Zero pixels on each side before the random crop back to size.
        trivial: One random operation (geometry or color) of random strength on each image, after the crop.
        cutout: Side of a random square that is filled with the mean color; 0 for none.

    Source: the paper, section 3 (flip, crop after zero padding by 4); Mueller and Hutter 2021 for
    TrivialAugment; DeVries and Taylor 2017 for cutout.
    """

    flip: bool
    crop_padding: int
    trivial: bool
    cutout: int

    @classmethod
    def of(cls, recipe: Recipe) -> Augmentation:
        """Reads the augmentation of a recipe; ``augment=False`` switches all of it off."""
        if not recipe.augment:
            return cls(False, 0, False, 0)
        return cls(recipe.flip, recipe.crop_padding, recipe.trivial_augment, recipe.cutout)

    def __call__(self, images: Tensor, fill: Tensor, generator: torch.Generator) -> Tensor:
        """Augments a batch.

        Args:
            images: uint8 (n, H, W, C).
            fill: uint8 (C,), the color inside the cutout square and beside a turned or shifted image.
            generator: CPU generator; it advances by the same amount whatever is switched on, and with TrivialAugment
                by three numbers an image more.

        Returns:
            A uint8 batch of the same shape.
        """
        n, height, width, _ = images.shape
        # One draw per batch and one copy to the device: flip, crop row and column, cutout row and column.
        draw = torch.rand(n, 5, generator=generator).to(images.device)
        if self.flip or self.crop_padding:
            images = self._crop_and_flip(images, draw, height, width)
        if self.trivial:
            images = trivial_augment(images, fill, generator)
        if self.cutout:
            images = self._cut(images, draw, fill, height, width)
        return images

    def _crop_and_flip(self, images: Tensor, draw: Tensor, height: int, width: int) -> Tensor:
        n, pad, device = len(images), self.crop_padding, images.device
        rows = torch.arange(height, device=device).expand(n, height)
        columns = torch.arange(width, device=device).expand(n, width)
        if self.flip:
            columns = torch.where(draw[:, :1] < 0.5, columns.flip(1), columns)
        if pad:
            images = F.pad(images, (0, 0, pad, pad, pad, pad))
            rows = rows + (draw[:, 1:2] * (2 * pad + 1)).long()
            columns = columns + (draw[:, 2:3] * (2 * pad + 1)).long()
        batch = torch.arange(n, device=device)[:, None, None]
        return images[batch, rows[:, :, None], columns[:, None, :]]

    def _cut(self, images: Tensor, draw: Tensor, fill: Tensor, height: int, width: int) -> Tensor:
        # The square's center lies anywhere in the image, so squares at the border are smaller.
        top = (draw[:, 3:4] * height).long() - self.cutout // 2
        left = (draw[:, 4:5] * width).long() - self.cutout // 2
        rows = torch.arange(height, device=images.device)
        columns = torch.arange(width, device=images.device)
        inside_rows = (rows >= top) & (rows < top + self.cutout)
        inside_columns = (columns >= left) & (columns < left + self.cutout)
        square = inside_rows[:, :, None] & inside_columns[:, None, :]
        return torch.where(square[..., None], fill, images)
