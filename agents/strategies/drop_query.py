"""DropQuery: images whose class does not survive dropout, and different ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents import options, representation
from agents.base import Indices, Strategy
from agents.registry import register
from agents.representation import ROWS, Head
from agents.strategies.kmeans import central_then_random
from alenv.errors import InvalidQuery

if TYPE_CHECKING:
    from alenv import View


def dropped_votes(
    head: Head, features: Tensor, passes: int, rate: float, generator: torch.Generator
) -> Tensor:
    """Returns in how many passes with dropout the class differs from the one without, int64 (n,).

    Args:
        head: Maps features to logits.
        features: (n, D).
        passes: How many.
        rate: The share of features that a pass sets to 0, for each image anew; the others are scaled up to match.
        generator: A CPU generator.
    """
    parts = []
    for h in torch.split(features, ROWS):
        guess = head(h).argmax(1)
        votes = torch.zeros(len(h), dtype=torch.int64, device=h.device)
        for _ in range(passes):
            kept = (torch.rand(h.shape, generator=generator) >= rate).to(h.device)
            votes += head(h * kept / (1 - rate)).argmax(1) != guess
        parts.append(votes)
    return torch.cat(parts)


def unstable(votes: Tensor, passes: int, enough: int) -> Tensor:
    """Returns the images whose class changed in more than half of the passes, bool (n,); in fewer if need be.

    Args:
        votes: int64 (n,), passes in which it changed.
        passes: Of how many.
        enough: While there are fewer images, one pass less is asked for, down to one.
    """
    least = passes // 2 + 1
    while least > 1 and int((votes >= least).sum()) < enough:
        least -= 1
    return votes >= least


@register
class DropQuery(Strategy):
    """Images whose guessed class changes in most of a few passes with dropout on the features, and different ones.

    An image of which the class hangs on few features changes it easily; one amid its class does not. Of these the
    middles of B clusters of the features, of unit length, are chosen; with too few, random ones fill up. Without
    labels all images are clustered. Meant for linear heads on frozen features; any classifier is served.

    Args:
        passes: With dropout.
        rate: Share of the features that is dropped.
        factor: While fewer than so many queries' worth of images qualify, fewer changes are asked for, down to one.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``rate`` is not in [0, 1), or another option no whole number of at least 1.

    Differs: the rate was not confirmed. The head is recovered from features and logits, so that linear heads are
    served too.
    """

    name: ClassVar[str] = "drop_query"
    cost: ClassVar[str] = (
        "one inference pass over the pool, 4 U D C products, then 10 B D per image clustered"
    )
    source: ClassVar[str] = (
        "Gupte et al. 2024, Revisiting Active Learning in the Era of Vision Foundation Models"
    )

    def __init__(
        self, passes: int = 3, rate: float = 0.75, factor: int = 25, pool: str | None = None
    ) -> None:
        super().__init__(pool)
        self.passes, self.factor = options.whole("passes", passes), options.whole("factor", factor)
        self.rate = options.number("rate", rate)
        if self.rate >= 1:
            raise InvalidQuery(f"rate={rate!r} was given; give a number of at least 0 and below 1.")

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses the middles of clusters of the images whose class changes."""
        features = representation.finite(view.features(indices))
        wanted = torch.ones(len(indices), dtype=torch.bool)
        if len(view.labeled):
            head = representation.fitted_head(features, view.logits(indices))
            votes = dropped_votes(head, features, self.passes, self.rate, generator)
            wanted = unstable(votes, self.passes, self.factor * count)
        unit = torch.nn.functional.normalize(features, dim=1)
        chosen: Indices = indices[central_then_random(unit, wanted, count, generator).numpy()]
        return chosen
