"""Uncertainty sampling: the images whose class probabilities are least decided."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import torch
from torch import Tensor

from agents.base import Indices, Strategy, best, in_order
from agents.registry import register
from alenv.seeding import Purpose, torch_stream

if TYPE_CHECKING:
    from alenv import BatchView, View


def least_confidence(logits: Tensor) -> Tensor:
    """Returns 1 - max p of ``logits`` (n, C) as float64 (n,), in [0, 1)."""
    return _decided(logits)[0]


def margin(logits: Tensor) -> Tensor:
    """Returns 1 - (p1 - p2) of ``logits`` (n, C) as float64 (n,), in (0, 1]; p1, p2 are the two largest."""
    rest, probabilities = _decided(logits)
    return rest + probabilities.topk(min(2, logits.shape[1])).values[:, -1]


def entropy(logits: Tensor) -> Tensor:
    """Returns - sum p log p of ``logits`` (n, C) in nats as float64 (n,), in [0, log C]."""
    terms: Tensor = torch.special.entr(_decided(logits)[1])
    return terms.sum(1)


def _decided(logits: Tensor) -> tuple[Tensor, Tensor]:
    """Returns 1 - max p (n,) and p (n, C) in float64.

    Summed from the other classes: subtracted from 1, all confident images would tie at 0.
    """
    probabilities = logits.detach().cpu().double().softmax(1)
    others = probabilities.scatter(1, probabilities.argmax(1, keepdim=True), 0.0)
    return others.sum(1), probabilities


class Uncertainty(Strategy):
    """The images with the highest score; equal scores in random order. Subclasses name the score."""

    default_pool: ClassVar[str] = "candidates"
    cost: ClassVar[str] = "one inference pass over the candidates"

    def score(self, logits: Tensor) -> Tensor:
        """Maps logits (n, C) to scores (n,), higher = wanted."""
        raise NotImplementedError

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses the highest-scored of ``indices``."""
        scores = self.score(view.logits(indices))
        chosen: Indices = indices[best(scores, count, generator).numpy()]
        return chosen

    def act_in_batch(self, batch: BatchView, seeds: Sequence[int]) -> Indices | None:
        """Scores the candidates of all episodes at once; None for the whole pool, or where candidates repeat."""
        order = in_order(batch) if self.pool == "candidates" else None
        if order is None:
            return None
        candidates = np.take_along_axis(batch.candidates, order, axis=1)
        count, cycle = batch.query_size, batch.cycle
        scores = self.score(batch.logits.flatten(0, 1)).view(candidates.shape)
        scores = scores.gather(1, torch.from_numpy(order).to(scores.device))
        picked = [
            best(each, count, torch_stream(int(seed), Purpose.AGENT, int(number))).numpy()
            for each, seed, number in zip(scores, seeds, cycle, strict=True)
        ]
        return np.take_along_axis(candidates, np.stack(picked), axis=1)


@register
class LeastConfidence(Uncertainty):
    """The lowest largest class probability.

    The score is 1 - max p, the probability that the classifier gives to all other classes. It looks at the likeliest
    class alone: how the rest is spread changes nothing. It is added up from the other classes in float64, so that
    images of which the classifier is nearly certain do not tie.

    Differs: several public codes subtract in float32, where all of these are 0 and the order of the images decides.
    """

    name: ClassVar[str] = "least_confidence"
    source: ClassVar[str] = "Lewis & Gale 1994, A Sequential Algorithm for Training Text Classifiers"

    def score(self, logits: Tensor) -> Tensor:
        """See ``least_confidence``."""
        return least_confidence(logits)


@register
class Margin(Uncertainty):
    """The smallest gap between the two largest class probabilities.

    The score is 1 - (p1 - p2): images near the border of two classes are chosen, however unlikely all others are. It
    is computed in float64 without taking nearly equal numbers from each other, so that images of which the classifier
    is nearly certain do not tie.

    Differs: several public codes subtract in float32, and break ties by the order of the images.
    """

    name: ClassVar[str] = "margin"
    source: ClassVar[str] = (
        "Scheffer, Decomain & Wrobel 2001, Active Hidden Markov Models for Information Extraction"
    )

    def score(self, logits: Tensor) -> Tensor:
        """See ``margin``."""
        return margin(logits)


@register
class Entropy(Uncertainty):
    """The highest entropy of the class probabilities.

    The score is -sum p log p over all classes, in nats: with many classes it counts how the unlikely ones are spread,
    too, which ``margin`` does not. A class of probability 0 adds 0.

    Differs: several public codes multiply 0 by the logarithm of 0, and score such an image NaN.
    """

    name: ClassVar[str] = "entropy"
    source: ClassVar[str] = "Settles 2009, Active Learning Literature Survey, section 3.1"

    def score(self, logits: Tensor) -> Tensor:
        """See ``entropy``."""
        return entropy(logits)
