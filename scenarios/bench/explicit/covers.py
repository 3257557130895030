"""Queries that cover the pool, over matrices of all distances."""

from __future__ import annotations

import math

import numpy as np
import torch

from alenv import View
from scenarios.bench.explicit.clusters import lloyd
from scenarios.bench.explicit.scores import gap, probabilities, softmax, spread
from scenarios.bench.explicit.steps import Gains, are_greedy


def unit(points: np.ndarray) -> np.ndarray:
    """Returns points (n, d) as float64 rows of length 1."""
    points = points.astype(np.float64)
    return np.asarray(points / np.linalg.norm(points, axis=1, keepdims=True))


def distances(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns all Euclidean distances (n, m) of a (n, d) and b (m, d)."""
    return np.asarray(np.linalg.norm(a.astype(np.float64)[:, None] - b.astype(np.float64)[None], axis=2))


def herding_gains(kernel: np.ndarray, weights: np.ndarray, covered: np.ndarray) -> Gains:
    """Returns what each candidate adds to the weighted sum over targets of the kernel to the nearest chosen one.

    Args:
        kernel: (m, n), of m targets and n candidates.
        weights: (m,).
        covered: (m,) at first.
    """

    def gains(chosen: list[int]) -> np.ndarray:
        now = np.max([covered, *(kernel[:, row] for row in chosen)], axis=0)
        return np.asarray((weights[:, None] * np.maximum(kernel - now[:, None], 0)).sum(0))

    return gains


def _split(view: View) -> tuple[np.ndarray, np.ndarray]:
    """Returns the embeddings of the unlabeled and the labeled images, of length 1."""
    return unit(view.embedding(view.unlabeled).numpy()), unit(view.embedding(view.labeled).numpy())


def rows_of(view: View, picks: list[int]) -> list[int]:
    """Returns where picks stand among the unlabeled images."""
    return [int(row) for row in np.searchsorted(view.unlabeled, picks)]


def coreset(view: View) -> list[int]:
    """Picks the farthest unlabeled image again and again, over a matrix of all distances."""
    h = view.features().double().numpy()
    far = distances(h, h)
    covered, free = view.labeled.tolist(), view.unlabeled.tolist()
    picks: list[int] = []
    for _ in range(view.query_size):
        nearest = far[np.ix_(free, covered)].min(axis=1)
        picks.append(free.pop(int(nearest.argmax())))
        covered.append(picks[-1])
    return picks


def _is_herding(view: View, picks: list[int], radius: float, weights: np.ndarray) -> bool:
    free, labeled = _split(view)
    kernel = np.exp(-((distances(free, free) / radius) ** 2))
    covered = np.exp(-((distances(free, labeled) / radius) ** 2)).max(1)
    return are_greedy(herding_gains(kernel, weights, covered), rows_of(view, picks))


def is_max_herding(view: View, picks: list[int]) -> bool:
    """Tells whether each pick adds most to the mean of the kernel exp(-d^2) to the nearest pick."""
    return _is_herding(view, picks, 1.0, np.ones(len(view.unlabeled)))


def temperature(logits: np.ndarray, labels: np.ndarray) -> float:
    """Returns the best temperature of a fine grid from 0.01 to 100, by the likelihood of labels (n,)."""

    def loss(hot: float) -> float:
        return -float(np.log(softmax(logits / hot)[np.arange(len(labels)), labels]).mean())

    grid = np.exp(np.linspace(math.log(0.01), math.log(100), 2001))
    best = min(grid, key=loss)
    around = np.exp(np.log(best) + np.linspace(-0.01, 0.01, 2001))
    return float(min(around[(around >= 0.01) & (around <= 100)], key=loss))


def is_uncertainty_herding(view: View, picks: list[int]) -> bool:
    """Tells whether picks are those of MaxHerding weighted by calibrated margins, of the radius of the closest pair."""
    assert view.validation is not None, "the made-up pool has one"
    hot = temperature(view.validation.logits().double().numpy(), view.validation.labels().numpy())
    p = softmax(view.logits(view.unlabeled).double().numpy() / hot)
    weights = np.array([1 - gap(row) for row in p])
    among = distances(*(_split(view)[1],) * 2)
    return _is_herding(view, picks, float(among[among > 1e-6].min()), weights)


def pure_radius(far: np.ndarray, own: np.ndarray, purity: float) -> float:
    """Returns the largest radius whose balls, to a share ``purity``, hold points of their center's cluster only.

    Args:
        far: (n, n) distances.
        own: (n,) clusters.
        purity: In (0, 1].
    """
    foreign = [row[own != cluster].min(initial=2.0) for row, cluster in zip(far, own, strict=True)]
    return float(max(radius for radius in foreign if np.mean(np.array(foreign) >= radius) >= purity - 1e-9))


def is_prob_cover(view: View, picks: list[int]) -> bool:
    """Tells whether each pick's ball holds most images that no labeled or chosen image's ball holds."""
    free, labeled = _split(view)
    points = np.concatenate([free, labeled])
    own = lloyd(points, view.num_classes, torch.Generator().manual_seed(0))[1]
    radius = pure_radius(distances(points, points), own, 0.95)
    graph = (distances(free, free) < radius).astype(float)
    covered = (distances(free, labeled) < radius).max(1).astype(float)
    return are_greedy(herding_gains(graph, np.ones(len(free)), covered), rows_of(view, picks))


def dcom_radius(row: np.ndarray, label: int, predicted: np.ndarray, share: float) -> float:
    """Returns the largest of 0.05, 0.10 ... 1.10 whose ball is to a share of one class; 0.05 where none is.

    Args:
        row: Distances (n,) of a center to all points.
        label: Of the center, which counts, too.
        predicted: (n,) classes of the points.
        share: In [0, 1].
    """
    found = 0.05
    for step in range(1, 23):
        inside = row < 0.05 * step
        if (1 + (predicted[inside] == label).sum()) / (1 + inside.sum()) >= share:
            found = 0.05 * step
    return found


def scaled(values: np.ndarray) -> np.ndarray:
    """Returns values (n,) moved and scaled to [0, 1]; zeros where all are equal."""
    reach = values.max() - values.min()
    return np.asarray((values - values.min()) / reach) if reach > 0 else np.zeros(len(values))


def dcom_gains(view: View, slope: float = 50.0, middle: float = 0.8) -> Gains:
    """Returns the scores of DCoM for the unlabeled images: their density where nothing covers, and their margins."""
    free, labeled = _split(view)
    p, labels = probabilities(view, view.unlabeled), view.labels().numpy()
    far, size = distances(labeled, free), view.query_size
    first = len(labeled) - view.cycle * size
    covered, radii = np.zeros(len(free), dtype=bool), list[float]()
    for start in (0, *range(first or size, len(labeled), size)):
        rows = range(start, min(len(labeled), first if start == 0 and first else start + size))
        share = 0.4 + 0.2 * covered.mean()
        new = [dcom_radius(far[row], labels[row], p.argmax(1), share) for row in rows]
        for row, radius in zip(rows, new, strict=True):
            covered |= far[row] < radius
        radii += new
    near = distances(free, free) < np.mean(radii)
    certain = (1 + math.exp(-slope * (1 - middle))) / (1 + math.exp(-slope * (covered.mean() - middle)))
    doubts = scaled(np.array([1 - gap(row) for row in p]))

    def gains(chosen: list[int]) -> np.ndarray:
        held = covered | near[:, chosen].any(1)
        degrees = near[~held].sum(0).astype(float)
        degrees[chosen] = 0
        return certain * doubts + (1 - certain) * scaled(degrees)

    return gains


def is_dcom(view: View, picks: list[int]) -> bool:
    """Tells whether each pick has the highest score of DCoM."""
    return are_greedy(dcom_gains(view), rows_of(view, picks))


def is_fass(view: View, picks: list[int]) -> bool:
    """Tells whether picks are facilities, one by one, of the most spread images, with likeness (1 + cosine) / 2."""
    scores = np.array([spread(row) for row in probabilities(view, view.unlabeled)])
    kept = view.unlabeled[np.argsort(-scores, kind="stable")[: 10 * view.query_size]].tolist()
    if not set(picks) <= set(kept):
        return False
    h = unit(view.features(np.array(kept)).numpy())
    gains = herding_gains((1 + h @ h.T) / 2, np.ones(len(kept)), np.zeros(len(kept)))
    return are_greedy(gains, [kept.index(pick) for pick in picks])


PICKS = {"coreset": coreset}
CHECKS = {
    "max_herding": is_max_herding,
    "uherding": is_uncertainty_herding,
    "prob_cover": is_prob_cover,
    "dcom": is_dcom,
    "fass": is_fass,
}
