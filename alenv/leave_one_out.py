"""Ridge regression on the labeled rows, in closed form: its leverage, its errors, and what one more label does.

All tensors have a leading axis of E episodes. A row whose label is negative counts for nothing: an image of no
class, or padding.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

PENALTY = 0.2
SHARPNESSES = (1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0)  # of the softmax; the first where nothing tells
BETTER = 1e-3  # mean log-likelihood by which a sharper softmax must be better
TIE = 1e-5  # scores this close are equal
LIKELIEST = 3  # labels that are tried on a candidate
POWER = 80.0  # exponents are kept between + and - this, so that float32 holds quotients of their sums


class LabeledRidge(NamedTuple):
    """Ridge regression from positions to one-hot labels less 1/C, with penalty 0.2 and without a constant.

    Attributes:
        inverse: (E, d, d), the inverse of sum z z^T + 0.2 I over the labeled rows.
        weights: (E, d, C); scores are z W.
        sharpness: (E,), the factor on the scores at which softmax gives the labels the highest leave-one-out
            likelihood, one of ``SHARPNESSES``.
        wrong: (E, L), 1 where a labeled row is classified wrongly, or not decided, by the regression without it; 0
            for rows that count for nothing.
        error: (E,), the mean of these; that of guessing, 1 - 1/C, without labels.
    """

    inverse: Tensor
    weights: Tensor
    sharpness: Tensor
    wrong: Tensor
    error: Tensor


def fitted(labeled: Tensor, labels: Tensor, classes: int) -> LabeledRidge:
    """Fits the regression and leaves out every row once, all in closed form.

    Args:
        labeled: (E, L, d) positions.
        labels: int64 (E, L).
        classes: C.

    Source: Allen 1974, "The Relationship between Variable Selection and Data Augmentation and a Method for
    Prediction": without a row of leverage h, its residual is that of all rows over 1 - h.
    """
    known = (labels >= 0).to(labeled)
    rows = labeled * known[:, :, None]
    own = one_hot(labels, classes)
    targets = (own - 1 / classes) * known[:, :, None]
    gram = rows.mT @ rows
    gram.diagonal(dim1=1, dim2=2).add_(PENALTY)
    inverse = torch.cholesky_inverse(torch.linalg.cholesky(gram))
    weights = inverse @ (rows.mT @ targets)
    leverage = ((rows @ inverse) * rows).sum(2, keepdim=True)
    without = targets - (targets - rows @ weights) / (1 - leverage)
    true = (without * own).sum(2)
    rival = without.masked_fill(own.bool(), -torch.inf).amax(2)
    wrong = (true - rival <= TIE).to(rows) * known
    count = known.sum(1)
    error = torch.where(count > 0, wrong.sum(1) / count.clamp(min=1), 1 - 1 / classes)
    return LabeledRidge(inverse, weights, _sharpness(without, own, known), wrong, error)


def one_hot(labels: Tensor, classes: int) -> Tensor:
    """Returns float32 (E, L, C) of labels (E, L); zeros for rows that count for nothing."""
    own = torch.nn.functional.one_hot(labels.clamp(min=0), classes)
    return (own * (labels >= 0)[:, :, None]).float()


def _sharpness(scores: Tensor, own: Tensor, known: Tensor) -> Tensor:
    """Returns the best of ``SHARPNESSES`` (E,) for scores (E, L, C) of rows left out."""
    best = scores.new_full(scores.shape[:1], -torch.inf)
    chosen = torch.full_like(best, SHARPNESSES[0])
    for factor in SHARPNESSES:
        true = ((factor * scores).log_softmax(2) * own).sum(2)
        likelihood = (true * known).sum(1) / known.sum(1).clamp(min=1)
        better = likelihood > best + BETTER
        chosen = torch.where(better, factor, chosen)
        best = torch.where(better, likelihood, best)
    return chosen


def expected_confidence(
    ridge: LabeledRidge, points: Tensor, probabilities: Tensor, anchors: Tensor
) -> tuple[Tensor, Tensor]:
    """Returns how confident the regression becomes of the anchors when a candidate is labeled, less how it is now.

    Confidence is the mean over the anchors of the largest probability, softmax(sharpness x scores). The candidate gets
    each of its three likeliest labels in turn.

    Args:
        ridge: See there.
        points: (E, K, d) positions of the candidates.
        probabilities: (E, K, C) of the candidates.
        anchors: (A, d).

    Returns:
        The mean over the three labels, weighted by their probabilities, and the least, both (E, K).

    Source: Roy and McCallum 2001, "Toward Optimal Active Learning through Sampling Estimation of Error Reduction",
    with the 0/1 loss.
    """
    classes = probabilities.shape[2]
    likeliest = probabilities.topk(min(LIKELIEST, classes), dim=2)
    weights = likeliest.values / likeliest.values.sum(2, keepdim=True)
    scores = points @ ridge.weights  # (E, K, C)
    moved = points @ ridge.inverse  # (E, K, d)
    pull = (moved @ anchors.T) / (1 + (moved * points).sum(2, keepdim=True))  # (E, K, A)
    now = (anchors @ ridge.weights).mT[:, :, None]  # (E, C, 1, A)
    before = (ridge.sharpness[:, None, None, None] * now).softmax(1).amax(1).mean(2)  # (E, 1)
    size = max(1, block_entries(points.device) // (len(points) * classes * len(anchors)))
    parts = [
        _confidences(
            now,
            pull[:, rows, None].mT,
            scores[:, rows] + 1 / classes,
            likeliest.indices[:, rows],
            ridge.sharpness,
        )
        for rows in torch.split(torch.arange(points.shape[1], device=points.device), size)
    ]
    after = torch.cat(parts, dim=1) - before[:, :, None]  # (E, K, 3)
    return (weights * after).sum(2), after.amin(2)


def block_entries(device: torch.device) -> int:
    """Returns how many numbers to compute at a time: what a processor's cache holds, or what fills a GPU."""
    return 2**18 if device.type == "cpu" else 2**24


def _confidences(now: Tensor, pull: Tensor, shifts: Tensor, labels: Tensor, sharpness: Tensor) -> Tensor:
    """Returns the mean confidence (E, k, 3) after each of some labels.

    Labeling x with y moves the scores s of an anchor by pull x (one-hot y - 1/C - scores of x). All but the entry of
    y is the same for every y, so that one exponential serves them all.

    Args:
        now: (E, C, 1, A) scores of the anchors.
        pull: (E, k, A, 1), how much a candidate moves an anchor.
        shifts: (E, k, C), the scores of a candidate plus 1/C.
        labels: int64 (E, k, 3).
        sharpness: (E,).
    """
    factor = sharpness[:, None, None, None]
    force = pull.mT.transpose(1, 2)  # (E, 1, k, A)
    scores = factor * (now - force * shifts.mT[:, :, :, None])  # (E, C, k, A)
    highest, where = scores.max(1, keepdim=True)
    scores = (scores - highest).clamp_(min=-POWER)
    powers = scores.exp()
    total = powers.sum(1, keepdim=True)
    second = powers.scatter(1, where, 0.0).amax(1, keepdim=True)
    found = []
    for label in labels.unbind(2):
        at = label[:, None, :, None].expand_as(where)
        raised = (scores.gather(1, at) + factor * force).clamp(-POWER, POWER).exp()
        top = torch.maximum(torch.where(where == at, second, 1.0), raised)
        rest = (total - powers.gather(1, at)).clamp(min=0.0) + raised
        found.append((top / torch.maximum(rest, top)).mean((1, 3)))
    return torch.stack(found, dim=2)
