"""Stochastic acquisition: scores decide how likely an image is drawn, not which images are."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents import options
from agents.base import Indices, Strategy, best
from agents.registry import register
from agents.strategies.disagreement import mutual_information
from agents.strategies.uncertainty import margin

if TYPE_CHECKING:
    from alenv import View


def power_scores(scores: Tensor, coldness: float, generator: torch.Generator) -> Tensor:
    """Returns coldness * log(score) + Gumbel(0, 1) noise, float64 (n,).

    The highest of them is image i with probability score_i^coldness / sum_j score_j^coldness, and the highest B are a
    draw of B images without replacement by these weights. A score of 0 gives -inf.

    Args:
        scores: float (n,), >= 0; NaN stays NaN.
        coldness: beta; 0 draws uniformly among scores above 0, infinity would take the highest.
        generator: A CPU generator.

    Source: Kirsch et al. 2023, the power distribution.
    """
    uniform = torch.rand(len(scores), dtype=torch.float64, generator=generator)
    gumbel = -(-uniform.clamp(min=torch.finfo(torch.float64).tiny).log()).log()
    logarithms = scores.detach().cpu().double().log()
    excluded = logarithms == -torch.inf
    return (coldness * logarithms.masked_fill(excluded, 0.0) + gumbel).masked_fill(excluded, -torch.inf)


class Power(Strategy):
    """Images drawn with probability proportional to a power of a score; subclasses name the score.

    Args:
        coldness: The power, beta.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``coldness`` is not a number of at least 0.
    """

    def __init__(self, coldness: float = 1.0, pool: str | None = None) -> None:
        super().__init__(pool)
        self.coldness = options.number("coldness", coldness)

    def score(self, view: View, indices: Indices) -> Tensor:
        """Returns scores (n,), >= 0, higher = wanted."""
        raise NotImplementedError

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Draws ``count`` of ``indices``; those of score 0 only where nothing else is left."""
        noisy = power_scores(self.score(view, indices), self.coldness, generator)
        chosen: Indices = indices[best(noisy, count, generator).numpy()]
        return chosen


@register
class PowerMargin(Power):
    """Images drawn with probability proportional to 1 - (p1 - p2).

    p1 and p2 are the two largest class probabilities. B images are drawn without replacement: to the logarithm of
    each score Gumbel noise is added, and the highest sums are taken. Without a diversity term it avoids what a plain
    margin query suffers from: B images that are all alike.

    Args:
        coldness: The power of the score; 1 as published.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``coldness`` is not a number of at least 0.
    """

    name: ClassVar[str] = "power_margin"
    cost: ClassVar[str] = "one inference pass over the pool"
    source: ClassVar[str] = "Kirsch et al. 2023, Stochastic Batch Acquisition (power acquisition)"

    def score(self, view: View, indices: Indices) -> Tensor:
        """See ``uncertainty.margin``."""
        return margin(view.logits(indices))


@register
class PowerBald(Power):
    """Images drawn with probability proportional to the mutual information of label and member.

    The score is that of ``bald``: the entropy of the members' mean less their mean entropy. B images are drawn
    without replacement: to the logarithm of each score Gumbel noise is added, and the highest sums are taken. Images
    of score 0 come only when nothing else is left.

    Args:
        members: T; None = all networks of an ensemble, or 10 dropout masks.
        coldness: The power of the score; 1 as published.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``members`` is not a whole number of at least 1, or ``coldness`` not a number of at least 0.
    """

    name: ClassVar[str] = "power_bald"
    needs: tuple[str, ...] = ("members",)
    cost: ClassVar[str] = "one inference pass over the pool per network; one for all dropout masks"
    source: ClassVar[str] = "Kirsch et al. 2023, Stochastic Batch Acquisition (power acquisition)"

    def __init__(self, members: int | None = None, coldness: float = 1.0, pool: str | None = None) -> None:
        super().__init__(coldness, pool)
        self.members = None if members is None else options.whole("members", members)

    def score(self, view: View, indices: Indices) -> Tensor:
        """See ``disagreement.mutual_information``."""
        return mutual_information(view.member_probabilities(self.members, indices))
