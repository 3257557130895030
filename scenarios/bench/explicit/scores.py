"""Queries that take the images of the highest scores, with the scores as their definitions have them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from alenv import View


def highest(scores: np.ndarray, indices: np.ndarray, count: int) -> list[int]:
    """Returns the ``count`` of ``indices`` (n,) with the highest scores (n,), best first."""
    return [int(index) for _, index in sorted(zip(-scores, indices, strict=True))[:count]]


def softmax(logits: np.ndarray) -> np.ndarray:
    """Returns the class probabilities of logits (n, C), float64, one row at a time."""
    rows = []
    for row in logits.astype(np.float64):
        powers = np.exp(row - row.max())
        rows.append(powers / powers.sum())
    return np.array(rows)


def probabilities(view: View, indices: np.ndarray) -> np.ndarray:
    """Returns float64 (n, C)."""
    return softmax(view.logits(indices).numpy())


def spread(p: np.ndarray) -> float:
    """Returns the entropy of p (C,) in nats."""
    return float(-sum(x * np.log(x) for x in p if x > 0))


def gap(p: np.ndarray) -> float:
    """Returns the largest less the second largest of p (C,)."""
    second, first = np.sort(p)[-2:]
    return float(first - second)


def entropy(view: View) -> list[int]:
    """Picks the candidates whose predicted classes are most spread."""
    scores = np.array([spread(row) for row in probabilities(view, view.candidates)])
    return highest(scores, view.candidates, view.query_size)


def margin(view: View) -> list[int]:
    """Picks the candidates whose two likeliest classes are closest."""
    gaps = np.array([gap(row) for row in probabilities(view, view.candidates)])
    return highest(-gaps, view.candidates, view.query_size)


def least_confidence(view: View) -> list[int]:
    """Picks the candidates whose likeliest class is least likely."""
    return highest(-probabilities(view, view.candidates).max(1), view.candidates, view.query_size)


def ll4al(view: View) -> list[int]:
    """Picks the candidates of the highest predicted loss."""
    scores = view.predicted_loss(view.candidates).double().numpy()
    return highest(scores, view.candidates, view.query_size)


def members(view: View, indices: np.ndarray) -> np.ndarray:
    """Returns the members' probabilities image by image, float64 (n, T, C)."""
    return view.member_probabilities(indices=indices).double().numpy().transpose(1, 0, 2)


def ensemble_entropy(view: View) -> list[int]:
    """Picks the candidates whose mean over the members is most spread."""
    scores = np.array([spread(each.mean(0)) for each in members(view, view.candidates)])
    return highest(scores, view.candidates, view.query_size)


def information(image: np.ndarray) -> float:
    """Returns H(mean of p) - mean of H(p) of an image's probabilities (T, C)."""
    return spread(image.mean(0)) - float(np.mean([spread(p) for p in image]))


def bald(view: View) -> list[int]:
    """Picks the candidates whose mean is spread while each member is sure."""
    scores = np.array([information(each) for each in members(view, view.candidates)])
    return highest(scores, view.candidates, view.query_size)


def variation_ratio(view: View) -> list[int]:
    """Picks the candidates with the fewest votes for the most voted class; of equal ones the most spread."""
    keys = []
    for index, image in zip(view.candidates.tolist(), members(view, view.candidates), strict=True):
        votes = np.bincount(image.argmax(1)).max()
        keys.append((votes, -spread(image.mean(0)), index))
    return [index for _, _, index in sorted(keys)[: view.query_size]]


def tod(view: View) -> list[int]:
    """Picks the candidates whose probabilities are farthest from those of the cycle before."""
    assert view.previous is not None, "the made-up pool has one"
    changed = probabilities(view, view.candidates) - probabilities(view.previous, view.candidates)
    return highest(np.linalg.norm(changed, axis=1), view.candidates, view.query_size)


def jls(view: View) -> list[int]:
    """Picks the images whose probability of being labeled is nearest to 0.1."""
    apart = np.abs(view.labeled_score(view.unlabeled).double().numpy() - 0.1)
    return highest(-apart, view.unlabeled, view.query_size)


def waal(view: View) -> list[int]:
    """Picks the images of the lowest mean of the 1- and 2-norm of log p, less ten times the critic's value."""
    critic = -view.labeled_score(view.unlabeled).double().numpy()
    logs = np.log(probabilities(view, view.unlabeled))
    decided = np.array([0.5 * np.linalg.norm(row, 1) + 0.5 * np.linalg.norm(row, 2) for row in logs])
    return highest(10 * critic - decided, view.unlabeled, view.query_size)


PICKS: dict[str, Callable[[View], list[int]]] = {
    "entropy": entropy,
    "margin": margin,
    "least_confidence": least_confidence,
    "ll4al": ll4al,
    "ensemble_entropy": ensemble_entropy,
    "bald": bald,
    "variation_ratio": variation_ratio,
    "tod": tod,
    "jls": jls,
    "waal": waal,
}
