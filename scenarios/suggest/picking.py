"""Which images an agent asks for: the default one for a number of labels, near-duplicates, and why."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

import agents
from alenv import Asking, View, errors, geometry, needs

Indices = NDArray[np.int64]

ALIKE = 0.98  # cosine from which two images of a batch are near-duplicates
LABELS_PER_CLASS = 2  # fewer, and images are chosen by typicality
_MOST = 4  # times the batch that an agent is asked for, to replace near-duplicates
_SURE = 0.3  # margin from which a prediction is no close call


@dataclass(frozen=True)
class Pick:
    """An image of a batch.

    Attributes:
        row: Its row of the features.
        predicted: Position of its class; None where there are no labels.
        confidence: Probability of that class, 0 without one.
        reason: Why it is asked for.
    """

    row: int
    predicted: int | None
    confidence: float
    reason: str


@dataclass(frozen=True)
class Picked:
    """A batch.

    Attributes:
        picks: The images, the first one to be labeled first.
        agent: Who chose them.
        passed: Rows of images that were passed over, each with that of the one of the batch that looks the same.
    """

    picks: tuple[Pick, ...]
    agent: str
    passed: tuple[tuple[int, int], ...]


def default_agent(labeled: int, num_classes: int) -> str:
    """Returns who asks where nobody is named: ``"typiclust"`` with few labels of a class, then ``"learned"``.

    Source: the tables of strategies at few and many labels in alenv's own results.
    """
    few = num_classes < 2 or labeled < LABELS_PER_CLASS * num_classes
    return "typiclust" if few else "learned"


def check(name: str) -> None:
    """Checks that there is an agent of this name.

    Raises:
        UnknownName: There is none.
    """
    agents.make(name)


def pick(asking: Asking, name: str, size: int, classes: tuple[str, ...], seed: int) -> Picked:
    """Lets an agent choose a batch without near-duplicates.

    Where two of its images are nearly the same, the later one is passed over: the agent is asked for more, and the
    first different ones are taken. They come back where even four times as many hold too few.

    Args:
        asking: The images and their labels.
        name: The agent.
        size: Images of the batch, at most those that are unlabeled.
        classes: Their names.
        seed: Of the agent.

    Raises:
        UnknownName: There is no such agent.
        MissingHead: It needs more than frozen features.
    """
    agent = agents.make(name)
    asked = size
    while True:
        view = asking.view(asked)
        if lacking := needs.missing(agent.needs, view.offers):
            raise errors.MissingHead(
                f"The agent {name} needs {', '.join(lacking)}, which features and {len(view.labeled)} labels do not "
                "give; choose another one, such as margin, typiclust or learned."
            )
        agent.reset(view, seed)
        chosen = np.asarray(agent.act(None), dtype=np.int64)
        like = _like(view, chosen)
        different = like == np.arange(len(chosen))
        if different.sum() >= size or asked == min(_MOST * size, asking.room):
            break
        asked = min(2 * asked, _MOST * size, asking.room)
    order = np.concatenate([np.flatnonzero(different), np.flatnonzero(~different)])
    passed = [place for place in np.sort(order[size:]) if place < order[:size].max() and not different[place]]
    pairs = tuple(
        (int(asking.rows[chosen[place]]), int(asking.rows[chosen[like[place]]])) for place in passed
    )
    return Picked(_explained(asking, view, chosen[order[:size]], classes, name), name, pairs)


def _like(view: View, chosen: Indices) -> Indices:
    """Returns the place of the first different image that each chosen one is like, int64 (n,).

    An image that is like none of those before it is different, and like itself.
    """
    points = view.features(chosen)
    like = np.arange(len(chosen))
    different = np.zeros(len(chosen), dtype=bool)
    place = 0
    for block in torch.split(points, max(1, geometry.BLOCK // len(points))):
        for row in (geometry.squared_distances(block, points) < 2 * (1 - ALIKE)).cpu().numpy():
            same = row[:place] & different[:place]
            if same.any():
                like[place] = same.argmax()
            else:
                different[place] = True
            place += 1
    return like


def _explained(
    asking: Asking, view: View, order: Indices, classes: tuple[str, ...], name: str
) -> tuple[Pick, ...]:
    rows = asking.rows[order]
    if not len(view.labeled):
        return tuple(Pick(int(row), None, 0.0, f"chosen by {name}") for row in rows)
    probabilities = view.probabilities(order).cpu().numpy()[:, : len(classes)]
    likeliest = np.argsort(-probabilities, axis=1, kind="stable")
    picks = []
    for row, p, ranked in zip(rows, probabilities, likeliest, strict=True):
        first, reason = int(ranked[0]), f"chosen by {name}"
        if len(ranked) > 1 and p[first] - p[ranked[1]] < _SURE:
            reason = f"{classes[first]} or {classes[ranked[1]]}, chosen by {name}"
        picks.append(Pick(int(row), first, float(p[first]), reason))
    return tuple(picks)
