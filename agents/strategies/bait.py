"""BAIT: the images whose labels would narrow down the last layer most where the pool needs it."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from agents import options, representation
from agents.base import Indices, Strategy
from agents.registry import register

if TYPE_CHECKING:
    from alenv import View

ROWS = 1024  # images that are in float64 at once
DIGITS = 9  # to which gains are compared, so that equal images tie whatever the rounding


def factors(probabilities: Tensor, classes: int) -> Tensor:
    """Returns A with rows sqrt(p_c) (onehot_c - p), float64 (n, r, C), of the r likeliest classes.

    With all rows A^T A = diag(p) - p p^T, and the Fisher matrix of the last layer is that, Kronecker h h^T.

    Args:
        probabilities: p, float64 (n, C).
        classes: r, at most C.
    """
    share, likely = probabilities.topk(classes, dim=1)
    rows = -probabilities[:, None].expand(-1, classes, -1).clone()
    rows.scatter_add_(2, likely[:, :, None], torch.ones_like(share)[:, :, None])
    return rows.mul_(share.sqrt()[:, :, None])


def summed_fisher(probabilities: Tensor, features: Tensor) -> Tensor:
    """Returns sum_x (diag(p) - p p^T) x h h^T, the Kronecker products added up, float64 (C D, C D).

    Args:
        probabilities: p, float64 (n, C).
        features: h, float64 (n, D).
    """
    classes, size = probabilities.shape[1], features.shape[1]
    found = torch.zeros(classes, size, classes, size, dtype=torch.float64)
    for p, h in zip(torch.split(probabilities, ROWS), torch.split(features, ROWS), strict=True):
        outer = (p[:, :, None] * h[:, None]).flatten(1)  # (rows, C D)
        found -= (outer.T @ outer).view_as(found)
        for label in range(classes):
            found[label, :, label] += (h * p[:, label, None]).T @ h
    return found.view(classes * size, classes * size)


class Fisher:
    """The inverse M of a Fisher matrix to which images are added and taken away, and what each image changes.

    With V_x = A_x x h_x, scaled, adding x lowers tr(M F) by tr(V M F M V^T (1 + V M V^T)^-1), and taking it away raises
    it by tr(V M F M V^T (1 - V M V^T)^-1). No V is ever built: what is kept of each image are V M V^T and V M F M V^T,
    r x r, and a change of M by W W^T changes them by products with V W.

    Attributes:
        inverse: M, float64 (C D, C D).
    """

    def __init__(self, matrix: Tensor, target: Tensor, rows: Tensor, features: Tensor) -> None:
        """Starts from a matrix.

        Args:
            matrix: Positive definite, float64 (C D, C D); M is its inverse.
            target: F, float64 (C D, C D).
            rows: A, float64 (n, r, C), of the images that may be added, scaled.
            features: h, float64 (n, D).
        """
        self._factors, self._features, self._target = rows, features, target
        self.inverse = torch.cholesky_inverse(torch.linalg.cholesky(matrix))
        self._own, self._aimed = (
            self._contracted(self.inverse),
            self._contracted(self.inverse @ target @ self.inverse),
        )

    def __len__(self) -> int:
        return len(self._features)

    def _contracted(self, matrix: Tensor) -> Tensor:
        """Returns V Q V^T of all images, (n, r, r)."""
        classes, size = self._factors.shape[2], self._features.shape[1]
        blocks = matrix.view(classes, size, classes, size)
        parts = []
        for a, h in zip(torch.split(self._factors, ROWS), torch.split(self._features, ROWS), strict=True):
            inner = torch.empty(len(h), classes, classes, dtype=torch.float64)
            for label in range(classes):
                left = (h @ blocks[label].reshape(size, classes * size)).view(len(h), classes, size)
                inner[:, label] = (left @ h[:, :, None]).squeeze(2)
            parts.append(a @ inner @ a.transpose(1, 2))
        return torch.cat(parts)

    def _times(self, matrix: Tensor) -> Tensor:
        """Returns V Z of all images, (n, r, k), for Z (C D, k)."""
        classes, size = self._factors.shape[2], self._features.shape[1]
        across = matrix.view(classes, size, -1).transpose(0, 1).reshape(size, -1)
        parts = []
        for a, h in zip(torch.split(self._factors, ROWS), torch.split(self._features, ROWS), strict=True):
            parts.append(a @ (h @ across).view(len(h), classes, -1))
        return torch.cat(parts)

    def change(self, sign: float) -> Tensor:
        """Returns by how much adding (1) or taking away (-1) each image lowers or raises tr(M F), float64 (n,)."""
        identity = torch.eye(self._own.shape[1], dtype=torch.float64)
        # V M V^T is below 1 for an image that is part of the matrix, were it not for rounding.
        solved = torch.linalg.solve(identity + sign * self._own + 1e-12 * identity, self._aimed)
        traces: Tensor = solved.diagonal(dim1=1, dim2=2).sum(1)
        return traces

    def keep(self, rows: Tensor) -> None:
        """Forgets all images but ``rows`` (m,), which are 0 to m - 1 from now on."""
        self._factors, self._features = self._factors[rows], self._features[rows]
        self._own, self._aimed = self._own[rows], self._aimed[rows]

    def update(self, image: int, sign: float) -> None:
        """Adds (1) or takes away (-1) an image."""
        v = (self._factors[image, :, :, None] * self._features[image]).flatten(1)  # (r, C D)
        products = self.inverse @ v.T
        middle = torch.eye(len(v), dtype=torch.float64) + sign * (v @ products)
        values, vectors = torch.linalg.eigh((middle + middle.T) / 2)
        w = products @ (vectors / values.clamp(min=1e-12).sqrt())  # M becomes M - sign W W^T
        aimed = self.inverse @ (self._target @ w)  # M F W
        across, towards = self._times(w), self._times(aimed)  # V W, V M F W
        self.inverse -= sign * (w @ w.T)
        self._own -= sign * (across @ across.transpose(1, 2))
        cross = across @ towards.transpose(1, 2)
        self._aimed -= sign * (cross + cross.transpose(1, 2))
        self._aimed += across @ (w.T @ self._target @ w) @ across.transpose(1, 2)


def forward_backward(fisher: Fisher, count: int, over: int, generator: torch.Generator) -> Tensor:
    """Chooses images one by one, then gives the surplus back, each time with the best trace.

    Args:
        fisher: Without the images; it is changed.
        count: How many remain.
        over: How many are chosen at first, ``count`` to n.
        generator: Decides between equal images.

    Returns:
        int64 (count,) distinct rows, in the order of choice.
    """
    order = torch.randperm(
        len(fisher.change(1.0)), generator=generator
    )  # of equal gains the first in it is taken
    taken = torch.zeros(len(order), dtype=torch.bool)
    chosen: list[int] = []
    while len(chosen) < over:
        chosen.append(_first_best(fisher.change(1.0), ~taken, order))
        taken[chosen[-1]] = True
        fisher.update(chosen[-1], 1.0)
    rows = torch.tensor(chosen)
    fisher.keep(rows)
    left = torch.ones(over, dtype=torch.bool)
    order = torch.randperm(over, generator=generator)
    while int(left.sum()) > count:
        out = _first_best(-fisher.change(-1.0), left, order)
        left[out] = False
        fisher.update(out, -1.0)
    return rows[left]


def _first_best(values: Tensor, allowed: Tensor, order: Tensor) -> int:
    """Returns the row of the largest of values (n,) among those allowed; of several the first in the order."""
    values = values.nan_to_num(nan=0.0)
    scale = float(values[allowed].abs().max())
    rounded = (values / scale).round(decimals=DIGITS) if scale > 0 else torch.zeros_like(values)
    return int(order[rounded.masked_fill(~allowed, -torch.inf)[order].argmax()])


def compressed(features: Tensor, size: int) -> Tensor:
    """Returns the ``size`` largest principal components of features (n, D), not centered, float64 (n, size)."""
    x = features.cpu()
    if x.shape[1] <= size:
        return x.double()
    gram = torch.zeros(x.shape[1], x.shape[1], dtype=torch.float64)
    for rows in torch.split(x, ROWS):
        gram += rows.double().T @ rows.double()
    basis = torch.linalg.eigh(gram)[1].flip(1)[:, :size]
    return torch.cat([rows.double() @ basis for rows in torch.split(x, ROWS)])


@register
class Bait(Strategy):
    """The images whose Fisher information, added to that of the labels, brings the pool's expected error down most.

    With the Fisher matrices I(x) = (diag(p) - p p^T) x h h^T of the last layer and F their mean over the pool, it
    minimizes tr((penalty + sum of I over the labeled and the chosen)^-1 F): 2 B images greedily, of which B are given
    back again, each time the one that is missed least. Works without labels.

    Args:
        penalty: lambda; published: 1, and 0.01 for CIFAR-10.
        dimensions: The most entries C x D of the last layer: of the features so many principal components are used.
            A matrix takes its square times 8 bytes, and time grows nearly as much.
        classes: Likeliest classes of an image whose part of its Fisher matrix is used for the choice; exact for as
            many classes.
        factor: So many queries' worth of random images are looked at, at least 2; F is of all.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``penalty`` is not above 0, or another option no whole number of at least 1.

    Differs: the paper looks at all images, which at C D = 5120 takes days; principal components and a random subset
    are what makes it minutes. What public code adds of an image is scaled by B / (L + B), the labeled mean by L / (L
    + B); so it is here.
    """

    name: ClassVar[str] = "bait"
    cost: ClassVar[str] = (
        "one inference pass over the pool, N (C D)^2 for F, then about 8 B^2 C^2 D, C D <= 1024: minutes for B = 1000"
    )
    source: ClassVar[str] = "Ash et al. 2021, Gone Fishing: Neural Active Learning with Fisher Embeddings"

    def __init__(
        self,
        penalty: float = 1.0,
        dimensions: int = 1024,
        classes: int = 10,
        factor: int = 4,
        pool: str | None = None,
    ) -> None:
        super().__init__(pool)
        self.penalty = options.number("penalty", penalty, above=True)
        self.dimensions = options.whole("dimensions", dimensions)
        self.classes, self.factor = options.whole("classes", classes), options.whole("factor", factor, 2)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses ``count`` of ``indices``, forward and backward."""
        everything = np.concatenate([indices, view.labeled])
        size = max(1, self.dimensions // view.num_classes)
        h = compressed(representation.finite(view.features(everything)), size)
        p = representation.finite(view.logits(everything)).cpu().double().softmax(1)
        labels, free = len(view.labeled), len(indices)
        of_labeled = summed_fisher(p[free:], h[free:])
        target = (summed_fisher(p[:free], h[:free]) + of_labeled) / len(everything)
        known = of_labeled / (labels + count)
        known.diagonal().add_(self.penalty)
        rows = torch.randperm(free, generator=generator)[: self.factor * count]
        scale = (count / (labels + count)) ** 0.5
        of_each = scale * factors(p[rows], min(self.classes, view.num_classes))
        fisher = Fisher(known, target, of_each, h[rows])
        over = min(2 * count, len(rows))
        chosen: Indices = indices[rows[forward_backward(fisher, count, over, generator)].numpy()]
        return chosen
