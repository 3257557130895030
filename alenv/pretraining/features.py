"""What a pretrained trunk says of images: the frozen representation of a whole dataset."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from alenv.batches import in_batches
from alenv.data import Dataset
from alenv.learners.images import ImageSet, Origin, resident
from alenv.pretraining.choice import pretext
from alenv.pretraining.store import key, weights
from alenv.progress import progress
from alenv.runtime import Runtime
from alenv.seeding import Purpose, torch_stream
from alenv.settings import Recipe


def features_key(dataset: Dataset, name: str, recipe: Recipe) -> str:
    """Returns the key of the trunk that ``features`` uses.

    Args:
        dataset: The dataset.
        name: ``"rotation"`` or ``"simclr"``.
        recipe: Backbone, augmentation, and how to pretrain.

    Raises:
        InvalidRecipe: The images do not fit the pretraining.
    """
    return key(pretext(name, _images(dataset, "train", "cpu"), recipe))


def features(dataset: Dataset, name: str, recipe: Recipe, runtime: Runtime) -> np.ndarray:
    """Returns the penultimate features of unaugmented images, float32 (n_train + n_test, D), rows of length 1.

    Args:
        dataset: The dataset; its labels are not looked at.
        name: ``"rotation"`` or ``"simclr"``; pretrained first where that was not done yet.
        recipe: Backbone, augmentation, and how to pretrain.
        runtime: Where to do it.
    """
    task = pretext(name, _images(dataset, "train", runtime.device), recipe)
    trained = weights(task, lambda: runtime)
    network = task.network(torch_stream(0, Purpose.WEIGHTS))
    network.load_state_dict(trained, strict=False)  # what is left is the head, which gives no features
    network = network.to(runtime.device, memory_format=torch.channels_last).eval()  # type: ignore[call-overload]  # no overload has both
    count = len(dataset.train_labels) + len(dataset.test_labels)
    rows = []
    with runtime.active(), torch.no_grad(), progress(f"embedding {dataset.name}", count):
        for images in (task.images, _images(dataset, "test", runtime.device)):

            def score(batch: Tensor, images: ImageSet = images) -> dict[str, Tensor]:
                with runtime.autocast():
                    found = network.features(images.normalize(images.raw(batch)))
                return {"features": F.normalize(found.float(), eps=1e-12)}

            everything = torch.arange(len(images), device=images.device)
            rows.append(in_batches(everything, score)["features"].cpu().numpy())
    return np.concatenate(rows)


def _images(dataset: Dataset, split: str, device: str) -> ImageSet:
    """Returns all images of a split, without a label; they lie on the device once per process."""
    stored = dataset.train_images if split == "train" else dataset.test_images
    tensor = resident(stored, f"{dataset.checksum} {split}", device)
    origin = Origin(dataset.name, dataset.checksum) if split == "train" else None
    return ImageSet(tensor, np.arange(len(stored)), dataset.mean, dataset.std, origin=origin)
