"""k-means: one real image from the middle of each of B clusters."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch

from agents.base import Indices, Strategy, best
from agents.registry import register
from alenv import geometry

if TYPE_CHECKING:
    from alenv import View


@register
class KMeans(Strategy):
    """Clusters the features into B clusters and takes the image nearest to each center.

    Images are taken from their own cluster, so no image is taken twice. Where there are fewer than B distinct
    images, random ones fill up the query.
    """

    name: ClassVar[str] = "kmeans"
    cost: ClassVar[str] = "one inference pass over the pool, then about 10 B U D products"
    source: ClassVar[str] = "Xu et al. 2003; Zhdanov 2019"

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses the most central image of each of ``count`` clusters of ``indices``."""
        clusters = geometry.k_means(view.features(indices), count, generator)
        nearest_first = best(-clusters.squared_distance, len(indices), generator).numpy()
        assignment = clusters.assignment.cpu().numpy()[nearest_first]
        central = nearest_first[np.unique(assignment, return_index=True)[1]]
        others = np.setdiff1d(np.arange(len(indices)), central)
        fill = others[torch.randperm(len(others), generator=generator)[: count - len(central)].numpy()]
        chosen: Indices = indices[np.concatenate([central, fill])]
        return chosen
