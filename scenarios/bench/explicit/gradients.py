"""Queries by gradients and Fisher matrices of the last layer, all of them written out."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch

from agents.strategies.badge import gradient_distances, gradient_factors
from alenv import View
from scenarios.bench.explicit.clusters import stream
from scenarios.bench.explicit.covers import rows_of
from scenarios.bench.explicit.scores import highest, probabilities, softmax
from scenarios.bench.explicit.steps import Gains, are_greedy


def gradient(p: np.ndarray, h: np.ndarray, label: int) -> np.ndarray:
    """Returns the gradient of the cross-entropy to a label by the last layer's weights, (C * D,)."""
    error = p.copy()
    error[label] -= 1
    return np.outer(error, h).ravel()


def gradient_embeddings(view: View) -> np.ndarray:
    """Returns the gradients of the last layer at the predicted class, float64 (U, C * D)."""
    p, h = probabilities(view, view.unlabeled), view.features(view.unlabeled).double().numpy()
    return np.array([gradient(*each, each[0].argmax()) for each in zip(p, h, strict=True)])


def isal(view: View) -> list[int]:
    """Picks the unlabeled images of the most negative influence, by the Hessian as a matrix."""
    h, p = view.features(view.labeled).double().numpy(), probabilities(view, view.labeled)
    hessian = np.zeros((p.shape[1] * h.shape[1],) * 2)
    for own, features in zip(p, h, strict=True):
        hessian += np.kron(np.diag(own) - np.outer(own, own), np.outer(features, features)) / len(p)
    target = np.sum([gradient(*each) for each in zip(p, h, view.labels().numpy(), strict=True)], axis=0)
    solution = np.linalg.solve(hessian + 0.01 * np.eye(len(target)), target)
    return highest(gradient_embeddings(view) @ solution, view.unlabeled, view.query_size)


def seeding_probabilities(embeddings: np.ndarray, picks: list[int]) -> list[np.ndarray]:
    """Returns the k-means++ pick probabilities (n,) before each pick after the first.

    Args:
        embeddings: (n, E).
        picks: Row numbers in the order of choice.
    """
    steps = []
    least = np.full(len(embeddings), np.inf)
    for step in range(1, len(picks)):
        least = np.minimum(least, ((embeddings - embeddings[picks[step - 1]]) ** 2).sum(1))
        squared = least.copy()
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
    return len(set(picks)) == len(picks)


def is_badge(view: View, picks: list[int]) -> bool:
    """Tells whether the agent's distances lead to the pick probabilities of D^2 sampling on the whole gradients."""
    factors = gradient_factors(view.logits(view.unlabeled))
    distances_to = gradient_distances(factors, view.features(view.unlabeled))[1]
    return same_probabilities(distances_to, gradient_embeddings(view), rows_of(view, picks))


def glister_gains(view: View, rate: float = 0.01) -> Gains:
    """Returns each unlabeled image's gradient times that of the mean validation loss, after the steps of the chosen.

    The constant of the last layer is a feature that is always 1.
    """
    assert view.validation is not None, "the made-up pool has one"

    def extended(h: torch.Tensor) -> np.ndarray:
        return np.hstack([h.double().numpy(), np.ones((len(h), 1))])

    h = extended(view.features(view.unlabeled))
    p = probabilities(view, view.unlabeled)
    own = np.array([gradient(*each, each[0].argmax()) for each in zip(p, h, strict=True)])
    of_labeled = zip(
        probabilities(view, view.labeled),
        extended(view.features(view.labeled)),
        view.labels().numpy(),
        strict=True,
    )
    start = np.sum([gradient(*each) for each in of_labeled], axis=0)
    held, labels = extended(view.validation.features()), view.validation.labels().numpy()
    logits = view.validation.logits().double().numpy()

    def gains(chosen: list[int]) -> np.ndarray:
        step = (start + own[chosen].sum(0)).reshape(p.shape[1], -1)  # of the weights
        now = softmax(logits - rate * held @ step.T)
        aim = np.mean([gradient(*each) for each in zip(now, held, labels, strict=True)], axis=0)
        return np.asarray(own @ aim)

    return gains


def is_glister(view: View, picks: list[int]) -> bool:
    """Tells whether each pick's gradient lies most along that of the validation loss."""
    return are_greedy(glister_gains(view), rows_of(view, picks), tolerance=2e-5)


def fisher(p: np.ndarray, h: np.ndarray, classes: int | None = None) -> np.ndarray:
    """Returns the Fisher matrix (C D, C D) of one image's last layer, from the gradients of its likeliest labels.

    Args:
        p: (C,).
        h: (D,).
        classes: How many labels count; None = all.
    """
    found = np.zeros((len(p) * len(h),) * 2)
    for label in np.argsort(-p, kind="stable")[:classes]:
        found += p[label] * np.outer(gradient(p, h, label), gradient(p, h, label))
    return found


def forward_backward(
    images: np.ndarray, target: np.ndarray, matrix: np.ndarray, count: int, over: int
) -> list[int]:
    """Chooses by inverting the matrix for every candidate: ``over`` images, then all but ``count`` are given back.

    Args:
        images: Fisher matrices (n, E, E).
        target: F, (E, E).
        matrix: That of the labeled images, (E, E).
        count: How many remain.
        over: How many are chosen at first.
    """

    def trace(of: np.ndarray) -> float:
        return float(np.trace(np.linalg.solve(of, target)))

    chosen: list[int] = []
    for _ in range(over):
        free = [i for i in range(len(images)) if i not in chosen]
        chosen.append(min(free, key=lambda i: trace(matrix + images[i])))
        matrix = matrix + images[chosen[-1]]
    for _ in range(over - count):
        out = min(chosen, key=lambda i: trace(matrix - images[i]))
        chosen.remove(out)
        matrix = matrix - images[out]
    return chosen


def bait(view: View) -> list[int]:
    """Picks forward and backward among the random images that the agent looks at, 4 B of them."""
    everything, count, labels = np.concatenate([view.unlabeled, view.labeled]), view.query_size, view.labeled
    p, h = probabilities(view, everything), view.features(everything).double().numpy()
    whole = np.array([fisher(*each) for each in zip(p, h, strict=True)])
    free, scale = len(view.unlabeled), 1 / (len(labels) + count)
    rows = torch.randperm(free, generator=stream(view))[: 4 * count].tolist()
    images = count * scale * np.array([fisher(p[row], h[row], 10) for row in rows])
    matrix = np.eye(whole.shape[1]) + whole[free:].sum(0) * scale
    chosen = forward_backward(images, whole.mean(0), matrix, count, 2 * count)
    return [int(view.unlabeled[rows[row]]) for row in chosen]


def correlations(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Returns Pearson's correlation of each row of a (n, d) with each of b (m, d), (n, m)."""
    return np.asarray(np.corrcoef(a, b)[: len(a), len(a) :])


def fkssal(view: View) -> list[int]:
    """Picks the best match of each validation error, then each one's second best, and so on, by the Fisher kernel."""
    assert view.validation is not None, "the made-up pool has one"
    weight = view.classifier.head.weight.detach().double().numpy()
    held, labels = view.validation.features().double().numpy(), view.validation.labels().numpy()
    theirs, p = softmax(view.validation.logits().numpy()), probabilities(view, view.unlabeled)
    h, eye = view.features(view.unlabeled).double().numpy(), np.eye(p.shape[1])
    guessed = labels[correlations(h, held).argmax(1)]  # of the nearest validation image
    wrong = theirs.argmax(1) != labels
    alike = correlations(held[wrong], h)
    alike += correlations((theirs - eye[labels])[wrong] @ weight, (p - eye[guessed]) @ weight)
    order, picks = np.argsort(-alike, axis=1), list[int]()
    for rank in range(order.shape[1]):
        similar = alike[np.arange(len(alike)), order[:, rank]]
        matched = view.unlabeled[order[np.argsort(-similar), rank]].tolist()
        picks += [pick for pick in dict.fromkeys(matched) if pick not in picks]
    return picks[: view.query_size]


PICKS = {"isal": isal, "bait": bait, "fkssal": fkssal}
CHECKS = {"badge": is_badge, "glister": is_glister}
