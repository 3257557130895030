"""MaxHerding and Uncertainty Herding: cover the pool smoothly, its uncertain part first."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, ClassVar

import torch
from scipy.optimize import minimize_scalar
from torch import Tensor

from agents import cover, options, representation
from agents.base import Indices, Strategy
from agents.registry import register
from agents.strategies import uncertainty
from alenv import geometry
from alenv.errors import InvalidQuery

if TYPE_CHECKING:
    from alenv import View

SAMPLE = 20_000  # images on which the cover is measured; its error is then below a hundredth of it
UNCERTAINTIES = ("margin", "least_confidence", "entropy")
HOTTEST = 100.0  # a fitted temperature lies between this and its inverse


def closest_pair(points: Tensor) -> float:
    """Returns the smallest positive distance between two of ``points`` (n, d); infinity where there is none."""
    if not len(points):
        return math.inf
    least = torch.tensor(torch.inf)
    for rows in torch.split(points, max(1, geometry.BLOCK // len(points))):
        squared = geometry.squared_distances(rows, points)
        least = torch.minimum(least, squared.masked_fill_(squared <= 0, torch.inf).min().cpu())
    return math.sqrt(float(least))


def calibrated_temperature(logits: Tensor, labels: Tensor) -> float:
    """Returns the temperature T at which softmax(logits / T) gives labels the highest likelihood, in [0.01, 100].

    Args:
        logits: (n, C); rows that are not finite count for nothing, and without any T is 1.
        labels: int64 (n,), of images that the classifier was not trained on.

    Source: Guo et al. 2017, section 4.2.
    """
    rows, targets = logits.detach().cpu().double(), labels.cpu()
    known = rows.isfinite().all(1) & (targets >= 0)
    rows, targets = rows[known], targets[known]
    if not len(rows):
        return 1.0

    def loss(logarithm: float) -> float:
        return float(torch.nn.functional.cross_entropy(rows / math.exp(logarithm), targets))

    bound = math.log(HOTTEST)
    return math.exp(float(minimize_scalar(loss, bounds=(-bound, bound), method="bounded").x))


class Herding(Strategy):
    """Greedy choice by what an image adds to the cover of the others; subclasses weigh the others.

    Args:
        radius: h of the kernel.
        sample: The most images that the cover is measured on.
        features: See ``representation.points``.
        pool: None = all unlabeled images.
    """

    needs: tuple[str, ...] = ("embedding",)

    def __init__(self, radius: float, sample: int, features: str, pool: str | None) -> None:
        super().__init__(pool)
        self.radius, self.sample = (
            options.number("radius", radius, above=True),
            options.whole("sample", sample),
        )
        self.features, self.needs = features, representation.needs_of(features)

    def radius_for(self, labeled: Tensor) -> float:
        """Returns h, given the labeled points (L, D)."""
        return self.radius

    def weights(self, view: View, indices: Indices) -> Tensor:
        """Returns how much it counts that each image is covered, float (n,) >= 0."""
        raise NotImplementedError

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Covers a sample of ``indices`` greedily by ``count`` of them."""
        free = representation.points(view, indices, self.features)
        labeled = representation.points(view, view.labeled, self.features)
        targets, weights = free, self.weights(view, indices).to(free)
        if len(free) > self.sample:
            rows = torch.randperm(len(free), generator=generator)[: self.sample].to(free.device)
            targets, weights = free[rows], weights[rows]
        state = cover.Cover(free, targets, cover.gaussian(self.radius_for(labeled)), weights)
        if len(labeled):
            state.add(labeled)
        chosen: Indices = indices[cover.greedy(state, count, generator).numpy()]
        return chosen


@register
class MaxHerding(Herding):
    """The images that raise most the mean over the pool of the kernel to the nearest chosen or labeled image.

    The kernel is exp(-(distance / h)^2) of features of unit length: ProbCover with a soft ball. Each choice adds most
    to that mean, which labeled images have raised already; a far outlier adds little, as it is near to itself only.
    Needs no labels, and looks at no prediction.

    Args:
        radius: h; 1 as published.
        sample: The most images that the mean is taken over, drawn anew for each query.
        features: ``"embedding"``, as published, or ``"classifier"`` for its penultimate features.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``radius`` is not above 0, or ``sample`` no whole number of at least 1.
        UnknownName: There are no such features.

    Differs: public code keeps the kernel of at most 35,000 images as a matrix; here gains are computed when they are
    needed, for all unlabeled images, and the choices are those of the plain greedy rule.
    """

    name: ClassVar[str] = "max_herding"
    cost: ClassVar[str] = (
        "S U D products for a sample S of 20,000; then about 100 S D for each of the B choices"
    )
    source: ClassVar[str] = (
        "Bae, Noh & Sutherland 2024, Generalized Coverage for More Robust Low-Budget Active Learning"
    )

    def __init__(
        self,
        radius: float = 1.0,
        sample: int = SAMPLE,
        features: str = "embedding",
        pool: str | None = None,
    ) -> None:
        super().__init__(radius, sample, features, pool)

    def weights(self, view: View, indices: Indices) -> Tensor:
        """All images count alike."""
        return torch.ones(len(indices))


@register
class UncertaintyHerding(Herding):
    """MaxHerding in which images count by how uncertain the classifier is of them, at a scale that adapts.

    While labels are few it covers, and as they become many it turns to uncertain images: the radius is the smallest
    positive distance between two labeled images, and the logits are divided by a temperature. That is fitted on the
    labels of the validation split where the environment has one (give every agent that is compared the same split);
    without one it is 1, and the uncertainties stay as the classifier gives them. Without labels all images count
    alike.

    Args:
        uncertainty: ``"margin"``, ``"least_confidence"`` or ``"entropy"``.
        radius: h while fewer than two different images are labeled; 1 as in MaxHerding.
        temperature: Of the logits; ``"auto"`` = fitted by likelihood on the validation split, 1 without one.
        sample: The most images that the mean is taken over, drawn anew for each query.
        features: ``"embedding"``, as published, or ``"classifier"`` for its penultimate features.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: A number is out of range.
        UnknownName: There is no such uncertainty, or there are no such features.

    Differs: how public code fits the temperature was not confirmed; the likelihood is the usual way. An image of
    which a diverged classifier says nothing counts fully. Further as MaxHerding.
    """

    name: ClassVar[str] = "uherding"
    cost: ClassVar[str] = "one inference pass over the pool, then as max_herding"
    source: ClassVar[str] = (
        "Bae, Oliveira & Sutherland 2025, Uncertainty Herding: One Active Learning Method for All Label Budgets"
    )

    def __init__(
        self,
        uncertainty: str = "margin",
        radius: float = 1.0,
        temperature: float | str = "auto",
        sample: int = SAMPLE,
        features: str = "embedding",
        pool: str | None = None,
    ) -> None:
        super().__init__(radius, sample, features, pool)
        self.uncertainty = options.word("uncertainty", uncertainty, UNCERTAINTIES)
        self.temperature = _checked_temperature(temperature)

    def radius_for(self, labeled: Tensor) -> float:
        """Returns the smallest positive distance between labeled points (L, D), or ``radius`` without any."""
        found = closest_pair(labeled)
        return found if math.isfinite(found) else self.radius

    def weights(self, view: View, indices: Indices) -> Tensor:
        """Returns the calibrated uncertainty."""
        if not len(view.labeled):
            return torch.ones(len(indices))
        score = getattr(uncertainty, self.uncertainty)
        scores: Tensor = score(view.logits(indices) / self._fitted(view))
        return scores.nan_to_num(nan=1.0)

    def _fitted(self, view: View) -> float:
        if not isinstance(self.temperature, str):
            return self.temperature
        split = view.validation
        return 1.0 if split is None else calibrated_temperature(split.logits(), split.labels())


def _checked_temperature(temperature: float | str) -> float | str:
    if isinstance(temperature, str):
        if temperature != "auto":
            raise InvalidQuery(f"temperature={temperature!r} was given; give a number above 0, or auto.")
        return temperature
    return options.number("temperature", temperature, above=True)
