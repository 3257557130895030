"""Random queries."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from agents.base import Indices, Strategy, at_random
from agents.registry import register

if TYPE_CHECKING:
    from alenv import View


@register
class Random(Strategy):
    """Uniform without replacement.

    Every set of B unlabeled images is as likely as any other. It looks at no score and infers nothing; the agent's
    seed and the cycle decide, so that the same run draws the same images.

    Differs: some public codes draw positions with replacement: of 1,000 bought images about 950 are then distinct,
    and curves of Random are lower than they should be.
    """

    name: ClassVar[str] = "random"
    cost: ClassVar[str] = "none, no inference"
    source: ClassVar[str] = "the baseline of every paper"

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Draws ``count`` of ``indices``."""
        return at_random(indices, count, generator)
