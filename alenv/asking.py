"""A pool whose labels are asked of a person: what an environment is, without the answers."""

from __future__ import annotations

import dataclasses
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cross_entropy

from alenv.data.dataset import channel_statistics
from alenv.episode import Episode
from alenv.errors import InvalidQuery, InvalidRecipe, MissingHead
from alenv.learners import registry
from alenv.learners.images import ImageSet
from alenv.learners.logistic import LogisticLearner
from alenv.learners.protocol import Predictions
from alenv.oracle import Oracle
from alenv.pool import OUTLIER
from alenv.queries import candidate_count
from alenv.runtime import Runtime, resolve
from alenv.scores import Facts
from alenv.settings import LINEAR_HEADS, Protocol, Recipe
from alenv.view import Validation, View

Indices = NDArray[np.int64]

PENALTIES = (0.001, 0.01, 0.1, 1.0)  # that cross-validation chooses from
_FOLDS = 3
_MOST_LABELS = 1000  # that it looks at
_ENOUGH = 300  # labels of which one third tells the penalties apart as well as three do
_GREY = (0.5, 0.5, 0.5)


class _Unread(ImageSet):
    """Images of which only the features are known."""

    def raw(self, indices: Tensor) -> Tensor:
        raise MissingHead(
            "The agent reads pixels, and here images are known by their features alone; choose one that does not, "
            "such as margin or typiclust."
        )


class _Pixels(NamedTuple):
    """Images, uint8 (n, H, W, C), with mean and standard deviation of each channel."""

    stored: Tensor
    mean: tuple[float, ...]
    std: tuple[float, ...]


class Asking:
    """Views of images of which some are labeled, for any agent that gets along with what its classifier gives.

    A view is that of an environment in cycle 0: the labels that are known are its initial
    set, the held-out ones its validation split, and no other label can be read, for nobody knows it yet::

        asking = Asking(features, labels, 3)
        agent = agents.make("margin")
        agent.reset(asking.view(20), seed=0)
        wanted = asking.rows[agent.act(None)]  # 20 rows of ``features`` to label next

    Attributes:
        rows: int64 (N,), the row of ``features`` of each pool index: all that are neither held out nor left out.
        room: Images of the pool that have no label.
        right: How many of the held-out images the classifier gets right.
        penalty: Of a logistic head.
    """

    def __init__(
        self,
        features: np.ndarray,
        labels: Indices,
        num_classes: int,
        *,
        held_out: Indices | None = None,
        left_out: Indices | None = None,
        embedding: str = "features",
        penalty: float | None = None,
        recipe: Recipe | None = None,
        images: np.ndarray | None = None,
        seed: int = 0,
        device: str = "auto",
    ) -> None:
        """Fits the classifier to the labels.

        Args:
            features: float (n, D), a row per image; they are scaled to unit length.
            labels: int64 (n,), -1 where the label is not known.
            num_classes: Classes that there are so far; a classifier of fewer than two is one of two.
            held_out: Rows that measure accuracy and teach nothing; each has a label.
            left_out: Rows that are not asked for, whatever the reason.
            embedding: What the features are called.
            penalty: Of the logistic head; None = cross-validated.
            recipe: How the classifier is trained; None = logistic regression. ``embedding`` and ``penalty`` replace
                what it says of them.
            images: uint8 (n, H, W, C), for a recipe that trains a network; None = they are known by their features.
            seed: Decides the candidates, and the folds of the cross-validation.
            device: ``"auto"`` (of a linear head the CPU) or a torch device.

        Raises:
            InvalidQuery: Shapes do not fit, or a label is no class.
            InvalidRecipe: The recipe trains a network, and there are no images.
        """
        features, labels = np.asarray(features), np.asarray(labels)
        split = _indices(held_out)
        _check(features, labels, num_classes, split)
        passed = np.zeros(len(features), dtype=bool)
        passed[split] = passed[_indices(left_out)] = True
        self.rows: Indices = np.flatnonzero(~passed)
        known = labels[self.rows]
        labeled = np.flatnonzero(known != OUTLIER)
        self.room = len(self.rows) - len(labeled)
        recipe = dataclasses.replace(
            recipe or Recipe(head="logistic", embedding=embedding, start="cold"), embedding=embedding
        )
        linear = recipe.head in LINEAR_HEADS
        if not linear and images is None:
            raise InvalidRecipe(
                f"head={recipe.head!r} was given without images; give images=, or a linear head."
            )
        precision, place = ("fp32", "cpu") if linear else (recipe.precision, "auto")
        self._runtime = resolve(device, precision, torch.get_num_threads(), place)
        self._classes = classes = max(2, num_classes)
        # Waiting for another thread takes longer than most fits of a head, on a busy machine many times as long.
        fitting = dataclasses.replace(self._runtime, threads=1) if linear else self._runtime
        with fitting.active():
            self._features = _unit_length(features)
            self._pixels: _Pixels | None = None
            if images is not None:
                stored = torch.from_numpy(images).to(self._runtime.device)
                self._pixels = _Pixels(stored, *channel_statistics(images))
            self._pool, self._held = (self._images(each) for each in (self.rows, split))
            self.penalty = penalty or recipe.logistic_penalty
            if recipe.head == "logistic" and penalty is None:
                self.penalty = cross_validated(
                    self._pool, labeled, known[labeled], classes, recipe, self._runtime, seed
                )
            self._recipe = dataclasses.replace(recipe, logistic_penalty=self.penalty)
            self._learner = registry.find(recipe.head).build(self._recipe, self._pool, classes, self._runtime)
            self._learner.begin(seed)
            self._oracle = Oracle(known, classes, 0.0)
            self._oracle.begin(seed)
            self._learner.fit(self._pool, labeled, self._oracle.reveal(labeled), 0)
            self._split_labels = labels[split]
        self.right = int((self._classified(self._held) == self._split_labels).sum())
        # There is no test set; its one entry says that this is cycle 0, and the view does not show it.
        measured = (self.right,) if len(split) else ()
        self._episode = Episode(seed, labeled, known[labeled], len(labeled), (0,), measured)

    def predict(self, rows: Indices) -> Indices:
        """Returns the likeliest class of images, int64 (n,), for rows of ``features``, int64 (n,)."""
        return self._classified(self._images(rows))

    def _classified(self, images: ImageSet) -> Indices:
        if not len(images):
            return _indices(None)
        with self._runtime.active():
            found = self._learner.predict(images)
            classes = found.classes if isinstance(found, Predictions) else found
            return classes.cpu().numpy()

    def _images(self, rows: Indices) -> ImageSet:
        rows = _indices(rows)
        if self._pixels is not None:
            return ImageSet(self._pixels.stored, rows, self._pixels.mean, self._pixels.std, self._features)
        return _unread(self._features, rows, self._runtime)

    def view(self, query_size: int) -> View:
        """Returns a view for a query of so many images (B).

        Raises:
            InvalidQuery: Fewer images are unlabeled.
        """
        if not 1 <= query_size <= self.room:
            raise InvalidQuery(
                f"{query_size} images were asked for, and {self.room} are unlabeled; ask for 1 to {self.room}."
                if self.room
                else "Every image is labeled or left out, so that there is none to ask for."
            )
        labeled, split = len(self._episode.labeled), len(self._held)
        protocol = Protocol(labeled, query_size, query_size, validation=split)
        count = candidate_count(None, query_size, self.room)
        spelling = '"ALImageFolderLogistic-v0"'
        facts = Facts(self._recipe, protocol, self._runtime, self._classes, count, spelling)
        validation = Validation(self._split_labels, facts, self._learner, self._held) if split else None
        view = View(facts, self._learner, self._pool, oracle=self._oracle, validation=validation)
        view._renew(self._episode, None)
        return view


def cross_validated(
    images: ImageSet,
    labeled: Indices,
    labels: Indices,
    num_classes: int,
    recipe: Recipe,
    runtime: Runtime,
    seed: int,
) -> float:
    """Returns the penalty of the logistic head with the least log loss in three stratified folds.

    Of many labels, one of the folds is enough. Without two labels of each of two classes that says nothing, and it is
    the recipe's.

    Args:
        images: The pool, with an embedding.
        labeled: int64 (L,) pool indices; of more than 1000, so many at random are looked at.
        labels: int64 (L,), their classes.
        num_classes: C.
        recipe: With the logistic head.
        runtime: Where to compute.
        seed: Decides the folds.
    """
    if (np.bincount(labels, minlength=2) >= 2).sum() < 2:
        return recipe.logistic_penalty
    order = np.random.default_rng(seed).permutation(len(labels))[:_MOST_LABELS]
    order = order[np.argsort(labels[order], kind="stable")]
    fold = np.arange(len(order)) % _FOLDS
    truth = torch.from_numpy(labels).to(runtime.device)

    def loss(penalty: float) -> float:
        head = LogisticLearner.build(
            dataclasses.replace(recipe, logistic_penalty=penalty, start="cold"), images, num_classes, runtime
        )
        total = 0.0
        for part in range(_FOLDS if len(order) < _ENOUGH else 1):
            own, other = order[fold != part], order[fold == part]
            head.fit(images, labeled[own], labels[own], 0)
            asked = torch.from_numpy(labeled[other]).to(runtime.device)
            logits = head.infer(images, asked)["logits"]
            total += float(cross_entropy(logits, truth[torch.from_numpy(other)], reduction="sum"))
        return total

    return min(PENALTIES, key=loss)


def _indices(given: Indices | None) -> Indices:
    return np.zeros(0, dtype=np.int64) if given is None else np.asarray(given, dtype=np.int64)


def _check(features: np.ndarray, labels: Indices, num_classes: int, split: Indices) -> None:
    if features.ndim != 2 or labels.shape != features.shape[:1]:
        raise InvalidQuery(
            f"Features of shape {features.shape} and labels of shape {labels.shape} were given; give a row and a "
            "label for each image, (n, D) and (n,)."
        )
    if len(labels) and not OUTLIER <= labels.min() <= labels.max() < num_classes:
        raise InvalidQuery(
            f"Labels from {labels.min()} to {labels.max()} were given for {num_classes} classes; give 0 to "
            f"{num_classes - 1}, or {OUTLIER} where the label is not known."
        )
    if (labels[split] == OUTLIER).any():
        raise InvalidQuery("An image without a label was held out; hold out labeled ones alone.")


def _unit_length(features: np.ndarray) -> np.ndarray:
    rows = np.asarray(features, dtype=np.float32)
    scaled: np.ndarray = rows / np.maximum(np.linalg.norm(rows, axis=1, keepdims=True), 1e-12)
    return scaled


def _unread(embedding: np.ndarray, rows: Indices, runtime: Runtime) -> ImageSet:
    """Returns images without pixels: one grey dot stands for all of them."""
    dot = torch.full((1, 1, 1, 3), 128, dtype=torch.uint8, device=runtime.device)
    return _Unread(dot.expand(len(embedding), -1, -1, -1), rows, _GREY, _GREY, embedding)
