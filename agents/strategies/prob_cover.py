"""ProbCover: cover as much of the pool as possible with balls of one radius."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from agents import cover, options, representation
from agents.base import Indices, Strategy
from agents.registry import register
from alenv import geometry
from alenv.errors import InvalidQuery

if TYPE_CHECKING:
    from alenv import View

BALLS = 2000  # a sample of balls whose purity is looked at: a share of 95 % is then known to half a percent
WHOLE = 2.0  # no two points of unit length are farther apart


def pure_radius(points: Tensor, classes: int, purity: float, generator: torch.Generator) -> float:
    """Returns the largest radius at which enough balls are pure, in (0, 2].

    A ball around a point is pure where all points nearer than the radius are of the point's own cluster, of k-means
    with as many clusters as classes. So it is pure up to the distance of the nearest foreign point, and the radius is
    a quantile of those distances.

    Args:
        points: float (n, d) of unit length.
        classes: Clusters.
        purity: The share of balls that are to be pure, in (0, 1].
        generator: Draws the clusters' first centers and the balls that are looked at, at most 2,000.

    Source: Yehuda et al. 2022; the quantile takes the place of their search over a grid.
    """
    assignment = geometry.k_means(points, min(classes, len(points)), generator).assignment
    rows = torch.randperm(len(points), generator=generator)[:BALLS]
    nearest = []
    for some in torch.split(rows, max(1, geometry.BLOCK // len(points))):
        squared = geometry.squared_distances(points[some], points)
        own = assignment[some, None] == assignment
        nearest.append(squared.masked_fill_(own, torch.inf).amin(1).sqrt())
    foreign = torch.cat(nearest).cpu().sort().values
    impure = int((1 - purity) * len(foreign) + 1e-9)  # so many balls may be impure
    return min(float(foreign[impure]), WHOLE)


def radius_of(view: View, points: Tensor, delta: float | str, purity: float) -> float:
    """Returns the radius that an option ``delta`` stands for.

    Args:
        view: Tells the number of classes.
        points: float (n, d) of unit length, of all images that are looked at.
        delta: A radius, or ``"auto"`` for ``pure_radius``, whose random draws are always the same.
        purity: See there.
    """
    if delta == "auto":
        return pure_radius(points, view.num_classes, purity, torch.Generator().manual_seed(0))
    return float(delta)


def checked_radius(name: str, delta: float | str) -> float | str:
    """Returns an option that is ``"auto"`` or a number above 0.

    Raises:
        InvalidQuery: It is neither.
    """
    if isinstance(delta, str):
        if delta != "auto":
            raise InvalidQuery(f"{name}={delta!r} was given; give a number above 0, or auto.")
        return delta
    return options.number(name, delta, above=True)


@register
class ProbCover(Strategy):
    """The images whose balls cover most images that no chosen or labeled image covers yet.

    A ball holds all images nearer than ``delta``, of features of unit length. Each choice is the one that covers
    most; once all is covered, images are drawn at random. An image in a dense place covers many others, and its
    neighbors little that is new after it; so few labels stand for much of the pool. Needs no labels, and looks at no
    prediction.

    Args:
        delta: The radius; ``"auto"`` takes the largest at which a share ``purity`` of the balls holds images of one
            cluster only, of k-means with C clusters. Published for SimCLR features: 0.75 for CIFAR-10.
        purity: The share, for ``"auto"``.
        features: ``"embedding"``, as published, or ``"classifier"`` for its penultimate features.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``delta`` is neither a number above 0 nor ``"auto"``, or ``purity`` no number in (0, 1].
        UnknownName: There are no such features.

    Differs: the paper draws one of the five best, its code takes the best, and so does this. With all covered, public
    code takes the first image again and again. The graph is not stored: a gain is counted when it is needed.
    """

    name: ClassVar[str] = "prob_cover"
    needs: tuple[str, ...] = ("embedding",)
    cost: ClassVar[str] = (
        "N U D products once; then about 100 N D for each of the B choices, fewer as they are covered"
    )
    source: ClassVar[str] = "Yehuda et al. 2022, Active Learning Through a Covering Lens, Algorithm 1"

    def __init__(
        self,
        delta: float | str = "auto",
        purity: float = 0.95,
        features: str = "embedding",
        pool: str | None = None,
    ) -> None:
        super().__init__(pool)
        self.delta = checked_radius("delta", delta)
        self.purity = options.number("purity", purity, above=True, most=1)
        self.features, self.needs = features, representation.needs_of(features)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Covers ``indices`` greedily."""
        points = representation.points(view, np.concatenate([indices, view.labeled]), self.features)
        radius = radius_of(view, points, self.delta, self.purity)
        free, labeled = points[: len(indices)], points[len(indices) :]
        state = cover.Cover(free, free, cover.top_hat(radius))
        if len(labeled):
            state.add(labeled)
        chosen: Indices = indices[cover.greedy(state, count, generator).numpy()]
        return chosen
