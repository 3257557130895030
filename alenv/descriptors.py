"""What a query policy sees of each candidate: numbers that mean the same for every dataset, classifier and size.

``describe`` is the one function for environments, policies and agents: batched over episodes, and pure. It reads
scores, positions (see ``landmarks``) and the labels that were bought, and so works for every recipe. ``VERSION``
changes whenever a number would; a saved policy carries the version that it was trained on.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import torch
from torch import Tensor

from alenv import leave_one_out, neighbors

VERSION = 1
NAMES = (
    "log_margin",
    "entropy",
    "least_confidence",
    "score_margin",
    "log_leverage",
    "typicality",
    "labeled_similarity",
    "class_need",
    "model_change",
    "class_share",
    "typical_margin",
    "middle_margin",
    "variance_reduction",
    "output_change",
    "neighbor_disagreement",
    "uncertain_gain_smallest",
    "uncertain_gain_median",
    "uncertain_gain_unit",
    "gain_smallest",
    "gain_median",
    "gain_unit",
    "uncertain_density",
    "expected_confidence",
    "least_expected_confidence",
    "neighbor_error",
    "class_error",
    "pair_uncertainty",
    "ridge_margin",
    "dense_uncertainty",
)
CONTEXT = (
    "one",
    "log_labels_per_class",
    "mean_margin",
    "mean_log_leverage",
    "log_query_share",
    "log_classes",
    "leave_one_out_error",
    "radius",
)
BOUND = 3.0  # descriptors are clipped to +-3 standard deviations
CONTEXT_BOUND = 10.0  # which the logarithms of any task stay inside
SMALLEST_MARGIN = 1e-6  # equal probabilities differ by so much
LARGEST_LOGIT = 1e4  # of a classifier that diverged; probabilities are 0 and 1 long before
GAIN_FLOOR = 0.02  # of the mean gain is added to every gain before its logarithm
TINY = 1e-12
SAME = 1e-5  # candidates that differ by less than this share of their size do not differ


class Situation(NamedTuple):
    """E episodes at the time of a query, each with K candidates and up to L labeled rows.

    Attributes:
        logits: float32 (E, K, C) of the candidates; not finite counts as 0.
        points: float32 (E, K, d), positions of the candidates, of unit length or zero (``Landmarks.points``).
        typicality: float32 (E, K) (``Landmarks.typicality``).
        labeled: float32 (E, L, d), positions of the labeled rows.
        labels: int64 (E, L); a negative one is an image of no class, or padding, and its row counts for nothing.
        anchors: float32 (A, d) (``Landmarks.anchors``).
        query_size: B.
    """

    logits: Tensor
    points: Tensor
    typicality: Tensor
    labeled: Tensor
    labels: Tensor
    anchors: Tensor
    query_size: int


class Descriptors(NamedTuple):
    """What is said of each candidate, and of the state of learning; of one episode without the leading axis.

    Attributes:
        candidates: float32 (E, K, 29) in [-3, 3], as ``NAMES`` says.
        context: float32 (E, 8) in [-10, 10], as ``CONTEXT`` says.
    """

    candidates: Tensor
    context: Tensor


@torch.no_grad()
def describe(situation: Situation) -> Descriptors:
    """Describes the candidates of E episodes.

    Each descriptor is standardized within the candidates of its episode (mean 0, standard deviation 1, clipped to
    +-3; all 0 where candidates do not differ), so that none depends on K, B, C or D. Without any label the
    classifier knows nothing, and its scores count as zeros. In the words of ``NAMES``, with class probabilities p,
    margin = p1 - p2, uncertainty u = 1 - margin, share = of a class among the labels, and h, P, W of the ridge
    regression on the labeled rows (``leave_one_out.LabeledRidge``):

    - ``log_margin``: -log margin. ``entropy``: of p, over log C. ``least_confidence``: 1 - p1. ``score_margin``: less
      the difference of the two largest logits.
    - ``log_leverage``: log h, h = x P x. ``typicality``: mean cosine to the 20 nearest of a fixed reference.
      ``labeled_similarity``: largest cosine to a labeled row. ``class_need``: p . (1/C - share).
    - ``model_change``: log(1 - p . p) + log h. ``class_share``: mean probability, over the candidates, of the class
      that is predicted. ``typical_margin``: ``log_margin`` times ``typicality``, both standardized.
      ``middle_margin``: -(m + 1)^2 with the standardized log margin m; largest one deviation to the uncertain side.
    - ``variance_reduction``: log of sum_j u_j (x P z_j)^2 / (1 + h) over the candidates z_j. ``output_change``: log of
      the expected squared change of their scores, sum_j (x P z_j)^2 (1 - p . p) / (1 + h)^2.
      ``neighbor_disagreement``: 1 - p . v, v the labels of labeled rows weighted by softmax(10 x cosine).
    - ``uncertain_gain_*``, ``gain_*``: log of what labeling the candidate adds to the cover of the candidates, sum_j
      u_j max(k_j - m_j, 0), and with u = 1; k = exp(-d^2/r^2), m_j the largest kernel to a labeled row. The radius r
      is the smallest positive distance between labeled rows, the median of their distances to the nearest other one,
      or 1. ``uncertain_density``: log sum_j u_j k_j at the median radius.
    - ``expected_confidence``, ``least_expected_confidence``: ``leave_one_out.expected_confidence``.
    - ``neighbor_error``: leave-one-out errors of labeled rows, weighted by softmax(10 x cosine). ``class_error``:
      their mean over the rows of the class that is predicted, with one row of the mean error added.
    - ``pair_uncertainty``: sum of u over the candidates with the same two likeliest classes. ``ridge_margin``: -log
      margin of softmax(sharpness x W x). ``dense_uncertainty``: log u + log mean_j k_j at the median radius.

    In the words of ``CONTEXT``: 1; log(L / C) and log(B / L), with L = 1 where there are no labels; means of the
    margin and of log h over the candidates; log C; the mean leave-one-out error; the median radius.

    Args:
        situation: See there.

    Source: Konyushkova, Sznitman and Fua 2017, "Learning Active Learning from Data", for learning from what describes
    a candidate whatever the dataset; the single ones are those of the strategies in ``agents``.
    """
    shown = _prepared(situation)
    known = shown.labels >= 0
    count = known.sum(1)
    sure = _certainty(torch.where(count[:, None, None] > 0, shown.logits, 0.0))
    classes = shown.logits.shape[2]
    ridge = leave_one_out.fitted(shown.labeled, shown.labels, classes)
    radii = neighbors.radii(shown.labeled, known)
    near = neighbors.labeled_neighbors(
        shown.points, shown.labeled, leave_one_out.one_hot(shown.labels, classes), ridge.wrong, known
    )
    found = {
        **_of_probabilities(sure, classes),
        **_of_ridge(ridge, shown, sure),
        **_of_labels(ridge, shown, sure, near),
        **_of_pairs(shown, sure, radii, near.closest),
        "typicality": shown.typicality,
    }
    found["typical_margin"] = standardized(found["log_margin"]) * standardized(found["typicality"])
    found["middle_margin"] = -((1 - standardized(found["log_margin"])) ** 2)
    candidates = torch.stack([standardized(found[name]) for name in NAMES], dim=2)
    labels = count.clamp(min=1).float()
    ones = torch.ones_like(labels)
    context = [
        ones,
        (labels / classes).log(),
        sure.margin.mean(1),
        found["log_leverage"].mean(1),
        (shown.query_size / labels).log(),
        ones * math.log(classes),
        ridge.error,
        radii[:, neighbors.MEDIAN],
    ]
    return Descriptors(candidates, torch.stack(context, dim=1).clamp(-CONTEXT_BOUND, CONTEXT_BOUND))


def standardized(values: Tensor) -> Tensor:
    """Returns values (E, K) with mean 0 and standard deviation 1 in each row, clipped to +-3; equal ones are 0."""
    apart = values - values.mean(1, keepdim=True)
    deviation = apart.square().mean(1, keepdim=True).sqrt()
    equal = deviation <= SAME * values.abs().amax(1, keepdim=True) + 1e-7
    return torch.where(equal, 0.0, apart / deviation.clamp(min=TINY)).clamp(-BOUND, BOUND)


class _Certainty(NamedTuple):
    """What the classifier says of candidates; without the loss of digits near 0 and 1."""

    probabilities: Tensor  # (E, K, C)
    classes: Tensor  # int64 (E, K, 2), the two likeliest
    gap: Tensor  # (E, K), logit difference of these
    log_margin: Tensor  # (E, K)
    rest: Tensor  # (E, K), 1 - p1
    uncertainty: Tensor  # (E, K), 1 - margin

    @property
    def margin(self) -> Tensor:
        return self.log_margin.exp()

    @property
    def gini(self) -> Tensor:
        largest = self.classes[:, :, :1]
        others = self.probabilities.scatter(2, largest, 0.0).square().sum(2)
        return (self.rest * (2 - self.rest) - others).clamp(min=TINY)


def _prepared(situation: Situation) -> Situation:
    """Bounds the logits, and adds a row that counts for nothing where there is none."""
    logits = situation.logits.float().nan_to_num(0.0).clamp(-LARGEST_LOGIT, LARGEST_LOGIT)
    if logits.shape[2] == 1:  # one class alone has a second that nothing belongs to
        logits = torch.nn.functional.pad(logits, (0, 1), value=-LARGEST_LOGIT)
    labeled, labels = situation.labeled, situation.labels
    if not labels.shape[1]:
        labeled = labeled.new_zeros(len(labels), 1, labeled.shape[2])
        labels = labels.new_full((len(labels), 1), -1)
    return situation._replace(logits=logits, labeled=labeled, labels=labels)


def _certainty(logits: Tensor) -> _Certainty:
    logarithms = logits.log_softmax(2)
    probabilities = logarithms.exp()
    top = logits.topk(2, dim=2)
    gap = top.values[:, :, 0] - top.values[:, :, 1]
    likeliest = logarithms.gather(2, top.indices)
    least = math.log(SMALLEST_MARGIN)
    log_margin = (likeliest[:, :, 0] + (-torch.expm1(-gap)).log()).clamp(min=least)
    rest = probabilities.scatter(2, top.indices[:, :, :1], 0.0).sum(2)
    uncertainty = rest + likeliest[:, :, 1].exp()
    return _Certainty(probabilities, top.indices, gap, log_margin, rest, uncertainty)


def _of_probabilities(sure: _Certainty, classes: int) -> dict[str, Tensor]:
    p = sure.probabilities
    return {
        "log_margin": -sure.log_margin,
        "entropy": torch.special.entr(p).sum(2) / math.log(classes),
        "least_confidence": sure.rest,
        "score_margin": -sure.gap,
        "class_share": p.mean(1).gather(1, sure.classes[:, :, 0]),
    }


def _of_ridge(ridge: leave_one_out.LabeledRidge, shown: Situation, sure: _Certainty) -> dict[str, Tensor]:
    points = shown.points
    moved = points @ ridge.inverse
    leverage = (moved * points).sum(2).clamp(min=TINY)
    moments = points.mT @ points
    weighed = (points * sure.uncertainty[:, :, None]).mT @ points
    changes = ((moved @ moments) * moved).sum(2).clamp(min=0.0)
    reduction = ((moved @ weighed) * moved).sum(2).clamp(min=0.0) / (1 + leverage)
    mean, least = leave_one_out.expected_confidence(ridge, points, sure.probabilities, shown.anchors)
    sharpened = _certainty(ridge.sharpness[:, None, None] * (points @ ridge.weights))
    return {
        "log_leverage": leverage.log(),
        "model_change": sure.gini.log() + leverage.log(),
        "variance_reduction": (reduction + TINY).log(),
        "output_change": (changes + TINY).log() + sure.gini.log() - 2 * (1 + leverage).log(),
        "expected_confidence": mean,
        "least_expected_confidence": least,
        "ridge_margin": -sharpened.log_margin,
    }


def _of_labels(
    ridge: leave_one_out.LabeledRidge, shown: Situation, sure: _Certainty, near: neighbors.Neighbors
) -> dict[str, Tensor]:
    p, classes = sure.probabilities, sure.probabilities.shape[2]
    own = leave_one_out.one_hot(shown.labels, classes)
    counts = own.sum(1)  # (E, C)
    share = counts / counts.sum(1, keepdim=True).clamp(min=1)
    errors = ((ridge.wrong[:, None] @ own)[:, 0] + ridge.error[:, None]) / (counts + 1)
    return {
        "labeled_similarity": near.closest.nan_to_num(neginf=0.0),
        "class_need": (p @ (1 / classes - share)[:, :, None])[:, :, 0],
        "neighbor_disagreement": 1 - (p * near.votes).sum(2),
        "neighbor_error": near.errors,
        "class_error": errors.gather(1, sure.classes[:, :, 0]),
    }


def _of_pairs(shown: Situation, sure: _Certainty, radii: Tensor, closest: Tensor) -> dict[str, Tensor]:
    weights = torch.stack([sure.uncertainty, torch.ones_like(sure.uncertainty)], dim=2)
    pair = sure.classes.sort(dim=2).values
    found = neighbors.pair_sums(
        shown.points, weights, pair[:, :, 0] * shown.logits.shape[2] + pair[:, :, 1], closest, radii
    )
    gains = {
        f"{kind}_{name}": _log_gain(found.gains[:, :, at, weighed])
        for at, name in enumerate(("smallest", "median", "unit"))
        for weighed, kind in enumerate(("uncertain_gain", "gain"))
    }
    dense = found.kernels[:, :, neighbors.MEDIAN]
    return {
        **gains,
        "pair_uncertainty": found.alike[:, :, 0],
        "uncertain_density": (dense[:, :, 0] + TINY).log(),
        "dense_uncertainty": (sure.uncertainty + TINY).log() + (dense[:, :, 1] / dense.shape[1]).log(),
    }


def _log_gain(gains: Tensor) -> Tensor:
    return (gains + GAIN_FLOOR * gains.mean(1, keepdim=True) + TINY).log()
