"""Networks that foresee what a label would bring, and the batch that follows from them."""

from __future__ import annotations

import itertools
import math
from dataclasses import astuple, dataclass, fields
from typing import NamedTuple

import torch
from torch import Tensor, nn

from agents.policies.batch_head import BatchHead, Correction, GrowingQuery, Relations
from alenv import BatchView
from alenv.descriptors import BOUND, CONTEXT, NAMES, Descriptors, standardized

WIDTH = 64
STAGES = (2.0, 20.0, 150.0)  # labels a class at which a blend is given; linear in the logarithm between them
Stages = tuple[float, ...]
_PER_CLASS = CONTEXT.index("log_labels_per_class")


class GainNetworks(nn.Module):
    """Members that each score candidates one by one, in a single computation.

    The output means nothing but an order within one episode's candidates.
    """

    def __init__(self, members: int, generator: torch.Generator, width: int = WIDTH) -> None:
        """Draws the weights.

        Args:
            members: M.
            generator: On the CPU.
            width: Of the two hidden layers.
        """
        super().__init__()
        sizes = (len(NAMES) + len(CONTEXT), width, width, 1)
        self.weights = nn.ParameterList()
        self.constants = nn.ParameterList()
        for before, after in itertools.pairwise(sizes):
            drawn = torch.randn(members, before, after, generator=generator)
            self.weights.append(nn.Parameter(drawn * (2 / before) ** 0.5))
            self.constants.append(nn.Parameter(torch.zeros(members, 1, after)))

    def forward(self, candidates: Tensor, context: Tensor) -> Tensor:
        """Scores candidates, float32 (E, K, 29) with context (E, 8): returns (M, E, K), or of (M, E, K, 29)."""
        around = context.unsqueeze(-2).expand(*candidates.shape[:-1], -1)
        rows = torch.cat([candidates, around], dim=-1)
        members, shape = len(self.weights[0]), rows.shape[-3:-1]
        hidden = (rows if rows.ndim == 4 else rows.expand(members, *rows.shape)).flatten(1, 2)
        for layer, (weight, constant) in enumerate(zip(self.weights, self.constants, strict=True)):
            hidden = torch.baddbmm(constant, hidden, weight)
            if layer < len(self.weights) - 1:
                hidden = hidden.relu()
        return hidden.view(members, *shape)

    def scores(self, described: Descriptors) -> Tensor:
        """Returns the members' common score, standardized within the candidates, (E, K)."""
        found = self(described.candidates, described.context)
        return standardized(standardized(found.flatten(0, 1)).view_as(found).sum(0))


@dataclass(frozen=True)
class Blend:
    """How a batch is put together, at 2, 20 and 150 labels a class.

    Attributes:
        network: Weight of the networks' score.
        log_margin, uncertain_gain_smallest, uncertain_gain_median, typicality: Weights of these descriptors.
        diversity: What three times the cosine to the nearest of the batch takes away.
    """

    network: Stages = (1.0, 0.7, 0.4)
    log_margin: Stages = (0.0, 0.3, 0.6)
    uncertain_gain_smallest: Stages = (0.0, 0.0, 0.0)
    uncertain_gain_median: Stages = (0.0, 0.0, 0.0)
    typicality: Stages = (0.0, 0.0, 0.0)
    diversity: Stages = (1.6, 1.0, 0.5)

    def __post_init__(self) -> None:
        for numbers in astuple(self):
            if len(numbers) != len(STAGES) or not all(math.isfinite(number) for number in numbers):
                raise ValueError(f"{numbers!r} is no weight for each of {len(STAGES)} stages")

    @property
    def table(self) -> Tensor:
        """The weights as float32 (6, 3), in the order of the attributes."""
        return torch.tensor(astuple(self))

    @classmethod
    def of(cls, table: Tensor) -> Blend:
        """Reads a table."""
        return cls(*(tuple(row) for row in table.tolist()))


_MIXED = [NAMES.index(each.name) for each in fields(Blend)[1:-1]]


def weights_at(table: Tensor, context: Tensor) -> Tensor:
    """Returns the weights (E, 6) of a blend's table for contexts (E, 8)."""
    stages = context.new_tensor(STAGES).log()
    place = context[:, _PER_CLASS].clamp(stages[0], stages[-1])
    upper = torch.bucketize(place, stages).clamp(1, len(STAGES) - 1)
    share = (place - stages[upper - 1]) / (stages[upper] - stages[upper - 1])
    return (table[:, upper - 1] * (1 - share) + table[:, upper] * share).T


def blended(networks: GainNetworks, described: Descriptors, table: Tensor) -> tuple[Tensor, Tensor]:
    """Returns the score of every candidate (E, K) and the weight of diversity (E,), by a blend's table."""
    weights = weights_at(table, described.context)
    mixed = torch.cat([networks.scores(described)[:, :, None], described.candidates[:, :, _MIXED]], dim=2)
    return (mixed @ weights[:, :-1, None])[:, :, 0], weights[:, -1]


def batches(
    scores: Tensor, points: Tensor, diversity: Tensor, count: int, correction: Correction | None = None
) -> Tensor:
    """Chooses greedily: the best score less what the nearest of the batch takes away.

    Args:
        scores: float32 (E, K).
        points: float32 (E, K, d), positions of unit length.
        diversity: float32 (E,); see ``Blend``.
        count: B, at most K.
        correction: What a head for batches adds; None = nothing.

    Returns:
        int64 (E, B), distinct places among the candidates, in the order of choice; of equal ones the first.
    """
    left, chosen = scores.clone(), []
    query = GrowingQuery(points) if correction is None else correction.relations
    for _ in range(count):
        now = left - BOUND * diversity[:, None] * query.nearest
        place = (now if correction is None else now + correction.now).argmax(1, keepdim=True)
        chosen.append(place)
        left.scatter_(1, place, -torch.inf)
        query.add(place)
    return torch.cat(chosen, dim=1)


class Candidates(NamedTuple):
    """What a policy sees of the candidates of E episodes.

    Attributes:
        described: Their descriptors, (E, K, 29) and (E, 8).
        points: float32 (E, K, d), positions of unit length.
        probabilities: float32 (E, K, C).
        sizes: float32 (E,), how many images each query will have.
    """

    described: Descriptors
    points: Tensor
    probabilities: Tensor
    sizes: Tensor

    @classmethod
    def of(cls, batch: BatchView) -> Candidates:
        """Reads all candidates of a batch, on the CPU, where policies of this kind learn."""
        return cls(
            Descriptors(*(part.cpu() for part in batch.descriptors())),
            batch.positions(batch.candidates).cpu(),
            batch.probabilities.cpu(),
            torch.from_numpy(batch.query_sizes).float(),
        )


@dataclass(frozen=True)
class GainPolicy:
    """What ``marginal_gain`` trains.

    Attributes:
        networks: What scores the candidates.
        blend: How a query is put together from the scores.
        head: What it adds to them as a query grows; None = nothing.
    """

    networks: GainNetworks
    blend: Blend
    head: BatchHead | None = None

    @torch.no_grad()
    def chosen(self, shown: Candidates, count: int) -> Tensor:
        """Returns places among the candidates, int64 (E, count), in the order of choice."""
        device = shown.points.device
        scores, diversity = blended(self.networks.to(device), shown.described, self.blend.table.to(device))
        return batches(scores, shown.points, diversity, count, self.correction(shown, scores))

    def correction(self, shown: Candidates, scores: Tensor) -> Correction | None:
        """Returns what the head adds to scores (E, K) as queries grow from nothing, or None without a head."""
        if self.head is None:
            return None
        relations = Relations(shown.points, shown.probabilities, shown.sizes)
        return Correction(self.head.to(scores.device), relations, scores, shown.described.context)
