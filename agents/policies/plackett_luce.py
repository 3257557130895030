"""Plackett-Luce: ordered choices without replacement, each with probability softmax(scores) of what is left."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def log_probability(scores: Tensor, picks: Tensor, counts: Tensor | None = None) -> Tensor:
    """Returns the log-probability (E,) of ordered picks.

    Args:
        scores: (E, K).
        picks: int64 (E, B), distinct positions, B <= K.
        counts: int64 (E,), how many of the picks, the first ones, were made; None = all.

    Source: Plackett 1975, "The Analysis of Permutations"; Luce 1959.
    """
    chosen = scores.gather(1, picks)
    left = chosen.flip(1)
    if picks.shape[1] < scores.shape[1]:
        picked = torch.zeros_like(scores, dtype=torch.bool).scatter(1, picks, True)
        rest = scores.masked_fill(picked, -torch.inf).logsumexp(1, keepdim=True)
        remaining = torch.cat([rest, left], dim=1).logcumsumexp(1)[:, 1:]
    else:
        remaining = left.logcumsumexp(1)
    each = chosen - remaining.flip(1)
    if counts is not None:
        each = each * (torch.arange(picks.shape[1], device=picks.device) < counts[:, None])
    return each.sum(1)


def drawn(scores: Tensor, count: int, generator: torch.Generator | None = None) -> Tensor:
    """Draws ordered picks, int64 (E, count), from scores (E, K).

    The highest of scores with Gumbel noise are such a draw.

    Args:
        scores: (E, K).
        count: B, at most K.
        generator: A CPU generator; None = torch's own stream, which Stable-Baselines3 seeds.

    Source: Yellott 1977, "The Relationship between Luce's Choice Axiom ... and the Double Exponential Distribution".
    """
    return (scores + gumbel(scores.shape, generator).to(scores)).topk(count, dim=1).indices


def gumbel(shape: Sequence[int], generator: torch.Generator | None = None) -> Tensor:
    """Draws standard Gumbel noise, float32 on the CPU; the highest of scores with it is drawn by their softmax."""
    return -(-torch.rand(shape, generator=generator).clamp(1e-20, 1 - 1e-7).log()).log()
