"""Distances, greedy k-center, k-means++ and k-means on feature matrices, in chunks and on any device.

Matrices are (n, d), a point per row, computed in float32 (float64 stays float64). Nothing here ever holds an
n x n matrix, and nothing uses the global random state. Generators are CPU generators; they decide between
equal candidates, never the order of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.errors import InvalidQuery

BLOCK = 2**22  # entries of a distance block held at a time: 16 MB in float32
SUM_ROWS = 4096  # rows turned into float64 at a time
BLOCK_ROWS = 32  # choices computed together
WORTHWHILE = 5  # choices that a block must answer to be cheaper than single rows (measured on a CPU)
SINGLES = 8  # choices computed alone after a block that was not worthwhile

# |a|^2 + |b|^2 - 2 a.b of two equal points is not 0 but a few roundings of the norms. A distance of up to so
# many roundings is noise, and becomes 0, so that exact duplicates tie.
NOISE = 16


Floats = NDArray[np.floating]
DistancesTo = Callable[[Tensor], Tensor]


class Nearest(NamedTuple):
    """The closest center of each point.

    Attributes:
        center: (n,) int64, the position of that center.
        squared_distance: (n,) to it, >= 0.
    """

    center: Tensor
    squared_distance: Tensor


class Clusters(NamedTuple):
    """The result of k-means.

    Attributes:
        centers: (k, d).
        assignment: (n,) int64, the nearest center of each point.
        squared_distance: (n,) to that center, >= 0.
    """

    centers: Tensor
    assignment: Tensor
    squared_distance: Tensor


def squared_norms(x: Tensor) -> Tensor:
    """Returns the squared Euclidean norms (n,) of the rows of ``x`` (n, d), without a copy of ``x``."""
    norms: Tensor = torch.linalg.vector_norm(x, dim=1)
    return norms.square_()


def without_noise(squared: Tensor, scale: Tensor) -> Tensor:
    """Sets squared distances that rounding alone explains, negative ones included, to 0, in place.

    Args:
        squared: Squared distances computed as a difference of terms of size ``scale``.
        scale: The size of those terms, of the same shape.
    """
    return squared.masked_fill_(squared <= NOISE * torch.finfo(squared.dtype).eps * scale, 0.0)


def squared_distances(a: Tensor, b: Tensor, norms: Tensor | None = None) -> Tensor:
    """Returns all squared Euclidean distances (n, m), >= 0, from the rows of ``a`` (n, d) to ``b`` (m, d).

    Args:
        a: (n, d).
        b: (m, d).
        norms: The squared norms (m,) of ``b`` where they are known, which spares a pass over it.
    """
    a, b = _floating(a), _floating(b)
    scale = squared_norms(a)[:, None] + (squared_norms(b) if norms is None else norms)
    return without_noise(torch.addmm(scale, a, b.T, alpha=-2), scale)


def distances_to_rows(x: Tensor) -> DistancesTo:
    """Returns the function from rows (m,) of ``x`` (n, d) to their squared distances (m, n) to all rows."""
    x = _floating(x)
    norms = squared_norms(x)

    def squared_distances_to(rows: Tensor) -> Tensor:
        rows = rows.to(x.device)
        scale = norms[rows, None] + norms
        return without_noise(torch.addmm(scale, x[rows], x.T, alpha=-2), scale)

    return squared_distances_to


def nearest(x: Tensor, centers: Tensor) -> Nearest:
    """Finds the closest of ``centers`` (m, d), m >= 1, for every row of ``x`` (n, d)."""
    x, centers = _floating(x), _floating(centers)
    index = torch.empty(len(x), dtype=torch.int64, device=x.device)
    least = torch.empty(len(x), dtype=x.dtype, device=x.device)
    norms = squared_norms(centers)
    for rows in _chunks(len(x), max(1, BLOCK // len(centers))):
        block = torch.addmm(norms, x[rows], centers.T, alpha=-2)
        torch.min(block, dim=1, out=(least[rows], index[rows]))
    own = squared_norms(x)
    return Nearest(index, without_noise(least.add_(own), own + norms[index]))


def min_squared_distances(x: Tensor, centers: Tensor) -> Tensor:
    """Returns the squared distance (n,) of every row of ``x`` to the closest of ``centers``; inf if none."""
    if not len(centers):
        return torch.full((len(x),), torch.inf, dtype=_floating(x[:0]).dtype, device=x.device)
    return nearest(x, centers).squared_distance


def largest(values: Tensor, generator: torch.Generator) -> int:
    """Returns the position of the largest value (n,); one of them at random if there are several."""
    return _largest(values.cpu().numpy(), generator)


def _largest(values: Floats, generator: torch.Generator) -> int:
    ties = np.flatnonzero(values == values.max())
    return int(ties[int(torch.randint(len(ties), (), generator=generator)) if len(ties) > 1 else 0])


def k_center(
    features: Tensor, count: int, centers: Tensor | None = None, *, generator: torch.Generator
) -> Tensor:
    """Chooses ``count`` points greedily, each the farthest from all centers and all points chosen before.

    Args:
        features: (n, d) points to choose from.
        count: How many, at most n.
        centers: (m, d) points that count as covered; without any, the first choice is random.
        generator: Draws that first choice and decides between equal distances.

    Returns:
        (count,) int64 distinct row numbers on the CPU, in the order of choice.

    Raises:
        InvalidQuery: ``count`` is larger than n.

    Source: Sener & Savarese 2018, Algorithm 1.
    """
    _check(count, len(features))
    ahead = _Ahead(distances_to_rows(features))
    least = _plain(min_squared_distances(features, features[:0] if centers is None else centers))
    chosen: list[int] = []
    while len(chosen) < count:
        chosen.append(_largest(least, generator))
        np.minimum(least, ahead.distances(chosen[-1], least), out=least)
        least[chosen[-1]] = -1.0
    return torch.tensor(chosen, dtype=torch.int64)


class _Ahead:
    """Squared distances to a chosen row, computed together with those to rows likely to be chosen next.

    A product with a block of rows costs as much as a few single ones, because memory is read once for all;
    and the farthest points of now are mostly the next choices too. Where they are not (many near-duplicates),
    it goes on with single rows for a while.
    """

    def __init__(self, squared_distances_to: DistancesTo) -> None:
        self._distances_to = squared_distances_to
        self._block: dict[int, Floats] = {}
        self._served = BLOCK_ROWS  # choices that the latest block has answered
        self._singles = 0  # choices to be computed alone before the next block

    def distances(self, row: int, least: Floats) -> Floats:
        """Returns the squared distances (n,) to ``row``; ``least`` (n,) says what may come next."""
        if row in self._block:
            self._served += 1
            return self._block[row]
        if self._served < WORTHWHILE:
            self._singles = SINGLES
        self._singles -= 1
        wide = self._singles < 0
        self._served = 1 if wide else WORTHWHILE
        size = min(BLOCK_ROWS, len(least))
        likely = np.argpartition(least, -size)[-size:].tolist() if wide else []
        rows = [row, *(other for other in likely if other != row)]
        self._block = dict(zip(rows, _plain(self._distances_to(torch.tensor(rows))), strict=True))
        return self._block[row]


def k_means_plus_plus(
    count: int,
    size: int,
    squared_distances_to: DistancesTo,
    generator: torch.Generator,
    first: int | None = None,
) -> Tensor:
    """Chooses distinct points, each with probability proportional to its squared distance to those before.

    A chosen point is never chosen again. Once all distances are 0 (only duplicates are left), the choice is
    uniform over the points that remain.

    Several points are proposed at a time from the distances as they are. Each is accepted with probability
    (squared distance now) / (when proposed), less than 1 where another was accepted meanwhile. So those
    accepted follow the sequential distribution exactly, and one matrix product serves many choices.

    Args:
        count: How many points to choose, at most ``size``.
        size: n, the number of points.
        squared_distances_to: Maps points (m,) to their squared distances (m, n) to all points.
        generator: Draws the points.
        first: The first choice; None = uniform.

    Returns:
        (count,) int64 distinct row numbers on the CPU, in the order of choice.

    Raises:
        InvalidQuery: ``count`` is larger than ``size``.

    Source: Arthur & Vassilvitskii 2007, D^2 sampling.
    """
    _check(count, size)
    # float64: a float32 sum of many weights would swallow the small ones.
    least = np.full(size, np.inf)
    proposed = torch.randint(size, (1,), generator=generator) if first is None else torch.tensor([first])
    chosen: list[int] = []
    while len(chosen) < count:
        if chosen:
            if not least.any():
                break
            # Early choices shrink the distances most, so few are proposed at first.
            proposed = _draw(least, min(BLOCK_ROWS, 1 + len(chosen) // 4), generator)
        distances = _plain(squared_distances_to(proposed))
        bars = least[proposed.numpy()] * _uniform(len(proposed), generator)
        for row, bar, distance in zip(proposed.tolist(), bars, distances, strict=True):
            if len(chosen) < count and (not chosen or bar < least[row]):
                chosen.append(row)
                np.minimum(least, distance, out=least)
                least[row] = 0.0
    free = torch.ones(size, dtype=torch.bool)
    free[chosen] = False
    rest = free.nonzero().flatten()[torch.randperm(size - len(chosen), generator=generator)]
    return torch.cat((torch.tensor(chosen, dtype=torch.int64), rest[: count - len(chosen)]))


def k_means(features: Tensor, k: int, generator: torch.Generator, iterations: int = 10) -> Clusters:
    """Clusters points by k-means++ and Lloyd's iterations; stops early once no point moves.

    A cluster that loses all its points takes over one of the points farthest from their centers. Clusters are
    left empty only where there are fewer than ``k`` distinct points.

    Args:
        features: (n, d) points.
        k: The number of clusters, 1 to n.
        generator: Draws the initial centers.
        iterations: The most updates of the centers.

    Raises:
        InvalidQuery: ``k`` is larger than n.

    Source: Lloyd 1982.
    """
    x = _floating(features)
    centers = x[k_means_plus_plus(k, len(x), distances_to_rows(x), generator).to(x.device)]
    found = nearest(x, centers)
    for _ in range(iterations):
        centers = _centers(x, found, k)
        before, found = found, nearest(x, centers)
        if torch.equal(before.center, found.center):
            break
    return Clusters(centers, found.center, found.squared_distance)


def _centers(x: Tensor, found: Nearest, k: int) -> Tensor:
    """Returns the means (k, d) of the clusters, and far points in place of empty ones."""
    # On the CPU, since CUDA adds in no fixed order; in float64, since a cluster may hold the whole pool.
    sums = torch.zeros(k, x.shape[1], dtype=torch.float64)
    assignment = found.center.cpu()
    for rows in _chunks(len(x), SUM_ROWS):
        sums.index_add_(0, assignment[rows], x[rows].cpu().double())
    counts = torch.bincount(assignment, minlength=k)
    means = (sums / counts.clamp(min=1)[:, None]).to(x)
    empty = (counts == 0).nonzero().flatten().to(x.device)
    means[empty] = x[found.squared_distance.topk(len(empty)).indices]
    return means


def _draw(weights: Floats, count: int, generator: torch.Generator) -> Tensor:
    """Draws positions (count,) with probability proportional to their weights (n,), not all 0."""
    cumulative = weights.cumsum()
    at = _uniform(count, generator) * cumulative[-1]
    at = np.minimum(at, np.nextafter(cumulative[-1], 0.0))  # the product may round up
    return torch.from_numpy(np.searchsorted(cumulative, at, side="right"))


def _uniform(count: int, generator: torch.Generator) -> Floats:
    drawn: Floats = torch.rand(count, dtype=torch.float64, generator=generator).numpy()
    return drawn


def _plain(squared: Tensor) -> Floats:
    """Moves distances to the CPU; what a diverged classifier gives becomes huge: such rows cover nothing.

    NumPy then makes the many small updates: of one thread, which for tens of thousands of numbers is the
    faster way.
    """
    huge = torch.finfo(torch.float32).max
    plain: Floats = squared.nan_to_num(nan=huge, posinf=huge).cpu().numpy()
    return plain


def _floating(x: Tensor) -> Tensor:
    return x.to(torch.promote_types(x.dtype, torch.float32))


def _chunks(size: int, rows: int) -> Iterator[slice]:
    return (slice(start, start + rows) for start in range(0, size, rows))


def _check(count: int, size: int) -> None:
    if not 0 <= count <= size:
        raise InvalidQuery(f"{count} points were asked for, and there are {size} to choose from.")
