"""Ensembles: several networks of one recipe, whose mean softmax classifies."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alenv import nets
from alenv.batches import in_batches
from alenv.errors import InvalidQuery
from alenv.learners.images import ImageSet
from alenv.learners.network import NetworkLearner
from alenv.learners.protocol import Learner, Predictions
from alenv.learners.registry import register
from alenv.runtime import Runtime
from alenv.settings import Recipe


def mean_logits(logits: Tensor) -> Tensor:
    """Returns the logarithm of the mean softmax of logits (N, n, C), (n, C): logits of the mean probabilities."""
    return logits.log_softmax(2).logsumexp(0) - math.log(len(logits))


@register("network")
class Ensemble:
    """Networks that are trained on the same labels, each with weights, batch order and augmentation of its own.

    Their mean softmax classifies, so accuracy, probabilities and what is made of them are those of the ensemble;
    scores of a joint objective are means too. Features, feature maps and the copied classifier are those of the
    first network, which is the one that the recipe trains alone: ``classifier.head(features)`` are its logits.
    Training and scoring take N times as long as for one network.

    Attributes:
        feature_size: D.
        frozen_features: False.
        provides: Names of the scores that the joint objective gives for pool images.
        networks: The members, N of them.

    Source: Beluch et al. 2018, "The power of ensembles for active learning in image classification", section 3.1;
    N = 5 there.
    """

    frozen_features = False

    def __init__(self, networks: Sequence[NetworkLearner]) -> None:
        """Takes the members; the first one is member 0."""
        self.networks = list(networks)
        self.feature_size = networks[0].feature_size
        self.provides = networks[0].provides

    @classmethod
    def build(cls, recipe: Recipe, images: ImageSet, num_classes: int, runtime: Runtime) -> Learner:
        """Makes the learner of a recipe: one network, or an ensemble where the recipe asks for several."""
        first = NetworkLearner.build(recipe, images, num_classes, runtime)
        if recipe.ensemble == 1:
            return first
        return cls([first, *(first.sibling(member) for member in range(1, recipe.ensemble))])

    @classmethod
    def offers(cls, recipe: Recipe) -> frozenset[str]:
        """What one network offers, and members."""
        return NetworkLearner.offers(recipe) | ({"members"} if recipe.ensemble > 1 else frozenset())

    def begin(self, key: int) -> None:
        """Draws the weights of a new episode."""
        for each in self.networks:
            each.begin(key)

    def fit(self, images: ImageSet, labeled: np.ndarray, labels: np.ndarray, cycle: int) -> None:
        """Trains one cycle of every network (see ``NetworkLearner.fit``), one after the other."""
        for each in self.networks:
            each.fit(images, labeled, labels, cycle)

    @torch.no_grad()
    def infer(self, images: ImageSet, indices: Tensor, maps: bool = False) -> dict[str, Tensor]:
        """Scores unaugmented images (see ``NetworkLearner.infer``).

        Args:
            images: A set of images.
            indices: int64 (n,) positions in it.
            maps: Whether to return the pooled feature maps too.

        Returns:
            ``logits`` (n, C), the logarithm of the mean softmax; what ``provides`` names, (n,), means over the
            networks; ``features`` and maps of the first network.
        """
        first, *others = self.networks

        def score(batch: Tensor) -> dict[str, Tensor]:
            found = first.score(images, batch, maps)
            each = [found, *(other.score(images, batch) for other in others)]
            found = {**found, "logits": mean_logits(torch.stack([one["logits"] for one in each]))}
            for name in self.provides:
                found[name] = torch.stack([one[name] for one in each]).mean(0)
            return found

        return in_batches(indices, score)

    def predict(self, images: ImageSet) -> Predictions:
        """Classifies every image of a set by the largest mean probability."""
        logits = self._logits(images, torch.arange(len(images), device=images.device), self.networks)
        for network, own in zip(self.networks, logits, strict=True):
            network.warn_if_diverged(own)
        mean = mean_logits(logits)
        return Predictions(mean.argmax(1), mean)

    def members(self, images: ImageSet, indices: Tensor, count: int | None, cycle: int) -> Tensor:
        """Returns (count, n, C) probabilities of the first ``count`` networks, without dropout.

        Args:
            images: A set of images.
            indices: int64 (n,) positions in it.
            count: Members; None = all.
            cycle: Unused; networks are no random draws.

        Raises:
            InvalidQuery: There are fewer networks.
        """
        size = len(self.networks)
        if count is not None and count > size:
            raise InvalidQuery(
                f"{count} members were asked for of an ensemble of {size}; ask for at most {size}, or make the "
                f"environment with ensemble={count}."
            )
        chosen = self.networks[:count]
        if len(indices) == 0:
            few = self._logits(images, indices.new_zeros(1), chosen)
            return few[:, :0]
        return self._logits(images, indices, chosen).softmax(2)

    @torch.no_grad()
    def _logits(self, images: ImageSet, indices: Tensor, networks: Sequence[NetworkLearner]) -> Tensor:
        """Returns the logits of some networks, (N, n, C)."""

        def score(batch: Tensor) -> dict[str, Tensor]:
            return {"logits": torch.stack([each.score(images, batch)["logits"] for each in networks], dim=1)}

        return in_batches(indices, score)["logits"].transpose(0, 1)

    def copy_classifier(self) -> nets.Classifier:
        """Returns an eval-mode fp32 deep copy of the first network."""
        return self.networks[0].copy_classifier()

    def get_state(self) -> dict[str, Any]:
        """Returns the state of every network by its number."""
        return {str(member): each.get_state() for member, each in enumerate(self.networks)}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave.

        Raises:
            ValueError: It is the state of another number of networks.
        """
        if len(state) != len(self.networks):
            raise ValueError(f"{len(state)} networks instead of {len(self.networks)}")
        for member, each in enumerate(self.networks):
            each.set_state(state[str(member)])

    def fork(self, state: dict[str, Any]) -> Ensemble:
        """Returns an ensemble of its own with the given state."""
        return Ensemble([each.fork(state[str(member)]) for member, each in enumerate(self.networks)])
