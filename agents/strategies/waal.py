"""WAAL: uncertain images that a critic, trained with the classifier, takes for unlabeled."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents.base import Indices, Strategy, best
from agents.registry import register
from alenv.errors import InvalidQuery

if TYPE_CHECKING:
    from alenv import View


def decidedness(logits: Tensor) -> Tensor:
    """Returns (|log p|_2 + |log p|_1) / 2 of ``logits`` (n, C) as float64 (n,), least for a uniform p.

    From the logits: the logarithm of a probability that rounds to 0 would be infinite.
    """
    logs = logits.detach().cpu().double().log_softmax(1)
    lengths: Tensor = logs.norm(dim=1) + logs.abs().sum(1)
    return 0.5 * lengths


@register
class WAAL(Strategy):
    """The lowest of how decided the classifier is, less how unlabeled an image looks; needs ``joint="wasserstein"``.

    The score is ``uncertainty`` * (|log p|_2 + |log p|_1) / 2 - ``diversity`` * D, with D the critic's value, which
    is the labeled score with its sign changed. The norms of log p are least where all classes are equally likely, so
    that the lowest scores are undecided images unlike the labeled ones.

    Args:
        uncertainty: Weight of the first term, at least 0.
        diversity: Weight of the second, at least 0.
        pool: See ``Strategy``.

    Raises:
        InvalidQuery: A weight is no number of at least 0.

    Differs: log p is taken from the logits, where public code takes the logarithm of probabilities that may be 0. How
    the critic is trained is a matter of the recipe.
    """

    name: ClassVar[str] = "waal"
    needs: tuple[str, ...] = ("wasserstein",)
    cost: ClassVar[str] = "one inference pass over the pool"
    source: ClassVar[str] = (
        "Shui et al. 2020, Deep Active Learning: Unified and Principled Method for Query and Training"
    )

    def __init__(self, uncertainty: float = 1.0, diversity: float = 10.0, pool: str | None = None) -> None:
        super().__init__(pool)
        for what, weight in (("uncertainty", uncertainty), ("diversity", diversity)):
            number = isinstance(weight, (int, float)) and not isinstance(weight, bool)
            if not number or not 0 <= weight < math.inf:
                raise InvalidQuery(f"{what}={weight!r} was given; it must be a number of at least 0.")
        self.uncertainty, self.diversity = float(uncertainty), float(diversity)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses the lowest-scored of ``indices``."""
        labeled = view.labeled_score(indices).cpu().double()
        scores = self.uncertainty * decidedness(view.logits(indices)) + self.diversity * labeled
        chosen: Indices = indices[best(-scores, count, generator).numpy()]
        return chosen
