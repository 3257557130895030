"""The ridge heads of many episodes as one batch of tensors, brought up to date by low-rank changes in float32."""

from __future__ import annotations

import copy
from typing import NamedTuple

import torch
from torch import Tensor

from alenv.learners.linear import first_of_largest
from alenv.learners.ridge_heads import Heads
from alenv.pool import OUTLIER

OF_CONSTANT = 1e-6  # the constant's penalty: only enough to keep the factorization stable
PIECE = 128  # rows that are learned at once: an update takes a Cholesky factor of so many
SHARPNESS = 15.0  # of the smooth accuracy
GAINS_AT_ONCE = 8
_CACHED = 3 * 2**20  # bytes of inverses that a core's cache keeps from their first product to their second


_STATE = ("inverses", "slopes", "squares", "freedom", "mean", "target", "weight")


class RidgeBatch:
    """E ridge heads, each the exact solution up to rounding in float32.

    An episode's rows are kept centered: with their weighted mean m, N = n + 1e-6 of n rows (the constant's penalty is
    a weight at the origin), and rows and targets that are new, less the means before, multiplied by the symmetric root
    I - a 11^T of I - 11^T / (N + B), the constant falls out of the problem, and what is left starts from P = I /
    penalty without a large number in it. New rows X (B, D) then change the inverse by the Woodbury identity: with
    R R^T = I + X P X^T and G = R^-1 X P, P loses G^T G, and with Z = R^-1 (Y - X W^T) the slopes W gain Z^T G. Errors
    of rounding in P shrink with P itself. Generalized cross-validation needs no more: the penalized squares grow by
    |Z|^2, the degrees of freedom by penalty |G|^2.

    Attributes:
        heads: The heads with the best penalty, (E, C, D) and (E, C).

    Source: Woodbury 1950; Golub, Heath and Wahba 1979 for the choice among penalties.
    """

    def __init__(self, episodes: int, size: int, classes: int, penalties: int, device: torch.device) -> None:
        """Allocates heads; ``begin`` starts them.

        Args:
            episodes: E.
            size: D.
            classes: C.
            penalties: R, how many the best is chosen from.
            device: Where the tensors lie.
        """
        new = torch.zeros(0, device=device).new_zeros
        self._inverses = new(episodes, penalties, size, size)
        self._slopes = new(episodes, penalties, classes, size)
        self._squares, self._freedom = new(episodes, penalties), new(episodes, penalties)
        self._penalties = new(episodes, penalties)
        self._mean, self._target = new(episodes, size), new(episodes, classes)
        self._weight = new(episodes)  # N
        self._classes = new(episodes, classes).bool()
        self.heads = Heads(new(episodes, classes, size), new(episodes, classes))
        self._chosen = new(episodes).long()  # which of the penalties
        on_cpu = device.type == "cpu"
        self._chunk = max(1, _CACHED // (4 * penalties * size**2)) if on_cpu else episodes

    def begin(self, which: Tensor, penalties: Tensor, classes: Tensor, rows: Tensor, labels: Tensor) -> None:
        """Forgets all that some episodes have learned, and gives them their first rows.

        Args:
            which: int64 (n,), the episodes, ascending.
            penalties: float32 (n, R), ascending.
            classes: bool (n, C), the classes that an episode has.
            rows: float32 (n, B, D).
            labels: int64 (n, B); rows of ``OUTLIER`` teach nothing.
        """
        self._penalties[which] = penalties
        self._classes[which] = classes
        for state in (self._slopes, self._squares, self._mean, self._target):
            state[which] = 0
        self._freedom[which] = 1  # the constant's
        self._weight[which] = OF_CONSTANT
        self._learn(which, rows, labels, fresh=True)

    def learn(self, which: Tensor, rows: Tensor, labels: Tensor) -> None:
        """Adds rows, float32 (n, B, D), with labels, int64 (n, B), to some episodes, ascending; see ``begin``."""
        self._learn(which, rows, labels, fresh=False)

    def _learn(self, which: Tensor, rows: Tensor, labels: Tensor, fresh: bool) -> None:
        whole = len(which) == len(self._weight)  # then slices serve, which are no copies
        for first in range(0, len(which), self._chunk):
            part = slice(first, first + self._chunk)
            place = part if whole else which[part]
            inverses = self._inverses[place]
            if fresh:
                inverses.zero_().diagonal(dim1=-2, dim2=-1).add_(1 / self._penalties[place][..., None])
            pieces = zip(torch.split(rows[part], PIECE, 1), torch.split(labels[part], PIECE, 1), strict=True)
            for number, (some, answers) in enumerate(pieces):
                self._add(place, inverses, some, answers, diagonal=fresh and number == 0)
            if not whole:
                self._inverses[place] = inverses
        self._choose()

    def _add(
        self, place: slice | Tensor, inverses: Tensor, rows: Tensor, labels: Tensor, diagonal: bool
    ) -> None:
        """Adds rows (n, B, D) to episodes, whose ``inverses`` (n, R, D, D) are changed in place."""
        new = self._centered(place, rows, labels)
        slopes, x = self._slopes[place], new.rows[:, None]
        products = x / self._penalties[place][..., None, None] if diagonal else x @ inverses
        gain, surprise = _innovations(products, slopes, x, new.targets[:, None])
        flat = gain.flatten(0, 1)
        inverses.view(-1, *inverses.shape[2:]).baddbmm_(flat.transpose(1, 2), flat, alpha=-1)
        self._slopes[place] = slopes + surprise.transpose(-1, -2) @ gain
        self._squares[place] += surprise.square().sum((-1, -2))
        self._freedom[place] += self._penalties[place] * gain.square().sum((-1, -2))
        self._mean[place], self._target[place], self._weight[place] = new.mean, new.target, new.weight

    def after(self, place: slice, rows: Tensor, labels: Tensor) -> Heads:
        """Returns the heads that each of several additions would give, and changes nothing.

        Args:
            place: n of the episodes.
            rows: float32 (n, J, B, D), J additions to each.
            labels: int64 (n, J, B).

        Returns:
            Slopes (n, J, C, D) and constants (n, J, C).
        """
        additions, size = rows.shape[1:3]
        new = self._centered(place, rows, labels)
        x, inverses = new.rows[:, None], self._inverses[place]
        slopes = self._slopes[place][:, :, None].expand(-1, -1, additions, -1, -1)
        products = (new.rows.flatten(1, 2)[:, None] @ inverses).view(
            *inverses.shape[:2], additions, size, inverses.shape[2]
        )
        gain, surprise = _innovations(products, slopes, x, new.targets[:, None])
        slopes = slopes + surprise.transpose(-1, -2) @ gain  # (n, R, J, C, D)
        penalties = self._penalties[place][:, :, None]
        squares = self._squares[place][:, :, None] + surprise.square().sum((-1, -2))
        freedom = self._freedom[place][:, :, None] + penalties * gain.square().sum((-1, -2))
        best = _best(slopes, squares, freedom, penalties, new.weight)
        return _heads(slopes, best, new.mean, new.target, self._classes[place][:, None])

    def get_state(self) -> dict[str, Tensor]:
        """Returns what ``learn`` goes on from, on the CPU; no later call changes it."""
        return {name: getattr(self, f"_{name}").clone().cpu() for name in _STATE}

    def set_state(self, state: dict[str, Tensor]) -> None:
        """Restores what ``get_state`` of a batch of the same penalties and classes gave."""
        for name in _STATE:
            getattr(self, f"_{name}").copy_(state[name])
        self._choose()

    def of(self, index: int) -> RidgeBatch:
        """Returns a copy of one episode, which learns on by itself."""
        found = copy.copy(self)
        one = slice(index, index + 1)
        for name, value in vars(self).items():
            if isinstance(value, Tensor):
                setattr(found, name, value[one].clone())
        found.heads = Heads(*(part[one] for part in self.heads))
        return found

    def gains(self, place: slice, rows: Tensor, labels: Tensor, held_out: HeldOut) -> Tensor:
        """Returns how much each of several single rows would raise a smooth accuracy, and changes nothing.

        The smooth accuracy is the mean over held-out rows of sigmoid(15 (s - t)), s the score of the true class and t
        the best other one; the penalty stays. A row x with leverage h moves the scores of a held-out row v by
        ((v - m)^T P x + 1/N) (y - s(x)) / (1 + h), so that all of it follows from one product.

        Args:
            place: n of the episodes.
            rows: float32 (n, K, D).
            labels: int64 (n, K); a row of ``OUTLIER`` changes nothing.
            held_out: What the accuracy is measured on.

        Returns:
            float32 (n, K).
        """
        heads = Heads(self.heads.slopes[place], self.heads.constants[place])
        inverses = self._inverses[place].gather(
            1, self._chosen[place][:, None, None, None].expand(-1, 1, *self._inverses.shape[2:])
        )[:, 0]
        total = (self._weight[place] + 1)[:, None]
        shrink = (self._weight[place][:, None] / total).sqrt()  # what is left of a new row less the mean
        x = (rows - self._mean[place][:, None]) * shrink[:, :, None]
        products = x @ inverses  # (n, K, D)
        spread = 1 + (products * x).sum(2)
        at_mean = (products * self._mean[place][:, None]).sum(2)
        along = (products @ held_out.columns - at_mean[:, :, None]) * (shrink / spread)[:, :, None]
        along = along + (1 / (total * spread))[:, :, None]  # (n, K, V)
        scores = torch.baddbmm(heads.constants[:, :, None], heads.slopes, rows.transpose(1, 2))
        one_hot = torch.nn.functional.one_hot(labels.clamp(min=0), scores.shape[1])
        classes = self._classes[place]
        targets = one_hot - (classes / classes.sum(1, keepdim=True))[:, None]
        errors = (targets - scores.transpose(1, 2)) * (labels != OUTLIER)[:, :, None]  # (n, K, C)
        errors = errors.masked_fill(~classes[:, None], 0.0)
        before = torch.baddbmm(
            heads.constants[:, :, None], heads.slopes, held_out.columns.expand(len(rows), -1, -1)
        )
        start = _smooth(before[:, None], held_out.labels)
        return torch.cat(
            [
                _smooth(before[:, None] + error[:, :, :, None] * moved[:, :, None], held_out.labels) - start
                for error, moved in zip(
                    torch.split(errors, GAINS_AT_ONCE, 1), torch.split(along, GAINS_AT_ONCE, 1), strict=True
                )
            ],
            dim=1,
        )

    def _centered(self, place: slice | Tensor, rows: Tensor, labels: Tensor) -> _Centered:
        """Returns what new rows (n, ..., B, D) with labels (n, ..., B) add to the centered problem."""
        mean, target, weight, classes = (
            self._mean[place],
            self._target[place],
            self._weight[place],
            self._classes[place],
        )
        if rows.ndim == 4:  # additions that are tried side by side
            mean, target, weight, classes = (state[:, None] for state in (mean, target, weight, classes))
        taught = (labels != OUTLIER).float().unsqueeze(-1)
        one_hot = torch.nn.functional.one_hot(labels.clamp(min=0), classes.shape[-1]).float()
        share = classes / classes.sum(-1, keepdim=True)
        x = (rows - mean.unsqueeze(-2)) * taught
        y = (one_hot - (share + target).unsqueeze(-2)) * taught
        count = taught.sum((-1, -2))
        total = weight + count
        factor = (1 - (weight / total).sqrt()) / count.clamp(min=1)
        sums = x.sum(-2), y.sum(-2)
        scaled = taught * factor[..., None, None]
        return _Centered(
            x - scaled * sums[0].unsqueeze(-2),
            y - scaled * sums[1].unsqueeze(-2),
            mean + sums[0] / total.unsqueeze(-1),
            target + sums[1] / total.unsqueeze(-1),
            total,
        )

    def _choose(self) -> None:
        self._chosen = best = _best(self._slopes, self._squares, self._freedom, self._penalties, self._weight)
        self.heads = _heads(self._slopes, best, self._mean, self._target, self._classes)


class HeldOut(NamedTuple):
    """Rows with labels that heads are measured on: float32 (D, V), the rows as columns, and int64 (V,)."""

    columns: Tensor
    labels: Tensor


def _smooth(scores: Tensor, labels: Tensor) -> Tensor:
    """Returns the smooth accuracy (...) of scores (..., C, V) with labels int64 (V,)."""
    place = labels.expand(*scores.shape[:-2], 1, -1)
    own = scores.gather(-2, place)
    best = scores.scatter(-2, place, -torch.inf).amax(-2, keepdim=True)
    return (SHARPNESS * (own - best)).sigmoid().mean((-1, -2))


class _Centered(NamedTuple):
    rows: Tensor  # (n, ..., B, D)
    targets: Tensor  # (n, ..., B, C)
    mean: Tensor  # (n, ..., D), from now on
    target: Tensor  # (n, ..., C), the mean target
    weight: Tensor  # (n, ...), N


def _innovations(products: Tensor, slopes: Tensor, x: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
    """Returns G (..., B, D) and Z (..., B, C) of rows x (..., B, D), targets y (..., B, C) and products x P."""
    spread = products @ x.transpose(-1, -2)
    spread.diagonal(dim1=-2, dim2=-1).add_(1)
    root = torch.linalg.cholesky_ex(spread)[0]
    eye = torch.eye(root.shape[-1], device=root.device).expand_as(root)
    # The small inverse, then a product: a triangular solve with all D columns takes four times as long on a CPU.
    unroot = torch.linalg.solve_triangular(root, eye, upper=False)
    return unroot @ products, unroot @ (y - x @ slopes.transpose(-1, -2))


def _best(slopes: Tensor, squares: Tensor, freedom: Tensor, penalties: Tensor, weight: Tensor) -> Tensor:
    """Returns int64 (n, ...), which of the penalties (n, R, ...) has the least error of cross-validation."""
    residual = (squares - penalties * slopes.square().sum((-1, -2))).clamp(min=0)
    errors = residual / (1 - freedom / weight.unsqueeze(1)).clamp(min=1e-6) ** 2
    return first_of_largest(-errors.flatten(2) if errors.ndim > 2 else -errors[:, :, None]).view_as(
        errors[:, 0]
    )


def _heads(slopes: Tensor, best: Tensor, mean: Tensor, target: Tensor, classes: Tensor) -> Heads:
    """Returns the heads with the best penalties of slopes (n, R, ..., C, D)."""
    place = best[:, None, ..., None, None].expand(-1, 1, *slopes.shape[2:])
    chosen = slopes.gather(1, place).squeeze(1)
    constants = target - (chosen @ mean.unsqueeze(-1)).squeeze(-1)
    return Heads(chosen, constants.masked_fill(~classes, -torch.inf))
