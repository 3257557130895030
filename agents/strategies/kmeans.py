"""k-means: one real image from the middle of each of B clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from agents.base import Indices, Strategy, best
from agents.registry import register
from alenv import geometry

if TYPE_CHECKING:
    from alenv import View


def central(points: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Returns one point from the middle of each of ``count`` clusters, int64 (count,) distinct rows on the CPU.

    Points are taken from their own cluster, so no point is taken twice. Where there are fewer than ``count`` distinct
    points, random ones fill up.

    Args:
        points: float (n, d).
        count: At most n.
        generator: A CPU generator.
    """
    clusters = geometry.k_means(points, count, generator)
    nearest_first = best(-clusters.squared_distance, len(points), generator).numpy()
    assignment = clusters.assignment.cpu().numpy()[nearest_first]
    middles = nearest_first[np.unique(assignment, return_index=True)[1]]
    others = np.setdiff1d(np.arange(len(points)), middles)
    fill = others[torch.randperm(len(others), generator=generator)[: count - len(middles)].numpy()]
    return torch.from_numpy(np.concatenate([middles, fill]))


def central_then_random(points: Tensor, wanted: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Returns the middles of ``count`` clusters of the wanted points; with fewer, all of these and random others.

    Args:
        points: float (n, d).
        wanted: bool (n,).
        count: At most n.
        generator: A CPU generator.

    Returns:
        int64 (count,) distinct rows on the CPU.
    """
    rows = wanted.cpu().nonzero().flatten()
    if len(rows) > count:
        return rows[central(points[rows.to(points.device)], count, generator)]
    others = (~wanted.cpu()).nonzero().flatten()
    shuffled = others[torch.randperm(len(others), generator=generator)]
    return torch.cat([rows[torch.randperm(len(rows), generator=generator)], shuffled[: count - len(rows)]])


@register
class KMeans(Strategy):
    """Clusters the features into B clusters and takes the image nearest to each center.

    First centers are drawn by k-means++, then at most ten times each center becomes the mean of the images that are
    nearest to it. Images are taken from their own cluster, so no image is taken twice. Where there are fewer than B
    distinct images, random ones fill up the query. Labels and predictions play no part.

    Differs: public code leaves clustering to a library, for up to 300 iterations.
    """

    name: ClassVar[str] = "kmeans"
    cost: ClassVar[str] = "one inference pass over the pool, then about 10 B U D products"
    source: ClassVar[str] = "Xu et al. 2003; Zhdanov 2019, Diverse mini-batch Active Learning"

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses the most central image of each of ``count`` clusters of ``indices``."""
        chosen: Indices = indices[central(view.features(indices), count, generator).numpy()]
        return chosen
