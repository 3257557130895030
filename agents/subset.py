"""Two strategies in a row: one chooses a subset, the other picks from it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from agents.base import Indices, Strategy
from alenv.errors import InvalidQuery

if TYPE_CHECKING:
    from alenv import View


class Subset(Strategy):
    """``by`` chooses ``factor`` x B images, of which ``then`` picks B; spelled ``by+then``.

    Args:
        by: Chooses the subset.
        then: Picks the query from it.
        factor: Size of the subset in queries, at least 1.
        pool: What ``by`` chooses from; None = all unlabeled images.

    Raises:
        InvalidQuery: ``factor`` is not a whole number of at least 1.
    """

    name: ClassVar[str] = "by+then"
    cost: ClassVar[str] = "that of both strategies, the first for 10 B images"
    source: ClassVar[str] = "the paper, A.16: a diverse subset, then the most uncertain of it"

    def __init__(self, by: Strategy, then: Strategy, factor: int = 10, pool: str | None = None) -> None:
        super().__init__(pool)
        if not isinstance(factor, int) or factor < 1:
            raise InvalidQuery(
                f"factor={factor!r} was given; the subset is a whole number of queries, at least 1."
            )
        self.by, self.then, self.factor = by, then, factor
        self.needs = tuple(dict.fromkeys([*by.needs, *then.needs]))
        self.needs_validation = by.needs_validation or then.needs_validation

    def check(self, view: View) -> None:
        """Checks what both strategies need."""
        self.by.check(view)
        self.then.check(view)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Lets ``then`` choose from what ``by`` chose."""
        size = min(self.factor * count, len(indices))
        subset = indices if size == len(indices) else self.by.pick(view, indices, size, generator)
        return self.then.pick(view, subset, count, generator)
