"""A head for batches: what a candidate is still worth once others of its query are chosen."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from alenv.descriptors import CONTEXT

RELATIONS = (
    "largest_cosine",
    "mean_cosine",
    "log_residual",
    "agreement",
    "class_share",
    "class_of_query",
    "filled",
    "log_count",
)
WIDTH = 32
RIDGE = 0.3  # of the regression of a candidate's position on those of the query
LEAST_RESIDUAL = 1e-4


class GrowingQuery:
    """How near each candidate of E episodes is to the nearest of a query that grows image by image.

    Attributes:
        points: float32 (E, K, d), positions of unit length.
        nearest: float32 (E, K), the largest cosine to one of the query, at least 0.
    """

    def __init__(self, points: Tensor) -> None:
        """Begins with empty queries."""
        self.points, self.nearest = points, points.new_zeros(points.shape[:2])

    def add(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """Adds one candidate to each query, int64 (E, 1); returns its position (E, 1, d) and cosines to it (E, K)."""
        own = self.points.gather(1, places[:, :, None].expand(-1, -1, self.points.shape[2]))
        cosines = (self.points @ own.mT)[:, :, 0]
        self.nearest = torch.maximum(self.nearest, cosines)
        return own, cosines


class Relations(GrowingQuery):
    """How the candidates of E episodes stand to queries that grow image by image.

    None of it needs a label. In the words of ``RELATIONS``, with unit positions x and class probabilities p, t images
    chosen of B: the largest cosine to one of them, at least 0; the mean cosine; log of what a ridge regression on them
    leaves of x, the variance of a Gaussian process with a linear kernel; p . mean p of them; the share of them with the
    same predicted class; their number over B; t / B; log(1 + t) / 5. All are 0 as long as nothing is chosen.
    """

    def __init__(self, points: Tensor, probabilities: Tensor, sizes: Tensor) -> None:
        """Begins with empty queries.

        Args:
            points: float32 (E, K, d), positions of unit length.
            probabilities: float32 (E, K, C); those of a classifier that diverged count as 0.
            sizes: float32 (E,), how many images each query will have.
        """
        super().__init__(points)
        episodes, candidates, width = points.shape
        probabilities = probabilities.nan_to_num(nan=0.0)
        self.count = 0
        self._probabilities, self._sizes = probabilities, sizes[:, None]
        self._predicted = probabilities.argmax(2)
        self._cosines = points.new_zeros(episodes, candidates)
        self._residual = points.square().sum(2)
        self._inverse = torch.eye(width, device=points.device).repeat(episodes, 1, 1)
        self._expected = probabilities.new_zeros(episodes, probabilities.shape[2])
        self._classes = probabilities.new_zeros(episodes, probabilities.shape[2])

    def add(self, places: Tensor) -> tuple[Tensor, Tensor]:
        """As ``GrowingQuery``."""
        own, cosines = super().add(places)
        self._cosines = self._cosines + cosines
        direction = self._inverse @ own.mT  # (E, d, 1)
        scale = RIDGE + own @ direction
        self._residual = self._residual - (self.points @ direction)[:, :, 0].square() / scale[:, :, 0]
        self._inverse = self._inverse - direction @ direction.mT / scale
        chosen = places[:, :, None].expand(-1, -1, self._probabilities.shape[2])
        self._expected = self._expected + self._probabilities.gather(1, chosen)[:, 0]
        self._classes = self._classes.scatter_add(
            1, self._predicted.gather(1, places), torch.ones_like(places, dtype=self._classes.dtype)
        )
        self.count += 1
        return own, cosines

    @property
    def now(self) -> Tensor:
        """The relations of each candidate, float32 (E, K, 8), in the order of ``RELATIONS``."""
        if self.count == 0:
            return self.points.new_zeros(*self.nearest.shape, len(RELATIONS))
        same = self._classes.gather(1, self._predicted)
        everywhere = torch.ones_like(same)
        found = (
            self.nearest,
            self._cosines / self.count,
            self._residual.clamp(min=LEAST_RESIDUAL).log(),
            (self._probabilities @ self._expected[:, :, None])[:, :, 0] / self.count,
            same / self.count,
            same / self._sizes,
            everywhere * self.count / self._sizes,
            everywhere * (math.log1p(self.count) / 5),
        )
        return torch.stack(found, dim=2)


class BatchHead(nn.Module):
    """Adds to a candidate's score what follows from those that its query holds already.

    It learns what a label is worth once the labels of the others are known, from states where they are.
    """

    def __init__(self, generator: torch.Generator, width: int = WIDTH) -> None:
        """Draws the weights; at first nothing is added.

        Args:
            generator: On the CPU.
            width: Of the hidden layer.
        """
        super().__init__()
        size = len(RELATIONS) + 1 + len(CONTEXT)
        self.enter = nn.Parameter(torch.randn(size, width, generator=generator) / size**0.5)
        self.constant = nn.Parameter(torch.zeros(width))
        self.leave = nn.Parameter(torch.zeros(width))

    def forward(self, relations: Tensor, scores: Tensor, context: Tensor) -> Tensor:
        """Returns what is added to scores (..., K), of relations (..., K, 8) and context (..., 8).

        Scores are those before the query began, without diversity.
        """
        around = context.unsqueeze(-2).expand(*scores.shape, -1)
        rows = torch.cat([relations, scores.unsqueeze(-1), around], dim=-1)
        return (rows @ self.enter + self.constant).relu() @ self.leave


class Correction:
    """What a head adds to the scores of E episodes while their queries grow.

    Attributes:
        relations: To the queries; who adds to them is who chooses.
    """

    def __init__(self, head: BatchHead, relations: Relations, scores: Tensor, context: Tensor) -> None:
        """Takes scores (E, K) before the query begins, and the context (E, 8)."""
        self.relations = relations
        self._head, self._scores, self._context = head, scores, context

    @property
    def now(self) -> Tensor:
        """What is added now, float32 (E, K)."""
        added: Tensor = self._head(self.relations.now, self._scores, self._context)
        return added
