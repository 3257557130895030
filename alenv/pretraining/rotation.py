"""Pretraining by telling how an image was turned."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

from alenv import nets
from alenv.errors import InvalidRecipe
from alenv.learners.images import ImageSet
from alenv.pretraining.pretext import Pretext
from alenv.runtime import Runtime
from alenv.settings import Recipe

TURNS = 4  # by 0, 90, 180 and 270 degrees


class Rotation(Pretext):
    """Which of four rotations an image shows; all four of each image are in one batch.

    Crops and flips come before the rotation, so that they say nothing about it. The task is weaker where a class
    looks the same upside down (0 and 8, shirts).

    Source: Gidaris, Singh and Komodakis 2018, "Unsupervised Representation Learning by Predicting Image Rotations",
        section 3 and its published settings for CIFAR-10.
    Differs: the recipe's backbone in place of a network in network, with its own initialization; the whole trunk is
        kept, not its first two blocks.
    """

    published = Recipe(nesterov=True, milestones=(0.3, 0.6, 0.8), lr_factor=0.2)

    def __init__(self, images: ImageSet, recipe: Recipe) -> None:
        """Takes every training image.

        Raises:
            InvalidRecipe: The images are not square.
        """
        _, height, width = images.shape
        if height != width:
            raise InvalidRecipe(
                f"'rotation' was given for images of {height}x{width}, and only square images can be turned; use "
                "'simclr'."
            )
        super().__init__("rotation", images.known_origin, images.shape, recipe, lambda: images)

    def network(self, generator: torch.Generator) -> nets.Classifier:
        """Builds a classifier of four turns."""
        return self._classifier(TURNS, generator)

    def loss(
        self, network: nets.Classifier, batch: Tensor, generator: torch.Generator, runtime: Runtime
    ) -> Tensor:
        """Returns the cross-entropy over 4 n turned images."""
        raw = self.images.raw(batch)
        turned, answers = rotated(self.augmentation(raw, raw.new_zeros(raw.shape[3]), generator))
        return F.cross_entropy(runtime.outputs(network, self.images.normalize(turned)).logits, answers)


def rotated(images: Tensor) -> tuple[Tensor, Tensor]:
    """Turns images counterclockwise by 0, 90, 180 and 270 degrees, without loss.

    Args:
        images: (n, S, S, C).

    Returns:
        The turned images (4 n, S, S, C), one turn of all after the other, and the turns 0 ... 3, int64 (4 n,).
    """
    turned = torch.cat([torch.rot90(images, turn, (1, 2)) for turn in range(TURNS)])
    return turned, torch.arange(TURNS, device=images.device).repeat_interleave(len(images))
