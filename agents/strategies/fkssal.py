"""FKSSAL: the unlabeled images most like those of the validation split that the classifier gets wrong."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents import options
from agents.base import Indices, Strategy, at_random
from agents.registry import register
from agents.strategies.badge import gradient_factors
from agents.strategies.isal import label_factors
from alenv import geometry

if TYPE_CHECKING:
    from alenv import View

PSEUDO = ("nearest", "predicted")
TINY = 1e-10  # added to a standard deviation
BLOCK = 2**22  # similarities held at a time, 16 MB


def standardized(x: Tensor) -> Tensor:
    """Returns each row of ``x`` (n, d) less its mean, over its deviation and sqrt(d): products are correlations."""
    centered = (x - x.mean(1, keepdim=True)).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
    deviation = centered.square().mean(1, keepdim=True).sqrt()
    scaled: Tensor = centered / ((deviation + TINY) * x.shape[1] ** 0.5)
    return scaled


def descriptors(features: Tensor, factors: Tensor, weight: Tensor) -> Tensor:
    """Returns [z, g], (n, 2 D): products are R(i, j) = z_i . z_j + g_i . g_j, in [-2, 2].

    z are the standardized features, and g is the standardized gradient of the loss by them, W^T (p - onehot(y)).

    Args:
        features: (n, D).
        factors: p - onehot(y), (n, C).
        weight: W of the last layer, (C, D).

    Source: Gudovskiy et al. 2020, the practical Fisher kernel.
    """
    return torch.cat([standardized(features), standardized(factors @ weight)], dim=1)


def matches(wanted: Tensor, pool: Tensor, count: int) -> Tensor:
    """Chooses the best match of each wanted row, then the second best, and so on; within a rank the best first.

    Args:
        wanted: (k, d), k >= 1.
        pool: (n, d), compared by products.
        count: How many, at most n.

    Returns:
        int64 (count,) distinct rows of ``pool`` in the order of choice, on the CPU.
    """
    ranks = -(-2 * count // len(wanted))
    while True:
        ranks = min(ranks, len(pool))
        parts = [(part @ pool.T).topk(ranks) for part in torch.split(wanted, max(1, BLOCK // len(pool)))]
        similar, rows = (torch.cat([part[kind].cpu() for part in parts]) for kind in (0, 1))
        order = similar.argsort(dim=0, descending=True, stable=True)  # within each rank
        ranked = rows.gather(0, order).T.flatten().tolist()
        distinct = list(dict.fromkeys(ranked))
        if len(distinct) >= count:
            return torch.tensor(distinct[:count])
        ranks *= 2  # several want the same


@register
class Fkssal(Strategy):
    """The unlabeled images most like the validation images that the classifier gets wrong.

    Images are alike where features, and gradients of the loss by them, correlate. Of more errors than the query
    takes, greedy k-center keeps as many. The best match of each error is bought, then the second best, until the
    query is full. Where there is no error, the query is random. The labels of the validation split are used, and are
    far more than the query buys, so give every agent that is compared the same split, for early stopping or the like.

    Args:
        pseudo: What an unlabeled image's gradient takes for its label: that of the ``"nearest"`` validation image by
            features, as the paper does, or the ``"predicted"`` class.
        pool: None = all unlabeled images.

    Raises:
        UnknownName: There is no such pseudo-label or pool.

    Differs: the last features alone are compared, where the public code can add those of the stage before; their
    gradient is in closed form. The public code overwrites the number of ranks with a loop variable; here there are as
    many as it takes. Images of no class are no errors. An ensemble's gradient is that of its first network's last
    layer.
    """

    name: ClassVar[str] = "fkssal"
    needs: tuple[str, ...] = ("validation", "classifier")
    cost: ClassVar[str] = "one inference pass over the pool and the split, then O(V U D) products in chunks"
    source: ClassVar[str] = (
        "Gudovskiy et al. 2020, Deep Active Learning for Biased Datasets via Fisher Kernel Self-Supervision"
    )

    def __init__(self, *, pseudo: str = "nearest", pool: str | None = None) -> None:
        super().__init__(pool)
        self.pseudo = options.word("pseudo", pseudo, PSEUDO)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses the best matches of the errors among ``indices``."""
        split = view.validation
        assert split is not None, "the agent needs it"
        with view.runtime.active(), torch.no_grad():
            labels = split.labels()
            wrong = (split.logits().argmax(1) != labels) & (labels >= 0)
            if not wrong.any():
                return at_random(indices, count, generator)
            weight = view.classifier.head.weight
            errors = descriptors(
                split.features()[wrong], label_factors(split.logits()[wrong], labels[wrong]), weight
            )
            if len(errors) > count:
                errors = errors[geometry.k_center(errors, count, generator=generator).to(errors.device)]
            shuffled = torch.randperm(len(indices), generator=generator)  # equal images tie by position
            rows = torch.from_numpy(indices.copy())[shuffled]
            factors = self._factors(view, rows)
            found = matches(errors, descriptors(view.features(rows), factors, weight), count)
        chosen: Indices = rows[found].numpy()
        return chosen

    def _factors(self, view: View, rows: Tensor) -> Tensor:
        """Returns p - onehot(y) of the pool indices ``rows`` (n,) at their pseudo-labels y, (n, C)."""
        if self.pseudo == "predicted":
            return gradient_factors(view.logits(rows))
        assert view.validation is not None, "the agent needs it"
        known = view.validation.labels() >= 0
        theirs = standardized(view.validation.features()[known])
        nearest = geometry.nearest(standardized(view.features(rows)), theirs).center
        return label_factors(view.logits(rows), view.validation.labels()[known][nearest])
