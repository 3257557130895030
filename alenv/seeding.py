"""Random streams keyed by (episode, purpose, cycle), so that no result depends on the order of calls."""

from __future__ import annotations

from enum import IntEnum
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch


class Purpose(IntEnum):
    """What a stream is for; the numbers are part of every recorded result and never change."""

    INITIAL_SET = 0
    CANDIDATES = 1
    WEIGHTS = 2
    OBJECTIVE_WEIGHTS = 3
    BATCHES = 4
    AUGMENTATION = 5
    LABEL_NOISE = 6
    REPLACEMENT = 7
    DROPOUT = 8
    MEMBERS = 9
    AGENT = 10
    OBJECTIVE = 11
    TASK = 12


def numpy_stream(key: int, purpose: Purpose, cycle: int = 0) -> np.random.Generator:
    """Returns the NumPy generator of one (episode, purpose, cycle).

    Args:
        key: The episode key, a non-negative integer below 2**63.
        purpose: What the numbers are for.
        cycle: The active-learning cycle, 0 for the initial set.
    """
    return np.random.default_rng([key, int(purpose), cycle])


def torch_stream(
    key: int, purpose: Purpose, cycle: int = 0, device: str = "cpu", member: int = 0
) -> torch.Generator:
    """Returns the torch generator of one (episode, purpose, cycle, member of an ensemble) on ``device``."""
    import torch  # noqa: PLC0415  (`import alenv` stays free of torch)

    entropy = [key, int(purpose), cycle, *([member] if member else [])]  # a lone learner is member 0
    seed = int(np.random.SeedSequence(entropy).generate_state(1, np.uint64)[0] >> 1)
    return torch.Generator(device=device).manual_seed(seed)
