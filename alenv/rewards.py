"""What a cycle is worth."""

from __future__ import annotations

from collections.abc import Sequence


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
    gain = (correct[-1] - correct[-2]) / total
    if kind == "accuracy":
        return correct[-1] / total
    if kind == "gain":
        return gain
    cycle = len(correct) - 1
    return gain * (cycles - cycle + 1) / cycles
