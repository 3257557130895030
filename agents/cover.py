"""Greedy cover: the images under whose kernels most of the pool comes to lie, without a matrix of all pairs."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from alenv import geometry

Kernel = Callable[[Tensor], Tensor]  # of squared distances, which it may overwrite; values in [0, 1]
AHEAD = 32  # candidates whose gains are brought up to date together
SHRINK = 0.8  # targets are left out once so small a share of them can still gain
KEPT = 2**26  # kernel values of candidates that are kept at most: 256 MB in float32


def top_hat(radius: float) -> Kernel:
    """Returns the kernel that is 1 at distances below ``radius``, else 0."""
    square = radius * radius
    return lambda squared: (squared < square).to(squared.dtype)


def gaussian(radius: float) -> Kernel:
    """Returns the kernel exp(-(distance / radius)^2), ``radius`` above 0."""
    return lambda squared: squared.div_(-radius * radius).exp_()


class Cover:
    """How well each target is covered, and what each candidate would add.

    The cover of target x is m(x) = max of k(x, c) over the chosen c; candidate c would add
    sum_x w(x) max(0, k(x, c) - m(x)).

    Attributes:
        candidates: float32 (n, d).
        targets: float32 (m, d); those that cannot gain any more may have been left out.
    """

    def __init__(
        self, candidates: Tensor, targets: Tensor, kernel: Kernel, weights: Tensor | None = None
    ) -> None:
        """Starts with nothing covered.

        Args:
            candidates: (n, d).
            targets: (m, d).
            kernel: Of squared distances, with values in [0, 1].
            weights: (m,) >= 0; None = all 1.
        """
        self.candidates, self.targets = candidates, targets
        self._kernel = kernel
        self._weights = torch.ones(len(targets), device=targets.device) if weights is None else weights
        self._covered = torch.zeros(len(targets), device=targets.device)
        self._norms = geometry.squared_norms(targets)
        # Kernel values (KEPT / m, m) of candidates that were looked at again, one piece of memory, and where they are.
        self._rows: Tensor | None = None
        self._places: dict[int, int] = {}

    def add(self, centers: Tensor) -> None:
        """Lets centers (c, d) cover."""
        for some in torch.split(centers, self._block()):
            torch.maximum(self._covered, self._values(some).amax(0), out=self._covered)
        self._leave_out()

    def choose(self, row: int) -> None:
        """Lets a candidate cover."""
        if self._rows is not None and row in self._places:
            values = self._rows[self._places[row]]
        else:
            values = self._values(self.candidates[row : row + 1])[0]
        torch.maximum(self._covered, values, out=self._covered)
        self._leave_out()

    def _leave_out(self) -> None:
        """Drops targets that are covered fully, or count for nothing, once there are many."""
        open_ = (self._covered < 1) & (self._weights > 0)
        if int(open_.sum()) < SHRINK * len(open_):
            self.targets, self._weights = self.targets[open_], self._weights[open_]
            self._covered, self._norms = self._covered[open_], self._norms[open_]
            self._rows, self._places = None, {}

    def gains(self) -> Tensor:
        """Returns what each candidate would add, float64 (n,) on the CPU."""
        found, block = torch.empty(len(self.candidates), dtype=torch.float64), self._block()
        for start in range(0, len(found), block):
            # Into one piece of memory: small results kept between large blocks would keep these from being used again.
            some = slice(start, start + block)
            found[some] = self._gained(self._values(self.candidates[some]))
        return found

    def gains_again(self, rows: Tensor) -> Tensor:
        """Returns what candidates ``rows`` (r,) would add, float64 (r,) on the CPU.

        Their kernel values are kept: whoever is looked at again will mostly be looked at once more.
        """
        wanted, size = rows.tolist(), max(1, len(self.targets))
        if self._rows is None:
            room = max(AHEAD, min(KEPT // size, len(self.candidates)))
            self._rows = self.candidates.new_empty(room, len(self.targets))
        missing = [row for row in wanted if row not in self._places]
        if len(self._places) + len(missing) > len(self._rows):
            self._places, missing = {}, wanted
        for some in torch.split(torch.tensor(missing, dtype=torch.int64), self._block()):
            first = len(self._places)
            self._rows[first : first + len(some)] = self._values(self.candidates[some])
            self._places.update(zip(some.tolist(), range(first, first + len(some)), strict=True))
        return self._gained(self._rows[[self._places[row] for row in wanted]])

    def _block(self) -> int:
        return max(1, geometry.BLOCK // max(1, len(self.targets)))

    def _values(self, points: Tensor) -> Tensor:
        """Returns the kernel (r, m) of points (r, d) and the targets."""
        return self._kernel(geometry.squared_distances(points, self.targets, self._norms))

    def _gained(self, values: Tensor) -> Tensor:
        """Returns what candidates of kernel values (r, m), which are overwritten, would add."""
        return (values.sub_(self._covered).clamp_(min=0.0) @ self._weights).cpu().double()


def greedy(cover: Cover, count: int, generator: torch.Generator) -> Tensor:
    """Chooses candidates one by one, each the one that adds most; equal ones at random.

    What a candidate adds never grows while others are chosen, so that a gain computed before is an upper bound, and
    only candidates whose bound is above the best known gain are computed again: the choices are those of the plain
    greedy rule. Once nothing adds anything, the rest is random.

    Args:
        cover: What is covered already; it is changed.
        count: How many, at most n.
        generator: A CPU generator.

    Returns:
        int64 (count,) distinct rows of the candidates, in the order of choice, on the CPU.

    Source: Minoux 1978 for the lazy evaluation.
    """
    # Of equal bounds the first is taken; in a random order that is any of them.
    order = torch.randperm(len(cover.candidates), generator=generator)
    bounds = cover.gains()[order]
    known = torch.ones(len(order), dtype=torch.bool)  # whether a bound is the gain itself
    chosen: list[int] = []
    while len(chosen) < count:
        best = int(bounds.argmax())
        if bounds[best] <= 0:
            break
        if not known[best]:
            stale = bounds.masked_fill(known, -torch.inf)
            likely = stale.topk(min(AHEAD, len(stale))).indices
            likely = likely[stale[likely] > -torch.inf]
            # Rounding must not lift a gain above the bound that it had.
            bounds[likely] = torch.minimum(bounds[likely], cover.gains_again(order[likely]))
            known[likely] = True
            continue
        chosen.append(best)
        bounds[best] = -torch.inf
        known.fill_(False)
        known[best] = True
        cover.choose(int(order[best]))
    free = torch.ones(len(order), dtype=torch.bool)
    free[chosen] = False
    rest = free.nonzero().flatten()[: count - len(chosen)]  # in the random order
    return order[torch.cat([torch.tensor(chosen, dtype=torch.int64), rest])]
