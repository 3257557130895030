"""Puts an environment together: images on the device, learner, oracle, and the view on them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv import data, nets, pretraining
from alenv.data import Dataset
from alenv.embedding import embed
from alenv.errors import InvalidRecipe
from alenv.learners import registry
from alenv.learners.images import ImageSet, Origin, resident
from alenv.learners.protocol import Learner
from alenv.oracle import Oracle
from alenv.pool import Task
from alenv.scores import Facts
from alenv.settings import FOLDER_OPTIONS, LINEAR_HEADS, Options, Recipe
from alenv.view import Validation, View

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
        view: What agents may read of them.
    """

    images: ImageSet
    test: Split
    held_out: Split | None
    learner: Learner
    oracle: Oracle
    view: View


def load_dataset(dataset: str, options: Options) -> Dataset:
    """Returns the dataset of an environment's settings; see ``alenv.data.load``."""
    folder = {name: getattr(options, name) for name in FOLDER_OPTIONS}
    return data.load(dataset, **(folder if dataset == "image_folder" else {}))


def assemble(
    loaded: Dataset, task: Task, rows: Indices, validation_rows: Indices, facts: Facts, device: str = "auto"
) -> Parts:
    """Builds the parts of an environment; images lie on the device once per process.

    Args:
        loaded: The dataset.
        task: What of it is to be learned.
        rows: int64 (N,), the pool's dataset rows.
        validation_rows: int64 (V,), the split's dataset rows.
        facts: Recipe, protocol, runtime.
        device: What the user asked for: a trunk for frozen features is pretrained there, on all threads, also where
            the linear head on them is fitted on a CPU by default.

    Raises:
        InvalidRecipe: A linear head has no embedding of the test images, or pretrained weights do not fit.
        UnknownName: There is no such backbone or head.
    """
    recipe, runtime = facts.recipe, facts.runtime
    # What a linear head does not use is refused all the same where it is misspelled, and all before anything long.
    nets.check(recipe.backbone)
    if recipe.pretraining:
        pretraining.check(recipe.pretraining)
    learner_class = registry.find(recipe.head)
    learner_class.offers(recipe)
    embedding = None
    if recipe.embedding:
        embedding = embed(loaded, recipe.embedding, recipe.embedding_size, recipe, device)
    with runtime.active():  # not what comes before: an embedding takes all the threads there are
        of_train, of_test = _split(embedding, len(loaded.train_labels), recipe)

        def images(split: str, chosen: Indices) -> ImageSet:
            stored = loaded.train_images if split == "train" else loaded.test_images
            frozen = of_train if split == "train" else of_test
            tensor = resident(stored, f"{loaded.checksum} {split}", runtime.device)
            origin = Origin(loaded.name, loaded.checksum) if split == "train" else None
            return ImageSet(tensor, chosen, loaded.mean, loaded.std, frozen, origin)

        pool, test = images("train", rows), images("test", task.test_rows)
        learner = learner_class.build(recipe, pool, task.num_classes, runtime)
        oracle = Oracle(task.labels[rows], task.num_classes, facts.protocol.label_noise)
        costs: dict[str, float] = {}
        held_out, validation = None, None
        if len(validation_rows):
            labels = task.labels[validation_rows]
            held_out = Split(images("train", validation_rows), torch.from_numpy(labels).to(runtime.device))
            validation = Validation(labels, facts, learner, held_out.images, costs)
        return Parts(
            images=pool,
            test=Split(test, torch.from_numpy(task.test_labels).to(runtime.device)),
            held_out=held_out,
            learner=learner,
            oracle=oracle,
            view=View(facts, learner, pool, oracle=oracle, validation=validation, costs=costs),
        )


def _split(
    embedding: np.ndarray | None, train: int, recipe: Recipe
) -> tuple[np.ndarray | None, np.ndarray | None]:
    """Parts an embedding into train and test rows; a file may hold train rows alone, except for a linear head."""
    if embedding is None:
        return None, None
    if len(embedding) > train:
        return embedding[:train], embedding[train:]
    if recipe.head in LINEAR_HEADS:
        raise InvalidRecipe(
            f"embedding={recipe.embedding!r} has no rows for the test images; give one row per training "
            "image followed by one per test image."
        )
    return embedding, None
