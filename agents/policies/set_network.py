"""A network that scores a set: the same whatever the number and the order of its members."""

from __future__ import annotations

import torch
from torch import Tensor, nn

POINTS = 8  # learned points through which the candidates see each other
HEADS = 4
FIRST_SPREAD = 0.05  # of the last layer's weights at first: scores begin nearly equal


class SetNetwork(nn.Module):
    """Scores every candidate by what describes it, the state of learning, and the other candidates.

    Candidates see each other through a few learned points, at a cost of O(K). Weights do not depend on K, so that a
    network trained on hundreds of candidates scores thousands.

    Source: Lee et al. 2019, "Set Transformer", induced set attention.
    """

    def __init__(self, descriptors: int, context: int, width: int = 64) -> None:
        """Builds the network.

        Args:
            descriptors: Numbers per candidate.
            context: Numbers of the state of learning.
            width: Of all layers; a multiple of 4.
        """
        super().__init__()
        self.summary_size = 2 * width
        self.own = nn.Sequential(
            nn.Linear(descriptors + context, width), nn.ReLU(), nn.Linear(width, width), nn.ReLU()
        )
        self.points = nn.Parameter(torch.randn(POINTS, width) / width**0.5)
        self.gather = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.spread = nn.MultiheadAttention(width, HEADS, batch_first=True)
        self.score = nn.Sequential(nn.Linear(2 * width, width), nn.ReLU(), nn.Linear(width, 1))
        self.begin_even()

    @torch.no_grad()
    def begin_even(self) -> None:
        """Shrinks the last layer, so that no candidate is preferred yet."""
        last = self.score[-1]
        assert isinstance(last, nn.Linear)
        last.weight *= FIRST_SPREAD

    def forward(self, candidates: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Scores E sets.

        Args:
            candidates: float32 (E, K, descriptors).
            context: float32 (E, context).

        Returns:
            Scores (E, K), and a summary of each set for a critic, (E, 2 width).
        """
        around = context[:, None].expand(-1, candidates.shape[1], -1)
        own = self.own(torch.cat([candidates, around], dim=2))
        points = self.points.expand(len(own), -1, -1)
        gathered = self.gather(points, own, own, need_weights=False)[0]
        seen = self.spread(own, gathered, gathered, need_weights=False)[0]
        scores: Tensor = self.score(torch.cat([own, seen], dim=2))[:, :, 0]
        return scores, torch.cat([own.mean(1), gathered.mean(1)], dim=1)
