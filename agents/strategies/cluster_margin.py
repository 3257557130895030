"""Cluster-Margin: images of a low margin, in turns from many clusters, the smallest first."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.cluster.hierarchy import fcluster, linkage
from torch import Tensor

from agents import options, representation
from agents.base import Indices, Strategy, best
from agents.registry import register
from agents.strategies.uncertainty import margin
from alenv import geometry

if TYPE_CHECKING:
    from alenv import View

MOST = 5000  # points whose distances are held all at once: 100 MB, twice


def average_linkage(points: Tensor, clusters: int) -> NDArray[np.int64]:
    """Returns the clusters of a hierarchical clustering with average linkage, int64 (n,) from 0.

    The distance of two points is 1 - their cosine. Where merges tie there may be fewer clusters.

    Args:
        points: float (n, d) of unit length, or 0.
        clusters: The most clusters, at least 1.
    """
    n = len(points)
    if n < 2:
        return np.zeros(n, dtype=np.int64)
    condensed = np.empty(n * (n - 1) // 2)
    end = 0
    for rows in torch.split(torch.arange(n - 1), max(1, geometry.BLOCK // n)):
        block = geometry.squared_distances(points[rows], points).cpu().numpy() / 2
        for row, values in zip(rows.tolist(), block, strict=True):
            condensed[end : end + n - 1 - row] = values[row + 1 :]
            end += n - 1 - row
    found: NDArray[np.int64] = (
        fcluster(linkage(condensed, "average"), clusters, "maxclust").astype(np.int64) - 1
    )
    return found


def clustered(points: Tensor, size: float, most: int, generator: torch.Generator) -> NDArray[np.int64]:
    """Returns clusters of about ``size`` points each, int64 (n,).

    Args:
        points: float (n, d) of unit length, or 0.
        size: Mean number of points in a cluster, at least 1.
        most: With more points, so many random ones are clustered, and the others join the cluster of the nearest.
        generator: Draws these.
    """
    number = max(1, round(len(points) / size))
    if len(points) <= most:
        return average_linkage(points, number)
    rows = torch.randperm(len(points), generator=generator)[:most].to(points.device)
    own = average_linkage(points[rows], min(number, most))
    joined: NDArray[np.int64] = own[geometry.nearest(points, points[rows]).center.cpu().numpy()]
    return joined


def in_turns(clusters: NDArray[np.int64], count: int, generator: torch.Generator) -> Tensor:
    """Returns points taken in turns from their clusters, the smallest cluster first, int64 (count,) distinct rows.

    Args:
        clusters: int64 (n,).
        count: At most n.
        generator: Orders the points within each cluster, and clusters of one size.
    """
    shuffled = torch.randperm(len(clusters), generator=generator).numpy()
    _, cluster, sizes = np.unique(clusters[shuffled], return_inverse=True, return_counts=True)
    ties = torch.randperm(len(sizes), generator=generator).numpy()
    by_cluster = np.argsort(cluster, kind="stable")
    starts = np.concatenate([[0], sizes.cumsum()[:-1]])
    turn = np.empty(len(clusters), dtype=np.int64)
    turn[by_cluster] = np.arange(len(clusters)) - np.repeat(starts, sizes)
    order = np.lexsort((ties[cluster], sizes[cluster], turn))
    return torch.from_numpy(shuffled[order[:count]])


@register
class ClusterMargin(Strategy):
    """Of the images with the lowest margins, random ones in turns from their clusters, the smallest cluster first.

    The 10 B images whose two likeliest classes are closest are clustered: the two clusters whose images are on
    average least apart, by 1 - cosine, become one, until about ten images are in each. Then each cluster gives one
    random image, the smallest first, and again until there are B, so that small clusters, of which a plain margin
    query takes next to nothing, give as many images as large ones.

    Args:
        factor: Images of the lowest margin that are looked at, in queries.
        size: Mean number of these images in a cluster, at least 1.
        most: The most images that the hierarchical clustering takes; others join the cluster of the nearest.
        features: ``"classifier"`` for its penultimate features, as published, or ``"embedding"``; of unit length.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``factor`` or ``most`` is no whole number of at least 1, or ``size`` below 1.
        UnknownName: There are no such features.

    Differs: the paper clusters the whole pool once, after the first training; that takes a matrix of all pairs. Here
    the images of the lowest margins are clustered for each query, on the features of now. Its constants (10 queries,
    10 images in a cluster for Open Images; 1.25 and 1.25 for CIFAR) and the cosine distance were not confirmed.
    """

    name: ClassVar[str] = "cluster_margin"
    cost: ClassVar[str] = "one inference pass over the pool; then O(n^2 D) for n = min(10 B, 5000), 200 MB"
    source: ClassVar[str] = "Citovsky et al. 2021, Batch Active Learning at Scale"

    def __init__(
        self,
        factor: int = 10,
        size: float = 10.0,
        most: int = MOST,
        features: str = "classifier",
        pool: str | None = None,
    ) -> None:
        super().__init__(pool)
        self.factor, self.most = options.whole("factor", factor), options.whole("most", most)
        self.size = options.number("size", size, least=1)
        self.features, self.needs = features, representation.needs_of(features)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses in turns from clusters of the images with the lowest margins."""
        low = best(margin(view.logits(indices)), self.factor * count, generator).numpy()
        points = representation.points(view, indices[low], self.features)
        clusters = clustered(points, self.size, self.most, generator)
        chosen: Indices = indices[low[in_turns(clusters, count, generator).numpy()]]
        return chosen
