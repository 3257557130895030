"""An average of a network's weights over the steps of a training."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from alenv import nets


class WeightAverage:
    """An exponential moving average of a classifier's weights, as a network of its own.

    BatchNorm's running statistics are averaged like the weights, so that they fit them; whole numbers are copied. The
    k-th update keeps min(decay, k / (9 + k)) of the average: early it spans about the last tenth of the steps, so that
    a short training does not end near the weights it began with.

    Attributes:
        network: The average, without gradients.

    Args:
        classifier: What is averaged; the average starts at its weights.
        decay: Largest share of the average that an update keeps, in [0, 1]; with 0 it is a copy.

    Differs: from Mean Teacher, whose average first weights all steps alike, the start included, and which leaves
    running statistics out; from FixMatch, which keeps the decay from the first step on and copies them.
    """

    def __init__(self, classifier: nets.Classifier, decay: float) -> None:
        self.network = copy.deepcopy(classifier).requires_grad_(False)
        self._decay = decay
        self._updates = 0
        pairs = zip(self.network.state_dict().values(), classifier.state_dict().values(), strict=True)
        self._averaged: list[tuple[Tensor, Tensor]] = []
        self._copied: list[tuple[Tensor, Tensor]] = []
        for mine, theirs in pairs:
            (self._averaged if mine.is_floating_point() else self._copied).append((mine, theirs))

    @torch.no_grad()
    def update(self) -> None:
        """Takes in the classifier's weights as they are now."""
        self._updates += 1
        kept = min(self._decay, self._updates / (9 + self._updates))
        mine, theirs = zip(*self._averaged, strict=True)
        torch._foreach_lerp_(mine, theirs, 1 - kept)
        for count, value in self._copied:
            count.copy_(value)
