"""The learned strategy, network by network and image by image in float64."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import asdict

import numpy as np

import agents
from agents.policies.batch_head import LEAST_RESIDUAL, RELATIONS, RIDGE, BatchHead
from agents.policies.learned import Learned
from alenv import View
from alenv.descriptors import BOUND, CONTEXT, NAMES

CLOSE = 1e-3  # of a score that is standardized: what is computed in float32 may differ by so much


def learned(view: View, picks: list[int]) -> bool:
    """Tells whether every pick has the best score, less what those before it take away, plus what the head adds."""
    agent = agents.make("learned")
    assert isinstance(agent, Learned), "that is its name"
    trained = agent.trained
    indices = np.unique(view.candidates)
    found = view.descriptors(indices)
    rows, context = found.candidates.double().numpy(), found.context.double().numpy()
    points = view.positions(indices).double().numpy()
    probabilities = view.probabilities(indices).double().numpy()
    total = np.zeros(len(indices))
    for member in range(len(trained.networks.weights[0])):
        scores = []
        for row in rows:
            values = np.concatenate([row, context])
            for layer, (weight, constant) in enumerate(
                zip(trained.networks.weights, trained.networks.constants, strict=True)
            ):
                values = (
                    values @ weight[member].detach().double().numpy()
                    + constant[member, 0].detach().double().numpy()
                )
                values = np.maximum(values, 0) if layer < len(trained.networks.weights) - 1 else values
            scores.append(float(values[0]))
        total += _standardized(np.array(scores))
    stages = np.log([2.0, 20.0, 150.0])
    place = context[CONTEXT.index("log_labels_per_class")]
    weights = {
        name: float(np.interp(place, stages, numbers)) for name, numbers in asdict(trained.blend).items()
    }
    diversity = weights.pop("diversity")
    score = weights.pop("network") * _standardized(total)
    for name, weight in weights.items():
        score = score + weight * rows[:, NAMES.index(name)]
    chosen: list[int] = []
    for pick in picks:
        worth = {}
        for i in set(range(len(indices))) - set(chosen):
            near = max((max(0.0, float(points[i] @ points[j])) for j in chosen), default=0.0)
            worth[i] = score[i] - BOUND * diversity * near
            if trained.head is not None:
                related = _relations(points, probabilities, i, chosen, len(picks))
                worth[i] += _added(trained.head, np.concatenate([related, [score[i]], context]))
        at = int(np.searchsorted(indices, pick))
        if at >= len(indices) or indices[at] != pick or at not in worth:
            return False
        if worth[at] < max(worth.values()) - CLOSE:
            return False
        chosen.append(at)
    return True


def _relations(
    points: np.ndarray, probabilities: np.ndarray, one: int, chosen: list[int], size: int
) -> list[float]:
    """Returns how a candidate stands to the images of a query, as ``batch_head.Relations`` says."""
    if not chosen:
        return [0.0] * len(RELATIONS)
    count = len(chosen)
    cosines = points[chosen] @ points[one]
    gram = points[chosen] @ points[chosen].T + RIDGE * np.eye(count)
    left = float(points[one] @ points[one] - cosines @ np.linalg.solve(gram, cosines))
    predicted = probabilities.argmax(1)
    same = sum(predicted[one] == predicted[other] for other in chosen)
    return [
        max(0.0, float(cosines.max())),
        float(cosines.mean()),
        math.log(max(left, LEAST_RESIDUAL)),
        float(probabilities[one] @ probabilities[chosen].mean(0)),
        same / count,
        same / size,
        count / size,
        math.log1p(count) / 5,
    ]


def _added(head: BatchHead, row: np.ndarray) -> float:
    enter, constant, leave = (part.detach().double().numpy() for part in head.parameters())
    return float(np.maximum(row @ enter + constant, 0) @ leave)


def _standardized(values: np.ndarray) -> np.ndarray:
    spread = math.sqrt(float(np.mean((values - values.mean()) ** 2)))
    return np.asarray(np.clip((values - values.mean()) / spread, -BOUND, BOUND))


CHECKS: dict[str, Callable[[View, list[int]], bool]] = {"learned": learned}
