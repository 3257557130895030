"""Puts an environment together: images on the device, learner, oracle and validation split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

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


@dataclass
class Parts:
    """What an environment is made of.

    Attributes:
        images: The pool.
        test: The test set.
        test_labels: int64 (m,), on the device.
        learner: What is trained.
        oracle: The holder of the pool's labels.
        validation: The validation split, or None.
        shared: The first arguments of every view on these images.
    """

    images: ImageSet
    test: ImageSet
    test_labels: Tensor
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
    env_id: str,
) -> Parts:
    """Builds the parts of an environment; images lie on the device once per process.

    Args:
        loaded: The dataset.
        task: What of it is to be learned.
        rows: int64 (N,), the pool's dataset rows.
        validation_rows: int64 (V,), the split's dataset rows.
        settings: Recipe and protocol.
        runtime: Device, precision, threads.
        env_id: Named in error messages.

    Raises:
        InvalidRecipe: A linear head has no embedding of the test images.
    """
    recipe, device = settings.recipe, runtime.device
    embedding = embed(loaded, recipe.embedding, recipe.embedding_size) if recipe.embedding else None
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
    validation = None
    if len(validation_rows):
        held_out = images("train", validation_rows)
        validation = Validation(task.labels[validation_rows], learner, held_out, recipe, runtime, env_id)
    return Parts(
        images=pool,
        test=test,
        test_labels=torch.from_numpy(task.test_labels).to(device),
        learner=learner,
        oracle=Oracle(task.labels[rows], task.num_classes, settings.protocol.label_noise),
        validation=validation,
        shared=(learner, pool, recipe, runtime, env_id),
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
