"""Cross-validation of the labels with growing parts of the others: what each is taken for by those that teach."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenarios.suggest.findings.refit import Refit

Indices = NDArray[np.int64]

FOLDS = 5
_SIZES = 5  # numbers of labels that teach
_SMALLEST = 16  # the first one is such a part of the last one
_MOST = 1000  # labels that teach: more would take long, and say little more


@dataclass(frozen=True)
class Folds:
    """What classifiers that did not know a label say of its image.

    Attributes:
        labeled: int64 (L,), the rows of the features.
        fold: int64 (L,), the fold of each; those of one fold were asked of the same classifiers.
        sizes: int64 (S,), how many labels taught, ascending.
        right: bool (S, L), whether the class was found.
        probabilities: float32 (L, C), with the most labels.
    """

    labeled: Indices
    fold: Indices
    sizes: Indices
    right: NDArray[np.bool_]
    probabilities: NDArray[np.float32]


def cross_validate(refit: Refit, labeled: Indices, seed: int) -> Folds | None:
    """Asks of each fifth of the labels what the others teach, a few of them and then more.

    Folds are stratified, and so are the parts; each part holds the smaller ones.

    Args:
        refit: Fits classifiers.
        labeled: int64 (L,), rows with a label.
        seed: Decides the folds.

    Returns:
        What was found; None unless two classes have five labels each.
    """
    labels = refit.labels[labeled]
    counts = np.bincount(labels, minlength=refit.num_classes)
    if (counts >= FOLDS).sum() < 2:
        return None
    random = np.random.default_rng(seed)
    shuffled = random.permutation(len(labeled))
    order = shuffled[np.argsort(labels[shuffled], kind="stable")]
    fold = np.empty(len(labeled), dtype=np.int64)
    fold[order] = np.arange(len(labeled)) % FOLDS
    largest = min(_MOST, len(labeled) - int(np.bincount(fold).max()))
    classes = int((counts > 0).sum())
    first = min(max(classes, largest // _SMALLEST), largest)
    sizes = np.unique(np.geomspace(first, largest, _SIZES).round().astype(np.int64))
    right = np.zeros((len(sizes), len(labeled)), dtype=bool)
    probabilities = np.zeros((len(labeled), refit.num_classes), dtype=np.float32)
    for part in range(FOLDS):
        own = np.flatnonzero(fold == part)
        other = mixed(np.flatnonzero(fold != part), labels, random)
        for place, size in enumerate(sizes):
            found = refit.probabilities(labeled[other[:size]], labeled[own])
            right[place, own] = found.argmax(1) == labels[own]
        probabilities[own] = found
    return Folds(labeled, fold, sizes, right, probabilities)


def mixed(places: Indices, labels: Indices, random: np.random.Generator) -> Indices:
    """Returns places in an order of which every beginning holds the classes in nearly their own proportion."""
    shuffled = random.permutation(places)
    counts = np.bincount(labels[shuffled])
    rank = np.zeros(len(shuffled))
    for label in np.flatnonzero(counts):
        own = labels[shuffled] == label
        rank[own] = (np.arange(counts[label]) + random.random()) / counts[label]
    return shuffled[np.argsort(rank, kind="stable")]
