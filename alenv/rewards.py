"""What a cycle is worth."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


def of(kind: str, correct: Sequence[int], total: int, cycles: int) -> float:
    """Returns the reward of the latest cycle.

    Args:
        kind: ``"accuracy"``; ``"gain"``, its difference to the cycle before; ``"auc_gain"``, the gain times the
            share of the cycles that still profit from it, which sums over an episode to the area under the curve
            (mean accuracy after queries 1 to T) less the initial accuracy.
        correct: Rightly classified images after cycles 0 to t, t >= 1.
        total: Images that were classified.
        cycles: T.
    """
    return float(between(kind, correct[-2], correct[-1], len(correct) - 1, total, cycles))


def between(kind: str, before: Any, now: Any, cycle: Any, total: Any, cycles: int) -> Any:
    """Returns the reward of a cycle, or of each of several; numbers, or arrays (n,).

    Args:
        kind: See ``of``.
        before: Rightly classified images before the query.
        now: The same after the retraining.
        cycle: The query's number, from 1.
        total: Images that were classified.
        cycles: T.
    """
    if kind == "accuracy":
        return now / total
    gain = (now - before) / total
    if kind == "gain":
        return gain
    return gain * (cycles - cycle + 1) / cycles
