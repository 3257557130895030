"""What a trunk may be pretrained on: a task of its own, told apart by what it shows and what it asks."""

from __future__ import annotations

import dataclasses
from abc import ABC, abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any, ClassVar

import torch
from torch import Tensor

from alenv import nets
from alenv.learners.augmentation import Augmentation
from alenv.learners.images import ImageSet, Origin
from alenv.runtime import Runtime
from alenv.settings import Recipe

VERSION = 1  # part of every key: raise it whenever weights would come out differently


class Pretext(ABC):
    """A task that gives a trunk its first weights.

    Attributes:
        published: How it is trained as published.
        cropped: Whether it shows the recipe's random crops; its flips it shows in any case.
        name: What it is called.
        origin: The dataset that it trains on.
        shape: (C, H, W) of its images.
        recipe: The environment's; the backbone, its width, flips and crops are taken from it.
        training: How it is trained: as published but for ``pretraining_epochs``, ``..._batch_size`` and ``..._lr``.
        augmentation: The changes of the recipe that leave the answer of every such task as it is.
    """

    published: ClassVar[Recipe]
    cropped: ClassVar[bool] = True

    def __init__(
        self,
        name: str,
        origin: Origin,
        shape: tuple[int, int, int],
        recipe: Recipe,
        images: Callable[[], ImageSet],
    ) -> None:
        """Takes what all such tasks have in common.

        Args:
            name: What it is called.
            origin: The dataset that it trains on.
            shape: (C, H, W) of its images.
            recipe: The environment's.
            images: Gives the images, once and only if they are trained on.
        """
        self.name, self.origin, self.shape, self.recipe = name, origin, shape, recipe
        self._make_images = images
        self.training = dataclasses.replace(
            self.published,
            epochs=recipe.pretraining_epochs or self.published.epochs,
            batch_size=recipe.pretraining_batch_size or self.published.batch_size,
            lr=recipe.pretraining_lr or self.published.lr,
        )
        asked = Augmentation.of(recipe)
        self.augmentation = Augmentation(asked.flip, asked.crop_padding if self.cropped else 0, False, 0)

    @cached_property
    def images(self) -> ImageSet:
        """Every training image of the dataset, once."""
        return self._make_images()

    @abstractmethod
    def network(self, generator: torch.Generator) -> nets.Classifier:
        """Builds the trunk with the head that the task needs, on the CPU, with weights from a generator."""

    @abstractmethod
    def loss(
        self, network: nets.Classifier, batch: Tensor, generator: torch.Generator, runtime: Runtime
    ) -> Tensor:
        """Returns the scalar loss of one step.

        Args:
            network: What ``network`` built, on the device.
            batch: int64 (n,) positions in ``images``.
            generator: CPU generator of crops, flips and views.
            runtime: Device and precision.
        """

    def identity(self) -> dict[str, Any]:
        """Returns all that decides the weights but the machine: JSON values."""
        return {
            "pretraining": self.name,
            "dataset": self.origin.name,
            "checksum": self.origin.checksum,
            "image_shape": list(self.shape),
            "backbone": self.recipe.backbone,
            "width": self.recipe.width,
            "epochs": self.training.epochs,
            "batch_size": self.training.batch_size,
            "lr": self.training.lr,
            "flip": self.augmentation.flip,
            "crop_padding": self.augmentation.crop_padding,
            "precision": self.recipe.precision,
            "version": VERSION,
        }

    def _classifier(self, classes: int, generator: torch.Generator) -> nets.Classifier:
        channels, height, width = self.shape
        return nets.build(
            self.recipe.backbone,
            num_classes=classes,
            channels=channels,
            image_size=(height, width),
            width=self.recipe.width,
            generator=generator,
        )
