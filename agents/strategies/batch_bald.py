"""BatchBALD: the images whose labels together say most about which member is right."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents import options
from agents.base import Indices, Strategy
from agents.registry import register
from agents.strategies.disagreement import DECIMALS
from alenv import geometry
from alenv.errors import InvalidQuery

if TYPE_CHECKING:
    from alenv import View

ELEMENTS = 2**22  # float64 numbers that a chunk of candidates may take, 32 MB
SAMPLES = 10_000
LIMIT = 40


class Configurations:
    """The labels that the chosen images may have, all of them while they are few, else a sample.

    Attributes:
        likelihood: log p(labels | member), float64 (M, T); zeros (1, T) while nothing is chosen.
        weights: Share of each configuration, float64 (M,).
    """

    def __init__(self, members: int, samples: int) -> None:
        """Starts without a chosen image.

        Args:
            members: T.
            samples: The most configurations that are listed, and the number that is drawn where there are more.
        """
        self.likelihood = torch.zeros(1, members, dtype=torch.float64)
        self.weights = torch.ones(1, dtype=torch.float64)
        self._samples = samples
        self._drawn_from: Tensor | None = None  # the member that each configuration was drawn from

    def posterior(self) -> Tensor:
        """Returns p(member | labels), float64 (M, T); the members are equally likely before."""
        return self.likelihood.softmax(1)

    def add(self, probabilities: Tensor, generator: torch.Generator) -> None:
        """Adds a chosen image.

        Args:
            probabilities: float64 (T, C), a row sums to 1.
            generator: A CPU generator.
        """
        size, classes = len(self.likelihood), probabilities.shape[1]
        if self._drawn_from is None and size * classes > self._samples:
            self._draw(generator)
        logarithms = probabilities.log().T
        if self._drawn_from is not None:
            labels = torch.multinomial(probabilities[self._drawn_from], 1, generator=generator).squeeze(1)
            self.likelihood = self.likelihood + logarithms[labels]
            return
        likelihood = (self.likelihood[:, None] + logarithms).flatten(0, 1)
        weights = likelihood.exp().mean(1)
        self.likelihood, self.weights = likelihood[weights > 0], weights[weights > 0]

    def _draw(self, generator: torch.Generator) -> None:
        """Replaces all configurations by a sample, as many from each member as from any other."""
        members = (torch.arange(self._samples) % self.likelihood.shape[1]).sort().values
        shares = self.likelihood.exp().T  # (T, M)
        counts = torch.bincount(members, minlength=len(shares)).tolist()
        drawn = [
            torch.multinomial(share, count, replacement=True, generator=generator)
            for share, count in zip(shares, counts, strict=True)
            if count
        ]
        self.likelihood, self._drawn_from = self.likelihood[torch.cat(drawn)], members
        self.weights = torch.full((self._samples,), 1 / self._samples, dtype=torch.float64)


def information_beyond(probabilities: Tensor, chosen: Configurations) -> Tensor:
    """Returns what the label of each image would say about the member, once the labels of the chosen are known.

    I(y; t | Y) = E_Y [H(sum_t p(t | Y) p(y | t)) - sum_t p(t | Y) H(p(y | t))]. Added up over the choices it is the
    joint mutual information that the paper maximizes, by the chain rule; nothing of all images' joint is stored.

    Args:
        probabilities: float64 (n, T, C).
        chosen: The labels Y of the chosen images.

    Returns:
        float64 (n,) in nats.
    """
    posterior, weights = chosen.posterior(), chosen.weights
    classes = probabilities.shape[2]
    mean_posterior = weights @ posterior  # (T,)
    parts = []
    for part in torch.split(probabilities, max(1, ELEMENTS // (len(weights) * classes))):
        predicted = posterior @ part.transpose(0, 1).flatten(1)  # (M, rows * C)
        mixed = (weights @ torch.special.entr(predicted)).view(-1, classes).sum(1)
        parts.append(mixed - torch.special.entr(part).sum(2) @ mean_posterior)
    return torch.cat(parts)


def greedy(members: Tensor, count: int, samples: int, generator: torch.Generator) -> Tensor:
    """Chooses images one by one, each the one that adds most information to those before.

    Args:
        members: Probabilities (T, n, C).
        count: How many, at most n.
        samples: See ``Configurations``.
        generator: A CPU generator; draws configurations, and decides between equal images.

    Returns:
        int64 (count,) distinct positions, in the order of choice.
    """
    probabilities = members.detach().cpu().double().transpose(0, 1)  # (n, T, C)
    broken = probabilities.isnan().flatten(1).any(1)[:, None, None]  # a diverged classifier says nothing
    probabilities = torch.where(broken, 1.0, probabilities)
    probabilities = probabilities / probabilities.sum(2, keepdim=True)
    chosen = Configurations(len(members), samples)
    positions: list[int] = []
    while True:
        # Where an image stands in a product may change its last bits, and equal images are to tie.
        gains = information_beyond(probabilities, chosen).round(decimals=DECIMALS)
        gains[positions] = -torch.inf
        positions.append(geometry.largest(gains, generator))
        if len(positions) == count:
            return torch.tensor(positions)
        chosen.add(probabilities[positions[-1]], generator)


@register
class BatchBald(Strategy):
    """The query whose labels together say most about which member is right; greedy, so no two alike.

    The joint of the chosen labels is exact while it has at most ``samples`` configurations (four images of ten
    classes) and is estimated from as many drawn ones after that. They are drawn once and extended with every choice,
    so all candidates are compared on the same sample.

    Args:
        members: T; None = all networks of an ensemble, or 10 dropout masks.
        samples: Configurations; 10,000 leave an error of about 0.01 nats in an entropy of at most log C, and less in
            the difference of two candidates. Time and memory are in proportion.
        limit: The largest query that is served. Every choice costs as much as the first after the fourth, and of many
            labels together even many samples see little; a larger limit is allowed.
        pool: None = this cycle's candidates.

    Raises:
        InvalidQuery: An option is not a whole number of at least 1.

    Differs: the public code sums the joint and its samples anew for each choice; the chain rule needs neither. Each
    sample's own posterior weighs the members' entropies, so that no estimate is below zero.
    """

    name: ClassVar[str] = "batch_bald"
    needs: tuple[str, ...] = ("members",)
    default_pool: ClassVar[str] = "candidates"
    cost: ClassVar[str] = "inference as for bald, then O(B K C T) products per sample; for small queries"
    source: ClassVar[str] = "Kirsch, van Amersfoort & Gal 2019, Algorithm 1"

    def __init__(
        self,
        members: int | None = None,
        samples: int = SAMPLES,
        limit: int = LIMIT,
        pool: str | None = None,
    ) -> None:
        super().__init__(pool)
        self.members = None if members is None else options.whole("members", members)
        self.samples, self.limit = options.whole("samples", samples), options.whole("limit", limit)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses ``count`` of ``indices`` greedily.

        Raises:
            InvalidQuery: ``count`` is above the limit; nothing is computed.
        """
        if count > self.limit:
            raise InvalidQuery(
                f"batch_bald was asked for {count} images, and it chooses at most {self.limit} at once; use a query "
                f"size of at most {self.limit}, another agent such as badge, or batch_bald:limit={count}."
            )
        members = view.member_probabilities(self.members, indices)
        chosen: Indices = indices[greedy(members, count, self.samples, generator).numpy()]
        return chosen
