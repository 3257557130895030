"""Labels that are probably wrong: confident learning, and images that look the same with different labels."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from alenv import geometry

Indices = NDArray[np.int64]

LEAST = 5  # labels of a class that is judged
_MOST_LABELS = 10_000  # that are compared with each other
_MOST_PAIRS = 500


@dataclass(frozen=True)
class Suspect:
    """A label that is probably wrong.

    Attributes:
        place: Which of the labels it is.
        rival: The likelier class.
    """

    place: int
    rival: int


def suspects(probabilities: NDArray[np.floating], given: Indices) -> tuple[Suspect, ...]:
    """Returns the labels that another class fits better, the most striking one first.

    A class is confident of an image whose probability of it reaches the mean probability that images with its
    label have of it. A label is suspect where another class is confident and likelier than the one given. Classes
    of fewer than five labels are not judged. The order is that of the probability of the given class less the
    largest other one.

    Source: Northcutt, Jiang and Chuang 2021, "Confident Learning: Estimating Uncertainty in Dataset Labels",
    sections 3.1 and 3.2 (off-diagonal entries of the confident joint, ranked by normalized margin).

    Differs: An image whose given class is its likeliest one is no suspect, and small classes are not judged.

    Args:
        probabilities: float (L, C), by classifiers that did not know the label.
        given: int64 (L,), the labels.
    """
    classes = probabilities.shape[1]
    every = np.arange(len(given))
    own = probabilities[every, given]
    counts = np.bincount(given, minlength=classes)
    judged = counts >= LEAST
    thresholds = np.bincount(given, own, classes) / np.maximum(counts, 1)
    confident = (probabilities >= thresholds) & judged
    confident[every, given] = False
    rival = np.where(confident, probabilities, -1).argmax(1)
    suspect = confident.any(1) & judged[given] & (probabilities[every, rival] > own)
    others = probabilities.copy()
    others[every, given] = -1
    margin = own - others.max(1)
    places = np.flatnonzero(suspect)
    return tuple(Suspect(int(at), int(rival[at])) for at in places[np.argsort(margin[places], kind="stable")])


def clashes(
    rows: np.ndarray, labels: Indices, labeled: Indices, alike: float, seed: int
) -> list[tuple[int, int]]:
    """Returns pairs of rows that look the same and have different labels, at most 500.

    Of more than 10,000 labels, so many at random are compared; a block of distances is held at a time.

    Args:
        rows: Features, float (n, D).
        labels: int64 (n,).
        labeled: int64 (L,), the rows that have a label.
        alike: Cosine from which two images look the same.
        seed: Of the draw.
    """
    drawn = np.sort(np.random.default_rng(seed).permutation(labeled)[:_MOST_LABELS])
    points = torch.nn.functional.normalize(torch.from_numpy(rows[drawn]).float())
    own = torch.from_numpy(labels[drawn])
    found: list[tuple[int, int]] = []
    start = 0
    for block in torch.split(points, max(1, geometry.BLOCK // len(points))):
        end = start + len(block)
        near = geometry.squared_distances(block, points[start:]) < 2 * (1 - alike)
        near &= own[start:end, None] != own[None, start:]
        pairs = drawn[(torch.triu(near, 1).nonzero() + start).numpy()]
        found += [(int(a), int(b)) for a, b in pairs]
        start = end
    return found[:_MOST_PAIRS]
