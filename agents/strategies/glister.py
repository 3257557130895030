"""GLISTER and FASS: images whose gradients help the validation loss, and uncertain ones that stand for others."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents import cover, options, representation
from agents.base import Indices, Strategy, best
from agents.registry import register
from agents.strategies.badge import gradient_factors
from agents.strategies.uncertainty import entropy

if TYPE_CHECKING:
    from alenv import View

SAMPLE = 5000  # images whose loss stands for that of all
DIGITS = 5  # of float32 gains that are compared, so that equal images tie whatever the rounding


def known_factors(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns p - onehot(label), float32 (n, C), of logits (n, C) and labels int64 (n,)."""
    found = logits.detach().float().softmax(1)
    return found.scatter_add_(1, labels[:, None], found.new_full((len(found), 1), -1.0))


class Validated:
    """The loss of some images under small steps of the last layer.

    A step of size eta along the gradient a x h of another image, its constant included, moves the logits of image v by
    -eta a (h . h_v + 1). Nothing of C x D is stored but the gradient of the mean loss.
    """

    def __init__(self, features: Tensor, logits: Tensor, labels: Tensor, rate: float) -> None:
        """Takes the images.

        Args:
            features: float32 (v, D).
            logits: float32 (v, C).
            labels: int64 (v,).
            rate: eta.
        """
        self._features, self._logits, self._labels = features, logits.clone(), labels
        self._rate = rate

    def step(self, factors: Tensor, features: Tensor) -> None:
        """Takes a step along the summed gradients of images with a (m, C) and h (m, D)."""
        moved = self._features @ (features.T @ factors) + factors.sum(0)
        self._logits -= self._rate * moved

    def gains(self, factors: Tensor, features: Tensor) -> Tensor:
        """Returns (gradient of each image) . (gradient of the mean loss), a^T G h + a . b, (n,)."""
        errors = known_factors(self._logits, self._labels) / max(1, len(self._labels))
        return ((features @ (self._features.T @ errors) + errors.sum(0)) * factors).sum(1)


def greedy(
    validated: Validated, factors: Tensor, features: Tensor, count: int, generator: torch.Generator
) -> Tensor:
    """Chooses images one by one, each the one whose step lowers the loss most to first order, and takes its step.

    Args:
        validated: Whose loss; it is changed.
        factors: a, (n, C).
        features: h, (n, D).
        count: How many, at most n.
        generator: Decides between equal images.

    Returns:
        int64 (count,) distinct rows, in the order of choice.

    Source: Killamsetty et al. 2021, with a Taylor approximation after each choice.
    """
    order = torch.randperm(len(factors), generator=generator)
    factors, features = factors[order], features[order]
    free = torch.ones(len(order), dtype=torch.bool, device=factors.device)
    chosen: list[int] = []
    while len(chosen) < count:
        gains = validated.gains(factors, features).nan_to_num(nan=0.0)
        scale = gains.abs().max().clamp(min=torch.finfo(torch.float32).tiny)
        rounded = (gains / scale).round(decimals=DIGITS).masked_fill(~free, -torch.inf)
        row = int(rounded.argmax())
        chosen.append(row)
        free[row] = False
        validated.step(factors[row : row + 1], features[row : row + 1])
    return order[chosen]


@register
class Glister(Strategy):
    """The images whose gradients point along that of the validation loss, after a step with those chosen before.

    Gradients are those of the last layer, weights and constant, at the guessed class; labeled images have taken their
    step already, at their labels. The loss is that of the validation split where the environment has one: its labels
    are used then, so give every agent that is compared the same split. Without one it is the loss of a sample of the
    unlabeled images at their guessed classes, and no label but the bought ones plays a part.

    Args:
        rate: eta, the size of a step; the learning rate.
        sample: The most images whose loss is looked at.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``rate`` is not a number of at least 0, or ``sample`` no whole number of at least 1.

    Differs: public code goes by the summed gradient and divides it by different numbers from choice to choice; here
    it is a mean throughout. Its regularizers (random, facility location, diversity) are left out.
    """

    name: ClassVar[str] = "glister"
    cost: ClassVar[str] = "one inference pass over the pool, then B (U + V) C D products, V at most 5,000"
    source: ClassVar[str] = (
        "Killamsetty et al. 2021, GLISTER: Generalization based Data Subset Selection (GLISTER-ACTIVE)"
    )

    def __init__(self, rate: float = 0.01, sample: int = SAMPLE, pool: str | None = None) -> None:
        super().__init__(pool)
        self.rate, self.sample = options.number("rate", rate), options.whole("sample", sample)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses ``count`` of ``indices`` one by one."""
        features, logits = _finite(view.features(indices), view.logits(indices))
        validated = self._validated(view, features, logits, generator)
        if len(view.labeled):
            labels = view.labels()
            known = labels >= 0
            h, z = _finite(view.features(view.labeled), view.logits(view.labeled))
            validated.step(known_factors(z[known], labels[known]), h[known])
        chosen = greedy(validated, gradient_factors(logits), features, count, generator)
        picked: Indices = indices[chosen.numpy()]
        return picked

    def _validated(
        self, view: View, features: Tensor, logits: Tensor, generator: torch.Generator
    ) -> Validated:
        split = view.validation
        if split is not None:
            features, logits = _finite(split.features(), split.logits())
            labels = split.labels()
        else:
            labels = logits.argmax(1)
        rows = (labels >= 0).cpu().nonzero().flatten()
        rows = rows[torch.randperm(len(rows), generator=generator)[: self.sample]].to(features.device)
        return Validated(features[rows], logits[rows], labels[rows], self.rate)


@register
class Fass(Strategy):
    """Of the most uncertain images those that stand for the others: each new one raises most how like the nearest is.

    The images of the highest entropy are kept; of these B are chosen greedily by facility location, the sum over the
    kept ones of the likeness to the nearest chosen one: an image is chosen for how many uncertain images it resembles
    that no choice resembles yet. Likeness is (1 + cosine) / 2 of the features.

    Args:
        factor: Images that are kept, in queries.
        features: ``"classifier"`` for its penultimate features, or ``"embedding"``.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``factor`` is not a whole number of at least 1.
        UnknownName: There are no such features.

    Differs: the factor and the likeness were not confirmed; the paper takes the largest distance less the distance.
    """

    name: ClassVar[str] = "fass"
    cost: ClassVar[str] = (
        "one inference pass over the pool, n^2 D products for n = 10 B, then about 100 n D per choice"
    )
    source: ClassVar[str] = (
        "Wei, Iyer & Bilmes 2015, Submodularity in Data Subset Selection and Active Learning"
    )

    def __init__(self, factor: int = 10, features: str = "classifier", pool: str | None = None) -> None:
        super().__init__(pool)
        self.factor = options.whole("factor", factor)
        self.features, self.needs = features, representation.needs_of(features)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses the facilities of the most uncertain of ``indices``."""
        kept = indices[best(entropy(view.logits(indices)), self.factor * count, generator).numpy()]
        points = representation.points(view, kept, self.features)
        state = cover.Cover(points, points, likeness)
        chosen: Indices = kept[cover.greedy(state, count, generator).numpy()]
        return chosen


def likeness(squared: Tensor) -> Tensor:
    """Returns (1 + cosine) / 2 of unit vectors at squared distances, in [0, 1]; the distances are overwritten."""
    return squared.div_(-4.0).add_(1.0).clamp_(min=0.0)


def _finite(features: Tensor, logits: Tensor) -> tuple[Tensor, Tensor]:
    return representation.finite(features), representation.finite(logits)
