"""Queries done the slow, obvious way in float64, to check the fast ones on a small pool."""

from __future__ import annotations

from collections.abc import Callable

from alenv import View
from scenarios.bench.explicit import clusters, covers, draws, foreseen, gradients, scores

PICKS: dict[str, Callable[[View], list[int]]] = {
    **scores.PICKS,
    **covers.PICKS,
    **gradients.PICKS,
    **draws.PICKS,
}
"""Agents whose picks are compared."""

CHECKS: dict[str, Callable[[View, list[int]], bool]] = {
    **covers.CHECKS,
    **clusters.CHECKS,
    **gradients.CHECKS,
    **draws.CHECKS,
    **foreseen.CHECKS,
}
"""Agents of which random draws or ties are a part: whether picks are among those that the definition allows."""


def agrees(name: str, view: View, picks: list[int]) -> bool | None:
    """Tells whether an agent's picks are those of its definition; None where there is no explicit version.

    Args:
        name: Of an agent with its own options.
        view: Of a small pool.
        picks: Pool indices in the order of choice, by the agent reset with seed 0.
    """
    if name in PICKS:
        return picks == PICKS[name](view)
    return CHECKS[name](view, picks) if name in CHECKS else None
