"""Tasks for training policies: what an episode is about, drawn from one seed."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from alenv.errors import InvalidProtocol
from alenv.pool import OUTLIER, imbalanced
from alenv.rules import check_fields, field_of, integer, is_integer, is_real, real
from alenv.seeding import Purpose, numpy_stream

Indices = NDArray[np.int64]


def _range(first: float, last: float, least: float, whole: bool = False) -> Any:
    """Declares a field of a pair that values are drawn between."""
    kind = is_integer if whole else is_real

    def test(value: Any) -> bool:
        pair = isinstance(value, tuple) and len(value) == 2 and all(map(kind, value))
        return bool(pair and least <= value[0] <= value[1])

    words = f"a pair of {'whole ' if whole else ''}numbers from {least:g}, the smaller one first"
    return field_of((first, last), (words, test))


def _names(value: Any) -> bool:
    return isinstance(value, tuple) and len(value) > 0 and all(isinstance(name, str) for name in value)


@dataclass(frozen=True)
class DrawnTask:
    """What one episode is about.

    Attributes:
        dataset: Position in the distribution's ``datasets``.
        classes: int64 (classes of the dataset,), the task's class of each, or ``OUTLIER`` for one that is left out.
        rows: int64 (N,), the pool's training rows, ascending.
        validation: int64 (V,), training rows that rewards are measured on; none of the pool.
        num_classes: C; the classes are numbered from 0.
        label_noise: Share of labels that the oracle replaces by another class.
        feature_size: D, the leading components of the embedding that there are.
        initial_size: Labels of the initial set.
        query_size: B.
        penalty: Of the ridge head.
        separation: How far each image's features are moved along the mean of its class.
    """

    dataset: int
    classes: Indices
    rows: Indices
    validation: Indices
    num_classes: int
    label_noise: float
    feature_size: int
    initial_size: int
    query_size: int
    penalty: float
    separation: float


@dataclass(frozen=True)
class TaskDistribution:
    """Tasks that differ in all that a query policy should not depend on.

    Every range is a pair, ends included. Numbers that act by their ratio (imbalance, feature size, initial labels,
    penalty) are drawn uniformly in their logarithm, the others uniformly.

    Attributes:
        datasets: Names of datasets, each as likely; embedded as their environments with a ridge head are.
        classes: Classes of a task, at most those that the dataset has.
        merged: Probability that a task's classes are groups of all the dataset's, not some of them by themselves.
        imbalance: Ratio between a task's largest and smallest class.
        label_noise: Share of wrong labels.
        feature_size: Leading components of the embedding, at most those that it has.
        initial: Labels of the initial set for each class, at most a quarter of the pool in all.
        query_share: Images of a query as a share of the initial set.
        query_size: Images of a query at most.
        cycles: Queries of an episode (T).
        pool_size: Images of the pool at most.
        validation: Images that rewards are measured on, at most a quarter of the task's.
        penalty: Of the ridge head, on unit-length embeddings.
        separation: How much of the mean of its class is added to an image's features before they are scaled to unit
            length: with 0 they are the images' own, and with 2 classes are easily told apart. It stands for better
            features than there are.

    Raises:
        InvalidProtocol: A value is not allowed.
    """

    datasets: tuple[str, ...] = field_of(("cifar10", "digits"), ("a list of names of datasets", _names))
    classes: tuple[int, int] = _range(2, 10, 2, whole=True)
    merged: float = real(0.25, most=1.0)
    imbalance: tuple[float, float] = _range(1.0, 10.0, 1.0)
    label_noise: tuple[float, float] = _range(0.0, 0.1, 0.0)
    feature_size: tuple[int, int] = _range(32, 128, 1, whole=True)
    initial: tuple[int, int] = _range(2, 100, 1, whole=True)
    query_share: tuple[float, float] = _range(0.2, 1.0, 0.0)
    query_size: int = integer(50, 1)
    cycles: int = integer(10, 1)
    pool_size: int = integer(5000, 20)
    validation: int = integer(1000, 1)
    penalty: tuple[float, float] = _range(0.1, 1.0, 1e-6)
    separation: tuple[float, float] = _range(0.0, 2.0, 0.0)

    def __post_init__(self) -> None:
        check_fields(self, InvalidProtocol)

    @property
    def most_initial(self) -> int:
        """The largest initial set that a task may have."""
        return min(self.initial[1] * self.classes[1], self.pool_size // 4)

    def draw(self, key: int, labels: tuple[Indices, ...], sizes: tuple[int, ...]) -> DrawnTask:
        """Draws the task of an episode.

        Args:
            key: The episode's key.
            labels: The training labels of each dataset, int64 (n,) from 0.
            sizes: The components that the embedding of each dataset has.

        Raises:
            InvalidProtocol: The dataset has too few images for T queries.
        """
        random = numpy_stream(key, Purpose.TASK)
        dataset = int(random.integers(len(self.datasets)))
        own = labels[dataset]
        classes = self._classes(random, 1 + int(own.max()))
        count = 1 + int(classes.max())
        of_task = classes[own]
        rows = random.permutation(np.flatnonzero(of_task != OUTLIER))
        held_out = min(self.validation, len(rows) // 4)
        validation, rows = np.sort(rows[:held_out]), rows[held_out:][: self.pool_size]
        rows = imbalanced(np.sort(rows), of_task, count, _by_ratio(random, self.imbalance), random)
        noise = float(random.uniform(*self.label_noise))
        size = min(round(_by_ratio(random, self.feature_size)), sizes[dataset])
        initial = min(round(_by_ratio(random, self.initial)) * count, len(rows) // 4)
        query = max(1, round(float(random.uniform(*self.query_share)) * initial))
        query = min(query, self.query_size, (len(rows) - initial) // self.cycles)
        if query < 1 or not held_out:
            raise InvalidProtocol(
                f"A task of {len(rows)} images of {self.datasets[dataset]} was drawn, too few for "
                f"cycles={self.cycles}; give fewer cycles, more classes or a smaller imbalance."
            )
        penalty = _by_ratio(random, self.penalty)
        separation = float(random.uniform(*self.separation))
        return DrawnTask(
            dataset, classes, rows, validation, count, noise, size, initial, query, penalty, separation
        )

    def _classes(self, random: np.random.Generator, available: int) -> Indices:
        """Returns the task's class of each of the dataset's, or ``OUTLIER``."""
        most = min(self.classes[1], available)
        count = int(random.integers(min(self.classes[0], most), most + 1))
        order = random.permutation(available)
        classes = np.full(available, OUTLIER, dtype=np.int64)
        if random.random() < self.merged:
            for label, group in enumerate(np.array_split(order, count)):
                classes[group] = label
        else:
            classes[order[:count]] = np.arange(count)
        return classes


def _by_ratio(random: np.random.Generator, ends: tuple[float, float]) -> float:
    return math.exp(random.uniform(math.log(ends[0]), math.log(ends[1])))
