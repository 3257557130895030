"""Class-balanced queries: uncertain images whose guessed classes make up for the classes that have few labels."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents import options
from agents.base import Indices, Strategy
from agents.registry import register
from agents.strategies.uncertainty import entropy

if TYPE_CHECKING:
    from alenv import View

DIGITS = 9  # to which gains are compared, so that equal images tie whatever the rounding


def wanted_counts(labels: Tensor, classes: int, count: int) -> Tensor:
    """Returns how many labels each class lacks for its equal share, max(0, (L + B) / C - labels), float64 (C,).

    Args:
        labels: int64 (L,); images of no class (-1) count for none.
        classes: C.
        count: B.

    Source: Bengar et al. 2022.
    """
    counts = torch.bincount(labels[labels >= 0].cpu(), minlength=classes).double()
    return ((counts.sum() + count) / classes - counts).clamp(min=0.0)


def balanced(
    scores: Tensor,
    probabilities: Tensor,
    wanted: Tensor,
    weight: float,
    count: int,
    generator: torch.Generator,
) -> Tensor:
    """Chooses images one by one, each the one that raises most sum of scores - weight * |wanted - sum of p|_1.

    Args:
        scores: float64 (n,).
        probabilities: p, float64 (n, C).
        wanted: float64 (C,), expected labels of each class.
        weight: Of the imbalance.
        count: How many, at most n.
        generator: Decides between equal images.

    Returns:
        int64 (count,) distinct rows, in the order of choice.
    """
    order = torch.randperm(len(scores), generator=generator)
    scores, probabilities = scores[order], probabilities[order]
    free, chosen, missing = torch.ones(len(order), dtype=torch.bool), list[int](), wanted.clone()
    while len(chosen) < count:
        gains = scores - weight * ((missing - probabilities).abs().sum(1) - missing.abs().sum())
        row = int(gains.round(decimals=DIGITS).masked_fill(~free, -torch.inf).argmax())
        chosen.append(row)
        free[row] = False
        missing = missing - probabilities[row]
    return order[chosen]


@register
class ClassBalanced(Strategy):
    """Uncertain images whose likely classes are those that the labels lack.

    A query is to raise the sum of its entropies, each between 0 and 1, less ``weight`` times how far the expected
    classes of its images are from what every class lacks for an equal share of all labels. The expected classes are
    the sum of the images' class probabilities, so that no true class is known. Images are chosen one by one, each the
    one that raises this most: uncertain ones of classes that have few labels.

    Args:
        weight: Of the imbalance, lambda; 0 is ``entropy``.
        pool: None = this cycle's candidates.

    Raises:
        InvalidQuery: ``weight`` is not a number of at least 0.

    Differs: the paper solves a binary program; this is its greedy solution. Its weights were not confirmed. Images of
    which a diverged classifier says nothing are of every class alike.
    """

    name: ClassVar[str] = "class_balanced"
    default_pool: ClassVar[str] = "candidates"
    cost: ClassVar[str] = "one inference pass over the candidates, then B K C sums"
    source: ClassVar[str] = (
        "Bengar et al. 2022, Class-Balanced Active Learning for Image Classification (with entropy)"
    )

    def __init__(self, weight: float = 1.0, pool: str | None = None) -> None:
        super().__init__(pool)
        self.weight = options.number("weight", weight)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses ``count`` of ``indices`` greedily."""
        logits, classes = view.logits(indices).cpu().double(), view.num_classes
        logits = logits.masked_fill(~logits.softmax(1).isfinite().all(1, keepdim=True), 0.0)
        scores = entropy(logits) / max(1e-12, float(torch.tensor(float(classes)).log()))
        wanted = wanted_counts(view.labels(), classes, count)
        chosen = balanced(scores, logits.softmax(1), wanted, self.weight, count, generator)
        picked: Indices = indices[chosen.numpy()]
        return picked
