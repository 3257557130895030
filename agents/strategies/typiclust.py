"""TypiClust: the most typical image of each cluster that holds few labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from agents import options, representation
from agents.base import Indices, Strategy, best
from agents.registry import register
from alenv import geometry

if TYPE_CHECKING:
    from alenv import View

EPSILON = 1e-5  # so that duplicates are very typical rather than infinitely so


def typicality(points: Tensor, neighbors: int = 20) -> Tensor:
    """Returns 1 / (mean distance to the nearest other points + 1e-5), (n,), higher for dense places.

    Args:
        points: float (n, d), those of one cluster.
        neighbors: The most that are averaged over; never more than half of the points. Without any (a single point)
            the typicality is 0.
    """
    count = min(neighbors, len(points) // 2)
    if count == 0:
        return torch.zeros(len(points), device=points.device)
    parts = []
    for rows in torch.split(torch.arange(len(points)), max(1, geometry.BLOCK // len(points))):
        squared = geometry.squared_distances(points[rows], points)
        squared[torch.arange(len(rows)), rows] = torch.inf  # a point is no neighbor of itself
        parts.append(squared.topk(count, largest=False).values.sqrt_().mean(1))
    return 1 / (torch.cat(parts) + EPSILON)


def cluster_order(labeled: Tensor, sizes: Tensor, generator: torch.Generator) -> list[int]:
    """Returns the clusters in the order in which they are asked: fewest labels first, then the largest.

    Args:
        labeled: int64 (K,) labeled images in each.
        sizes: int64 (K,) images in each, labeled ones included.
        generator: Orders those that are equal in both.
    """
    first = -labeled.double() * (int(sizes.max()) + 1) + sizes
    return best(first, len(sizes), generator).tolist()


@register
class TypiClust(Strategy):
    """The most typical image of each cluster, the clusters with fewest labels and most images first.

    All images, labeled or not, are parted into L + B clusters, at most ``clusters``; in turns each cluster gives its
    most typical image that is free. Clusters of at most ``least`` images are asked only when no other has any left.
    Needs no labels, and looks at no prediction.

    Args:
        features: ``"embedding"``, as published, or ``"classifier"`` for its penultimate features; of unit length.
        clusters: The most clusters.
        neighbors: Of which the mean distance is taken.
        least: Clusters so small are outliers.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: A number is not a whole one of at least 1 (``least``: of at least 0).
        UnknownName: There are no such features.

    Differs: public code averages squared distances, the paper distances, and so does this. Neighbors are all images
    of the cluster, those chosen before included, so that typicality is computed once. One k-means with a seed serves
    any number of clusters.
    """

    name: ClassVar[str] = "typiclust"
    needs: tuple[str, ...] = ("embedding",)
    cost: ClassVar[str] = (
        "10 K N D products for K = min(L + B, 500) clusters, then N D times the mean cluster size"
    )
    source: ClassVar[str] = "Hacohen, Dekel & Weinshall 2022, Active Learning on a Budget (TPC_RP)"

    def __init__(
        self,
        features: str = "embedding",
        clusters: int = 500,
        neighbors: int = 20,
        least: int = 5,
        pool: str | None = None,
    ) -> None:
        super().__init__(pool)
        self.features, self.needs = features, representation.needs_of(features)
        self.clusters, self.neighbors = (
            options.whole("clusters", clusters),
            options.whole("neighbors", neighbors),
        )
        self.least = options.whole("least", least, 0)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses in turns from the clusters of ``indices`` and the labeled images."""
        everything = np.concatenate([indices, view.labeled])
        points = representation.points(view, everything, self.features)
        number = min(len(view.labeled) + count, self.clusters)
        assignment = geometry.k_means(points, number, generator).assignment
        _, assignment, sizes = torch.unique(assignment, return_inverse=True, return_counts=True)
        labeled = torch.bincount(assignment[len(indices) :], minlength=len(sizes))
        order = cluster_order(labeled.cpu(), sizes.cpu(), generator)
        order = sorted(order, key=lambda cluster: int(sizes[cluster]) <= self.least)  # stable
        queues = [self._queue(points, assignment, cluster, len(indices), generator) for cluster in order]
        large = sum(int(sizes[cluster]) > self.least for cluster in order)
        chosen = _in_turns(queues[:large]) + _in_turns(queues[large:])
        picked: Indices = indices[chosen[:count]]
        return picked

    def _queue(
        self, points: Tensor, assignment: Tensor, cluster: int, free: int, generator: torch.Generator
    ) -> list[int]:
        """Returns the unlabeled rows of a cluster, the most typical first."""
        rows = (assignment == cluster).nonzero().flatten()
        scores = typicality(points[rows], self.neighbors)[rows < free]
        rows = rows[rows < free].cpu()
        return rows[best(scores, len(rows), generator)].tolist()


def _in_turns(queues: list[list[int]]) -> list[int]:
    """Returns the first of each queue, then the second of each that has one, and so on."""
    turns = range(max(map(len, queues), default=0))
    return [queue[turn] for turn in turns for queue in queues if turn < len(queue)]
