"""Candidates compared with labeled rows and with each other, for many episodes at once and a block at a time.

Positions are unit rows (or zeros, which are far from everything), with a leading axis of E episodes.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from alenv.geometry import NOISE
from alenv.leave_one_out import block_entries

VOTE_SHARPNESS = 10.0  # a labeled row's vote counts exp(10 x cosine)
MEDIAN = 1  # of the three radii
UNIT_RADIUS = 1.0  # also where labels give no other


class Neighbors(NamedTuple):
    """What labeled rows say of each candidate, weighted by softmax(10 x cosine); zeros without labels.

    Attributes:
        closest: (E, K), largest cosine to a labeled row; -inf without labels.
        votes: (E, K, C), the labels.
        errors: (E, K), the leave-one-out errors.
    """

    closest: Tensor
    votes: Tensor
    errors: Tensor


def labeled_neighbors(
    points: Tensor, labeled: Tensor, own: Tensor, wrong: Tensor, known: Tensor
) -> Neighbors:
    """Compares every candidate with every labeled row.

    Args:
        points: (E, K, d).
        labeled: (E, L, d).
        own: (E, L, C), one-hot labels.
        wrong: (E, L).
        known: bool (E, L), the rows that count.
    """
    told = torch.cat([own, wrong[:, :, None], known.to(own)[:, :, None]], dim=2)
    closest, sums = [], []
    for rows in _blocks(points, labeled.shape[1]):
        cosines = (points[:, rows] @ labeled.mT).masked_fill_(~known[:, None], -torch.inf)
        closest.append(cosines.amax(2))
        # Against the nearest, which counts 1; without labels, against a number, and none counts.
        cosines.sub_(closest[-1].clamp(min=-2.0)[:, :, None]).mul_(VOTE_SHARPNESS)
        sums.append(cosines.exp_() @ told)
    total = torch.cat(sums, dim=1)
    shares = total[:, :, :-1] / total[:, :, -1:].clamp(min=1)
    return Neighbors(torch.cat(closest, dim=1), shares[:, :, :-1], shares[:, :, -1])


def radii(labeled: Tensor, known: Tensor) -> Tensor:
    """Returns the smallest positive distance, the median distance to the nearest other row, and 1, (E, 3)."""
    places = torch.arange(labeled.shape[1], device=labeled.device)
    hidden = ~known[:, None, :]
    nearest, smallest = [], []
    for rows in _blocks(labeled, labeled.shape[1]):
        squared = _squared(labeled[:, rows] @ labeled.mT)
        squared.masked_fill_(hidden | (places == rows[:, None]), torch.inf)
        nearest.append(squared.amin(2))
        smallest.append(squared.masked_fill_(squared <= 0, torch.inf).amin(2))
    ascending = torch.cat(nearest, dim=1).masked_fill(~known, torch.inf).sqrt().sort(1).values
    middle = (known.sum(1, keepdim=True) - 1).clamp(min=0) // 2
    least = torch.cat(smallest, dim=1).masked_fill(~known, torch.inf).amin(1, keepdim=True).sqrt()
    found = torch.cat([least, ascending.gather(1, middle), torch.full_like(least, UNIT_RADIUS)], dim=1)
    return torch.where(found.isfinite() & (found > 0), found, UNIT_RADIUS)


class PairSums(NamedTuple):
    """Sums over the candidates j, for each candidate, of weights w_j of W kinds.

    Attributes:
        alike: (E, K, W), over those with the same code.
        kernels: (E, K, 3, W), times the kernel k_j, for each radius.
        gains: (E, K, 3, W), times max(k_j - m_j, 0), m_j the largest kernel of j to a labeled row.
    """

    alike: Tensor
    kernels: Tensor
    gains: Tensor


def pair_sums(points: Tensor, weights: Tensor, code: Tensor, closest: Tensor, scales: Tensor) -> PairSums:
    """Compares every candidate with every other; kernels are exp(-d^2 / r^2).

    Args:
        points: (E, K, d).
        weights: (E, K, W).
        code: int64 (E, K).
        closest: (E, K), largest cosine to a labeled row; -inf without labels.
        scales: (E, 3), radii.
    """
    covered = (-_squared(closest)[:, None] / scales[:, :, None] ** 2).exp()  # (E, 3, K)
    alike, kernels, gains = [], [], []
    for rows in _blocks(points, points.shape[1]):
        squared = _squared(points[:, rows] @ points.mT)
        alike.append((code[:, rows, None] == code[:, None, :]).to(weights) @ weights)
        sums, added = [], []
        for at, scale in enumerate(scales.unbind(1)):
            kernel = (-squared / scale[:, None, None] ** 2).exp_()
            sums.append(kernel @ weights)
            added.append((kernel - covered[:, at, None]).relu_() @ weights)
        kernels.append(torch.stack(sums, dim=2))
        gains.append(torch.stack(added, dim=2))
    return PairSums(*(torch.cat(parts, dim=1) for parts in (alike, kernels, gains)))


def _squared(cosines: Tensor) -> Tensor:
    """Returns squared distances of unit rows; where rounding alone may explain them, 0."""
    squared = 2 - 2 * cosines
    return squared.masked_fill_(squared <= 2 * NOISE * torch.finfo(squared.dtype).eps, 0.0)


def _blocks(points: Tensor, others: int) -> tuple[Tensor, ...]:
    """Parts the rows of ``points`` (E, n, d) for comparison with ``others`` rows, as many at once as are fast."""
    size = max(1, block_entries(points.device) // (len(points) * others))
    return torch.split(torch.arange(points.shape[1], device=points.device), size)
