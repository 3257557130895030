"""DCoM: from covering the pool to uncertain images, as the labeled images come to cover it."""

from __future__ import annotations

import itertools
import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents import cover, options, representation
from agents.base import Indices, Strategy
from agents.registry import register
from agents.strategies.herding import SAMPLE
from agents.strategies.prob_cover import checked_radius, radius_of
from agents.strategies.uncertainty import margin
from alenv import geometry

if TYPE_CHECKING:
    from alenv import View

RESOLUTION = 0.05  # of radii
LARGEST = 22  # radii are 1 to so many times the resolution
LEAST_PURE, PURER = (
    0.4,
    0.2,
)  # the share of a ball that must be of its class: from 0.4 to 0.6 as the cover grows


def competence(covered: float, slope: float = 50.0, middle: float = 0.8) -> float:
    """Returns (1 + exp(-k (1 - a))) / (1 + exp(-k (x - a))), from about 0 to 1.

    Args:
        covered: x, the share of the pool that labeled images cover, in [0, 1].
        slope: k.
        middle: a, where it is about a half.

    Source: Mishal & Weinshall 2024.
    """
    return (1 + math.exp(-slope * (1 - middle))) / (1 + math.exp(-slope * (covered - middle)))


def largest_pure_radii(
    centers: Tensor, labels: Tensor, points: Tensor, predicted: Tensor, share: float
) -> Tensor:
    """Returns per center the largest radius, of 0.05, 0.10 ... 1.10, whose ball is mostly predicted as its class.

    Args:
        centers: float (c, d), labeled.
        labels: int64 (c,).
        points: float (n, d).
        predicted: int64 (n,) classes.
        share: Of the center and the points in a ball, so many must be of the center's class; where no radius will do,
            it is 0.05.

    Returns:
        float32 (c,).
    """
    found = []
    size = max(1, geometry.BLOCK // max(1, len(points)))
    for some, own in zip(torch.split(centers, size), torch.split(labels, size), strict=True):
        bins = (geometry.squared_distances(some, points).sqrt_() / RESOLUTION).long().clamp_(max=LARGEST)
        right = (predicted == own[:, None]).long()
        inside, matching = (
            torch.zeros(len(some), LARGEST + 1, dtype=torch.int64, device=bins.device) for _ in range(2)
        )
        inside.scatter_add_(1, bins, torch.ones_like(bins))
        matching.scatter_add_(1, bins, right)
        shares = (matching.cumsum(1) + 1) / (inside.cumsum(1) + 1)
        steps = torch.arange(1, LARGEST + 1, device=bins.device) * (shares[:, :LARGEST] >= share)
        found.append(steps.amax(1).clamp_(min=1) * RESOLUTION)
    return torch.cat(found)


def between_0_and_1(values: Tensor) -> Tensor:
    """Returns values (n,) moved and scaled to [0, 1]; zeros where all are equal."""
    least, most = values.min(), values.max()
    return (values - least) / (most - least) if most > least else torch.zeros_like(values)


@register
class DCoM(Strategy):
    """Dense images that are not covered yet while the labeled ones cover little, uncertain ones later.

    Each labeled image covers a ball: the largest in which images are mostly predicted as its class. The share of the
    pool that is covered says how competent the classifier is, and that weighs its margin score against how many
    uncovered images lie within the mean radius. After each choice, what it covers counts for no other.

    Args:
        delta: The radius while there are no labels; ``"auto"`` as for ``prob_cover``. Published: 0.75 for CIFAR-10.
        purity: The share, for ``"auto"``.
        slope: Of the competence, k.
        middle: Share of the pool that is covered when the competence is about a half, a.
        sample: The most images that cover and density are counted on.
        features: ``"embedding"``, as published, or ``"classifier"`` for its penultimate features.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: A number is out of range.
        UnknownName: There are no such features.

    Differs: public code sets the radii of the newest labels once, and keeps them; here those of all labels are found
    with the classifier of now, in the order of purchase, so that an agent has no memory. It bisects, as if a larger
    ball were never purer; here the largest is found. Labeled and chosen images cannot be chosen, whatever the scores.
    """

    name: ClassVar[str] = "dcom"
    needs: tuple[str, ...] = ("embedding",)
    cost: ClassVar[str] = (
        "one inference pass over the pool, then up to 2 S U D + L S D products, S a sample of 20,000"
    )
    source: ClassVar[str] = "Mishal & Weinshall 2024, DCoM: Active Learning for All Learners"

    def __init__(
        self,
        delta: float | str = "auto",
        purity: float = 0.95,
        slope: float = 50.0,
        middle: float = 0.8,
        sample: int = SAMPLE,
        features: str = "embedding",
        pool: str | None = None,
    ) -> None:
        super().__init__(pool)
        self.delta = checked_radius("delta", delta)
        self.purity = options.number("purity", purity, above=True, most=1)
        self.slope, self.middle = options.number("slope", slope), options.number("middle", middle, most=1)
        self.sample = options.whole("sample", sample)
        self.features, self.needs = features, representation.needs_of(features)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses ``count`` of ``indices`` one by one."""
        free = representation.points(view, indices, self.features)
        rows = torch.randperm(len(free), generator=generator)[: self.sample].to(free.device)
        targets, certain = free[rows], 0.0
        covered = torch.zeros(len(rows), dtype=torch.bool, device=free.device)
        doubts = torch.zeros(len(free), dtype=torch.float64)
        if len(view.labeled):
            logits = view.logits(indices)
            radius, covered = self._cover(view, targets, logits[rows].argmax(1))
            certain = competence(float(covered.float().mean()), self.slope, self.middle)
            doubts = between_0_and_1(margin(logits).nan_to_num(nan=0.0))
        else:
            radius = radius_of(view, free, self.delta, self.purity)
        chosen = _choose(free, targets[~covered], radius, doubts, certain, count, generator)
        picked: Indices = indices[chosen.numpy()]
        return picked

    def _cover(self, view: View, targets: Tensor, predicted: Tensor) -> tuple[float, Tensor]:
        """Returns the mean radius of the labeled images, and which targets they cover, bool (m,)."""
        points, labels = representation.points(view, view.labeled, self.features), view.labels()
        covered = torch.zeros(len(targets), dtype=torch.bool, device=targets.device)
        radii, size = [], view.query_size
        first = max(0, len(points) - view.cycle * size)
        # The initial set, then each query.
        bounds = [0, *range(first or size, len(points), size), len(points)]
        for start, end in itertools.pairwise(bounds):
            bought = slice(start, end)
            share = LEAST_PURE + PURER * float(covered.float().mean())
            some = points[bought]
            radii.append(largest_pure_radii(some, labels[bought], targets, predicted, share))
            blocks = (torch.split(each, cover.AHEAD) for each in (some, radii[-1]))
            for centers, own in zip(*blocks, strict=True):
                near = geometry.squared_distances(centers, targets) < own.square()[:, None]
                covered |= near.any(0)
        return float(torch.cat(radii).mean()), covered


def _choose(
    free: Tensor,
    targets: Tensor,
    radius: float,
    doubts: Tensor,
    certain: float,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Returns the choices, int64 (count,) rows of ``free``; equal scores in random order.

    Args:
        free: (n, d).
        targets: (m, d), those that are not covered.
        radius: Of all balls.
        doubts: float64 (n,) in [0, 1].
        certain: How much they count, in [0, 1].
        count: How many.
        generator: A CPU generator.
    """
    order = torch.randperm(len(free), generator=generator)
    free, doubts = free[order], doubts[order]
    kernel = cover.top_hat(radius)
    degrees = cover.Cover(free, targets, kernel).gains()
    open_ = torch.ones(len(free), dtype=torch.bool)
    chosen: list[int] = []
    while True:
        density = between_0_and_1(degrees.masked_fill(~open_, 0.0))
        scores = certain * doubts + (1 - certain) * density
        chosen.append(int(scores.masked_fill(~open_, -torch.inf).argmax()))
        open_[chosen[-1]] = False
        if len(chosen) == count:
            return order[chosen]
        if len(targets):
            near = geometry.squared_distances(free[chosen[-1:]], targets)[0] < radius * radius
            if near.any():
                degrees -= cover.Cover(free, targets[near], kernel).gains()
                targets = targets[~near]
