"""Temporal output discrepancy: the images on which the classifier has changed its mind most since last cycle."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents.base import Indices, Strategy, at_random, best
from agents.registry import register

if TYPE_CHECKING:
    from alenv import View


def discrepancy(logits: Tensor, before: Tensor) -> Tensor:
    """Returns |p - p'|^2 / 2 as float64 (n,), in [0, 1].

    Args:
        logits: Of p, (n, C).
        before: Of p', (n, C).
    """
    now, then = (each.detach().cpu().double().softmax(1) for each in (logits, before))
    return 0.5 * (now - then).square().sum(1)


@register
class Tod(Strategy):
    """The largest distance between the class probabilities of this cycle's classifier and of last cycle's.

    The score is |p - p'|^2 / 2, with p the probabilities of this cycle's classifier and p' those of the one before.
    It stands for the loss: what is already learned changes little. At cycle 0 there is no classifier before, and the
    query is random. The method's unsupervised loss is a matter of the recipe, near to ``joint="mean_teacher"``.

    Args:
        pool: None = this cycle's candidates.

    Differs: at cycle 0 the public code compares with random weights, and takes the smallest distances.
    """

    name: ClassVar[str] = "tod"
    needs: tuple[str, ...] = ("previous",)
    default_pool: ClassVar[str] = "candidates"
    cost: ClassVar[str] = "two inference passes over the candidates"
    source: ClassVar[str] = (
        "Huang et al. 2021, Semi-Supervised Active Learning with Temporal Output Discrepancy"
    )

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses those of ``indices`` whose probabilities have changed most."""
        previous = view.previous
        if previous is None:
            return at_random(indices, count, generator)
        scores = discrepancy(view.logits(indices), previous.logits(indices))
        chosen: Indices = indices[best(scores, count, generator).numpy()]
        return chosen
