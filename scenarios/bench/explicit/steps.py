"""Whether picks follow a greedy rule, where equal gains allow several."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

Gains = Callable[[list[int]], np.ndarray]  # of all rows (n,), after some were chosen


def are_greedy(gains: Gains, rows: Sequence[int], tolerance: float = 1e-5) -> bool:
    """Tells whether each pick has the largest gain of all rows that were free when it was chosen.

    Args:
        gains: What each row would add, float64 (n,).
        rows: The picks, in the order of choice.
        tolerance: By how much of the largest gain a pick may fall short of it: float32 rounds to 1e-7.
    """
    for step, row in enumerate(rows):
        chosen = list(rows[:step])
        found = gains(chosen).astype(np.float64)
        scale = np.abs(found).max()
        found[chosen] = -np.inf
        if found[row] < found.max() - tolerance * scale:
            return False
    return len(set(rows)) == len(rows)


def greedy(gains: Gains, count: int) -> list[int]:
    """Chooses ``count`` rows one by one, each the free one with the largest gain, the first of several."""
    chosen: list[int] = []
    while len(chosen) < count:
        found = gains(chosen).astype(np.float64)
        found[chosen] = -np.inf
        chosen.append(int(found.argmax()))
    return chosen
