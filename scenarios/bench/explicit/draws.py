"""Queries that are drawn, or rest on random views and labels: the draws are the agent's own."""

from __future__ import annotations

import math

import numpy as np
import torch

from alenv import Augmentation, View
from scenarios.bench.explicit.clusters import stream
from scenarios.bench.explicit.scores import gap, highest, information, members, probabilities, spread
from scenarios.bench.explicit.steps import are_greedy

ROWS = 256  # images whose views the agent draws together


def is_random(view: View, picks: list[int]) -> bool:
    """Tells whether picks are as many distinct unlabeled images as the query takes; any will do."""
    return len(picks) == len(set(picks)) == view.query_size and set(picks) <= set(view.unlabeled.tolist())


def _weighted(view: View, weights: np.ndarray) -> list[int]:
    """Draws unlabeled images without replacement by weights (U,): the largest u^(1 / w) of uniform numbers u.

    Source: Efraimidis & Spirakis 2006, algorithm A.
    """
    u = torch.rand(len(weights), dtype=torch.float64, generator=stream(view)).numpy()
    with np.errstate(divide="ignore"):  # a weight of 0 comes last
        return highest(np.log(u) / weights, view.unlabeled, view.query_size)


def power_margin(view: View) -> list[int]:
    """Draws by 1 - (p1 - p2)."""
    return _weighted(view, np.array([1 - gap(p) for p in probabilities(view, view.unlabeled)]))


def power_bald(view: View) -> list[int]:
    """Draws by the mutual information of label and member."""
    return _weighted(view, np.array([information(image) for image in members(view, view.unlabeled)]))


def joint_entropy(images: np.ndarray) -> float:
    """Returns the entropy of the labels of some images (k, T, C) together, by listing all of them."""
    likelihood = np.ones((1, images.shape[1]))  # of each listed combination under each member
    for image in images:
        likelihood = (likelihood[:, :, None] * image).transpose(0, 2, 1).reshape(-1, images.shape[1])
    p = likelihood.mean(1)
    return float(-(p[p > 0] * np.log(p[p > 0])).sum())


def joint_information(images: np.ndarray) -> float:
    """Returns what the labels of some images (k, T, C) together say about the member."""
    each = [np.mean([spread(p) for p in image]) for image in images]
    return joint_entropy(images) - float(np.sum(each))


def is_batch_bald(view: View, picks: list[int]) -> bool:
    """Tells whether the first picks raise the joint information most, as long as at most 10,000 labels are listed."""
    candidates = np.unique(view.candidates)
    shown = members(view, candidates)
    count = max(1, int(math.log(10_000) / math.log(view.num_classes)))
    rows = np.searchsorted(candidates, picks).tolist()

    def gains(chosen: list[int]) -> np.ndarray:
        return np.array([joint_information(shown[[*chosen, row]]) for row in range(len(shown))])

    return len(set(picks)) == len(picks) and are_greedy(gains, rows[:count])


def is_class_balanced(view: View, picks: list[int]) -> bool:
    """Tells whether each pick raises most the entropies less how far the classes are from an equal share."""
    candidates, classes = np.unique(view.candidates), view.num_classes
    p = probabilities(view, candidates)
    entropies = np.array([spread(row) for row in p]) / math.log(classes)
    counts = np.bincount(view.labels().numpy(), minlength=classes)
    lacking = np.maximum((counts.sum() + view.query_size) / classes - counts, 0)

    def value(rows: list[int]) -> float:
        return float(entropies[rows].sum() - np.abs(lacking - p[rows].sum(0)).sum())

    def gains(chosen: list[int]) -> np.ndarray:
        return np.array([value([*chosen, row]) for row in range(len(p))]) - value(chosen)

    return are_greedy(gains, np.searchsorted(candidates, picks).tolist())


def consistency(view: View, views: int = 50) -> list[int]:
    """Picks the images whose probabilities have the largest variance over flipped and cropped views."""
    scores, draws = list[float](), stream(view)
    for start in range(0, len(view.unlabeled), ROWS):
        some = view.unlabeled[start : start + ROWS]
        padded = np.concatenate([some, np.full(ROWS - len(some), some[0])])  # as the agent draws them
        augmentation = Augmentation(flip=True, crop_padding=4, trivial=False, cutout=0)
        shown = [view.images(padded)]
        for _ in range(views):
            shown.append(view.augmented(padded, generator=draws, augmentation=augmentation))
        with torch.no_grad():
            p = torch.stack([view.classifier(each) for each in shown]).double().softmax(2).numpy()
        for image in range(len(some)):
            each = p[:, image]
            scores.append(float(((each - each.mean(0)) ** 2).mean(0).sum()))
    return highest(np.array(scores), view.unlabeled, view.query_size)


PICKS = {"power_margin": power_margin, "power_bald": power_bald, "consistency": consistency}
CHECKS = {"random": is_random, "batch_bald": is_batch_bald, "class_balanced": is_class_balanced}
