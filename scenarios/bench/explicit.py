"""Queries done the slow, obvious way in float64, to check the fast ones on a small pool."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from alenv import View
from alenv.geometry import distances_to_rows, k_means_plus_plus
from alenv.seeding import Purpose, torch_stream

ITERATIONS = 10  # of Lloyd, as the agent has them


def _highest(scores: np.ndarray, indices: np.ndarray, count: int) -> list[int]:
    return [int(index) for _, index in sorted(zip(-scores, indices, strict=True))[:count]]


def _probabilities(view: View, indices: np.ndarray) -> np.ndarray:
    """Returns float64 (n, C), one row at a time."""
    rows = []
    for logits in view.logits(indices).double().numpy():
        powers = np.exp(logits - logits.max())
        rows.append(powers / powers.sum())
    return np.array(rows)


def entropy(view: View) -> list[int]:
    """Picks the candidates whose predicted classes are most spread."""
    p = _probabilities(view, view.candidates)
    scores = np.array([-sum(x * np.log(x) for x in row if x > 0) for row in p])
    return _highest(scores, view.candidates, view.query_size)


def margin(view: View) -> list[int]:
    """Picks the candidates whose two likeliest classes are closest."""
    ordered = np.sort(_probabilities(view, view.candidates), axis=1)
    return _highest(ordered[:, -2] - ordered[:, -1], view.candidates, view.query_size)


def least_confidence(view: View) -> list[int]:
    """Picks the candidates whose likeliest class is least likely."""
    return _highest(-_probabilities(view, view.candidates).max(1), view.candidates, view.query_size)


def ll4al(view: View) -> list[int]:
    """Picks the candidates of the highest predicted loss."""
    scores = view.predicted_loss(view.candidates).double().numpy()
    return _highest(scores, view.candidates, view.query_size)


def _members(view: View) -> np.ndarray:
    return view.member_probabilities(indices=view.candidates).double().numpy()


def _spread(p: np.ndarray) -> float:
    return float(-sum(x * np.log(x) for x in p if x > 0))


def ensemble_entropy(view: View) -> list[int]:
    """Picks the candidates whose mean over the members is most spread."""
    scores = np.array([_spread(p) for p in _members(view).mean(0)])
    return _highest(scores, view.candidates, view.query_size)


def bald(view: View) -> list[int]:
    """Picks the candidates whose mean is spread while each member is sure."""
    images = _members(view).transpose(1, 0, 2)
    scores = np.array([_spread(each.mean(0)) - np.mean([_spread(p) for p in each]) for each in images])
    return _highest(scores, view.candidates, view.query_size)


def tod(view: View) -> list[int]:
    """Picks the candidates whose probabilities are farthest from those of the cycle before."""
    assert view.previous is not None, "the made-up pool has one"
    changed = _probabilities(view, view.candidates) - _probabilities(view.previous, view.candidates)
    return _highest(np.linalg.norm(changed, axis=1), view.candidates, view.query_size)


def isal(view: View) -> list[int]:
    """Picks the unlabeled images of the most negative influence, by the Hessian as a matrix."""
    h, p = view.features(view.labeled).double().numpy(), _probabilities(view, view.labeled)
    hessian = np.zeros((p.shape[1] * h.shape[1],) * 2)
    for own, features in zip(p, h, strict=True):
        hessian += np.kron(np.diag(own) - np.outer(own, own), np.outer(features, features)) / len(p)
    target = ((p - np.eye(p.shape[1])[view.labels().numpy()]).T @ h).ravel()
    solution = np.linalg.solve(hessian + 0.01 * np.eye(len(target)), target)
    return _highest(gradient_embeddings(view) @ solution, view.unlabeled, view.query_size)


def coreset(view: View) -> list[int]:
    """Picks the farthest unlabeled image again and again, over a matrix of all distances."""
    h = view.features().double().numpy()
    distances = np.linalg.norm(h[:, None] - h[None], axis=2)
    covered, free = view.labeled.tolist(), view.unlabeled.tolist()
    picks: list[int] = []
    for _ in range(view.query_size):
        nearest = distances[np.ix_(free, covered)].min(axis=1)
        picks.append(free.pop(int(nearest.argmax())))
        covered.append(picks[-1])
    return picks


def max_herding(view: View) -> list[int]:
    """Picks the image that adds most to the mean of the kernel to the nearest pick, over a matrix of all pairs."""
    z = view.embedding().double().numpy()
    z = z / np.linalg.norm(z, axis=1, keepdims=True)
    labeled, free = view.labeled.tolist(), view.unlabeled.tolist()
    kernel = np.exp(-np.square(np.linalg.norm(z[:, None] - z[free][None], axis=2)))  # (N, U)
    covered = kernel[labeled].max(axis=0)
    picks: list[int] = []
    for _ in range(view.query_size):
        gains = np.maximum(kernel[free] - covered, 0).sum(axis=1)
        gains[[free.index(pick) for pick in picks]] = -1
        picks.append(free[int(gains.argmax())])
        covered = np.maximum(covered, kernel[picks[-1]])
    return picks


def are_central(view: View, picks: list[int]) -> bool:
    """Tells whether picks are one image of each k-means cluster, none farther from its center than another.

    The first centers are the agent's own. The two images of a cluster of two tie, so picks are not compared.
    """
    h = view.features(view.unlabeled).double().numpy()
    distances_to = distances_to_rows(view.features(view.unlabeled))
    stream = torch_stream(0, Purpose.AGENT, view.cycle)
    centers = h[k_means_plus_plus(view.query_size, len(h), distances_to, stream).numpy()]
    for _ in range(ITERATIONS):
        own = np.linalg.norm(h[:, None] - centers[None], axis=2).argmin(axis=1)
        centers = np.array([h[own == cluster].mean(axis=0) for cluster in range(len(centers))])
    distances = np.linalg.norm(h[:, None] - centers[None], axis=2)
    own = distances.argmin(axis=1)
    rows = np.searchsorted(view.unlabeled, picks)
    least = [distances[own == cluster, cluster].min() for cluster in own[rows]]
    each_once = sorted(own[rows].tolist()) == list(range(len(centers)))
    return each_once and bool(np.allclose(distances[rows, own[rows]], least, rtol=1e-5))


def gradient_embeddings(view: View) -> np.ndarray:
    """Returns the gradients of the last layer at the predicted class, float64 (U, C * D)."""
    p = _probabilities(view, view.unlabeled)
    h = view.features(view.unlabeled).double().numpy()
    rows = []
    for own, features in zip(p, h, strict=True):
        error = own.copy()
        error[own.argmax()] -= 1
        rows.append(np.outer(error, features).ravel())
    return np.array(rows)


def seeding_probabilities(embeddings: np.ndarray, picks: list[int]) -> list[np.ndarray]:
    """Returns the k-means++ pick probabilities (n,) before each pick after the first.

    Args:
        embeddings: (n, E).
        picks: Row numbers in the order of choice.
    """
    steps = []
    for step in range(1, len(picks)):
        squared = ((embeddings[:, None] - embeddings[picks[:step]][None]) ** 2).sum(2).min(axis=1)
        squared[picks[:step]] = 0
        steps.append(squared / squared.sum())
    return steps


def same_probabilities(
    distances_to: Callable[[torch.Tensor], torch.Tensor], embeddings: np.ndarray, picks: list[int]
) -> bool:
    """Tells whether a fast squared distance leads to the explicit pick probabilities at every step.

    Args:
        distances_to: Maps row numbers (m,) to squared distances (m, n).
        embeddings: (n, E), the explicit embeddings.
        picks: Row numbers in the order of choice.
    """
    largest = float(np.linalg.norm(embeddings, axis=1).max())
    if not np.isclose(np.linalg.norm(embeddings[picks[0]]), largest, rtol=1e-5):
        return False  # the first pick is the largest gradient
    least = np.full(len(embeddings), np.inf)
    for step, expected in enumerate(seeding_probabilities(embeddings, picks)):
        row = distances_to(torch.tensor([picks[step]]))[0].double().numpy()
        least = np.minimum(least, row)
        least[picks[: step + 1]] = 0
        if not np.allclose(least / least.sum(), expected, rtol=1e-3, atol=1e-7):
            return False
    return True


PICKS: dict[str, Callable[[View], list[int]]] = {
    "entropy": entropy,
    "margin": margin,
    "least_confidence": least_confidence,
    "ll4al": ll4al,
    "coreset": coreset,
    "tod": tod,
    "isal": isal,
    "max_herding": max_herding,
    "ensemble_entropy": ensemble_entropy,
    "bald": bald,
}
