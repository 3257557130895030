"""Puts an environment together: images on the device, learner, oracle and validation split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv import nets
from alenv.data import Dataset
from alenv.embedding import embed
from alenv.errors import InvalidRecipe
from alenv.heads import RidgeLearner
from alenv.oracle import Oracle
from alenv.pool import Task
from alenv.presets import Settings
from alenv.runtime import Runtime
from alenv.scored import Learner
from alenv.training.images import ImageSet, resident
from alenv.training.network import NetworkLearner
from alenv.view import Validation

Indices = NDArray[np.int64]


class Split(NamedTuple):
    """Images to measure accuracy on.

    Attributes:
        images: n of them.
        labels: int64 (n,), on the device.
    """

    images: ImageSet
    labels: Tensor


@dataclass
class Parts:
    """What an environment is made of.

    Attributes:
        images: The pool.
        test: The test set.
        held_out: The validation split, or None.
        learner: What is trained.
        oracle: The holder of the pool's labels.
        validation: What agents may read of the validation split, or None.
        shared: The first arguments of every view on these images.
    """

    images: ImageSet
    test: Split
    held_out: Split | None
    learner: Learner
    oracle: Oracle
    validation: Validation | None
    shared: tuple[Any, ...]


def assemble(
    loaded: Dataset,
    task: Task,
    rows: Indices,
    validation_rows: Indices,
    settings: Settings,
    runtime: Runtime,
    spelling: str,
) -> Parts:
    """Builds the parts of an environment; images lie on the device once per process.

    Args:
        loaded: The dataset.
        task: What of it is to be learned.
        rows: int64 (N,), the pool's dataset rows.
        validation_rows: int64 (V,), the split's dataset rows.
        settings: Recipe and protocol.
        runtime: Device, precision, threads.
        spelling: The arguments of ``gym.make`` that error messages show.

    Raises:
        InvalidRecipe: A linear head has no embedding of the test images.
        UnknownName: There is no such backbone.
    """
    recipe, device = settings.recipe, runtime.device
    nets.check(recipe.backbone)  # a linear head has none, but a misspelled setting is refused all the same
    embedding = embed(loaded, recipe.embedding, recipe.embedding_size) if recipe.embedding else None
    with runtime.active():  # not what comes before: an embedding takes all the threads there are
        of_train, of_test = _split(embedding, len(loaded.train_labels), settings)

        def images(split: str, chosen: Indices) -> ImageSet:
            stored = loaded.train_images if split == "train" else loaded.test_images
            frozen = of_train if split == "train" else of_test
            tensor = resident(stored, f"{loaded.checksum} {split}", device)
            return ImageSet(tensor, chosen, loaded.mean, loaded.std, frozen)

        pool, test = images("train", rows), images("test", task.test_rows)
        if recipe.head == "ridge":
            assert of_train is not None, "the recipe requires an embedding for this head"
            learner: Learner = RidgeLearner(recipe, of_train.shape[1], task.num_classes, runtime)
        else:
            learner = NetworkLearner(recipe, pool.shape, task.num_classes, runtime)
        held_out, validation = None, None
        if len(validation_rows):
            labels = task.labels[validation_rows]
            held_out = Split(images("train", validation_rows), torch.from_numpy(labels).to(device))
            validation = Validation(labels, learner, held_out.images, recipe, runtime, spelling)
        return Parts(
            images=pool,
            test=Split(test, torch.from_numpy(task.test_labels).to(device)),
            held_out=held_out,
            learner=learner,
            oracle=Oracle(task.labels[rows], task.num_classes, settings.protocol.label_noise),
            validation=validation,
            shared=(learner, pool, recipe, runtime, spelling),
        )


def _split(
    embedding: np.ndarray | None, train: int, settings: Settings
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Parts an embedding into train and test rows; a file may hold train rows alone, except for a linear head."""
    if embedding is None:
        return None, None
    if len(embedding) > train:
        return embedding[:train], embedding[train:]
    if settings.recipe.head == "ridge":
        raise InvalidRecipe(
            f"embedding={settings.recipe.embedding!r} has no rows for the test images; give one row per training "
            "image followed by one per test image."
        )
    return embedding, None
