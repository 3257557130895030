"""Disagreement of several networks: the members of an ensemble, or one network under dropout masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents import options
from agents.base import Indices, Strategy, best
from agents.registry import register

if TYPE_CHECKING:
    from alenv import View

ROWS = 4096  # images that are in float64 at once
DECIMALS = 9  # of information in nats: members come in float32, so whatever is smaller is rounding


def variation_ratio(members: Tensor) -> Tensor:
    """Returns 1 - (votes for the modal class) / T of ``members`` (T, n, C) as float64 (n,), in [0, 1)."""
    votes = members.detach().cpu().argmax(2).T
    counts = torch.zeros(len(votes), members.shape[2], dtype=torch.float64)
    counts.scatter_add_(1, votes, torch.ones(votes.shape, dtype=torch.float64))
    return 1 - counts.amax(1) / len(members)


def ensemble_entropy(members: Tensor) -> Tensor:
    """Returns the entropy of the mean of ``members`` (T, n, C) in nats as float64 (n,), in [0, log C]."""
    return _by_rows(members, lambda p: _entropy(p.mean(0)))


def mutual_information(members: Tensor) -> Tensor:
    """Returns H(mean_t p_t) - mean_t H(p_t) of ``members`` (T, n, C) in nats as float64 (n,), in [0, log T].

    It is 0 where all members agree, however uncertain they are.
    """

    def information(p: Tensor) -> Tensor:
        return _entropy(p.mean(0)) - _entropy(p).mean(0)

    found = _by_rows(members, information)
    return found.round(decimals=DECIMALS).clamp(min=0.0)


def first_then(first: Tensor, second: Tensor) -> Tensor:
    """Returns whole numbers (n,) in the order of ``first``, and of ``second`` where that is equal, as float64."""
    ranks = [
        torch.unique(each.nan_to_num(nan=-torch.inf), return_inverse=True)[1] for each in (first, second)
    ]
    combined: Tensor = ranks[0] * len(second) + ranks[1]
    return combined.double()


def _entropy(probabilities: Tensor) -> Tensor:
    terms: Tensor = torch.special.entr(probabilities)
    return terms.sum(-1)


def _by_rows(members: Tensor, score: Callable[[Tensor], Tensor]) -> Tensor:
    parts = torch.split(members.detach().cpu(), ROWS, dim=1)
    return torch.cat([score(part.double()) for part in parts])


class Disagreement(Strategy):
    """The images with the highest score of the members' probabilities; subclasses name the score.

    Args:
        members: T; None = all networks of an ensemble, or 10 dropout masks.
        pool: None = this cycle's candidates.

    Raises:
        InvalidQuery: ``members`` is not a whole number of at least 1.
    """

    needs: tuple[str, ...] = ("members",)
    default_pool: ClassVar[str] = "candidates"
    cost: ClassVar[str] = "one inference pass over the candidates per network; one for all dropout masks"

    def __init__(self, members: int | None = None, pool: str | None = None) -> None:
        super().__init__(pool)
        self.members = None if members is None else options.whole("members", members)

    def score(self, members: Tensor) -> Tensor:
        """Maps probabilities (T, n, C) to scores (n,), higher = wanted."""
        raise NotImplementedError

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses the highest-scored of ``indices``; equal scores in random order."""
        scores = self.score(view.member_probabilities(self.members, indices))
        chosen: Indices = indices[best(scores, count, generator).numpy()]
        return chosen


@register
class VariationRatio(Disagreement):
    """The images on whose class the fewest members agree.

    T members give few distinct ratios, so most images tie; among equal ratios those with the highest entropy of the
    mean probabilities come first.

    Differs: the paper does not say how ties are broken; public code breaks them by the order of the images.
    """

    name: ClassVar[str] = "variation_ratio"
    source: ClassVar[str] = (
        "Beluch et al. 2018, The Power of Ensembles for Active Learning in Image Classification; Freeman 1965"
    )

    def score(self, members: Tensor) -> Tensor:
        """See ``variation_ratio``; ties by ``ensemble_entropy``."""
        return first_then(variation_ratio(members), ensemble_entropy(members))


@register
class EnsembleEntropy(Disagreement):
    """The highest entropy of the members' mean probabilities.

    The class probabilities of all members are averaged, and images score -sum p log p of that mean, in nats: high
    where members are undecided and where they contradict each other alike, which ``bald`` tells apart. With an
    ensemble that is what ``entropy`` scores too, since the mean classifies; with dropout it is not.

    Differs: some public codes add up logits of the members, not probabilities.
    """

    name: ClassVar[str] = "ensemble_entropy"
    source: ClassVar[str] = (
        "Beluch et al. 2018, The Power of Ensembles for Active Learning in Image Classification; Gal et al. 2017"
    )

    def score(self, members: Tensor) -> Tensor:
        """See ``ensemble_entropy``."""
        return ensemble_entropy(members)


@register
class Bald(Disagreement):
    """The images whose label would say most about which member is right: each is sure, and of another class.

    The score is the entropy of the mean of the members' probabilities less the mean of their entropies: the mutual
    information of label and member, in nats. Where all members are equally undecided it is 0. Members are the
    networks of an ensemble, or one network under dropout masks that all images share; BatchNorm stays as it is in
    inference.

    Differs: the paper draws 100 dropout masks and scores a random 2,000 images; here they are the candidates, and
    ``members`` says how many masks.
    """

    name: ClassVar[str] = "bald"
    source: ClassVar[str] = (
        "Houlsby et al. 2011; Gal et al. 2017, Deep Bayesian Active Learning with Image Data"
    )

    def score(self, members: Tensor) -> Tensor:
        """See ``mutual_information``."""
        return mutual_information(members)
