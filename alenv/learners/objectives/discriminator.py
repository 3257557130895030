"""Joint training of a classifier with a discriminator of labeled and unlabeled images (JLS)."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alenv import fitting, nets
from alenv.learners.objectives.base import Batch, Objective, Step
from alenv.learners.objectives.registry import register
from alenv.rules import Rule, number, whole


class Discriminator(nn.Module):
    """Tells labeled from unlabeled images by the direction of their features: two hidden layers, one logit."""

    def __init__(self, feature_size: int, width: int) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(feature_size, width), nn.ReLU()),
            *(nn.Linear(width, width), nn.ReLU()),
            nn.Linear(width, 1),
        )

    def draw_weights(self, generator: torch.Generator) -> None:
        """Draws Kaiming normal weights; the biases are zero."""
        nets.kaiming_normal(self, generator)

    def forward(self, features: Tensor) -> Tensor:
        """Maps features (n, D) of any length to logits (n,), higher for labeled images."""
        logits: Tensor = self.layers(F.normalize(features.float(), dim=1)).squeeze(1)
        return logits


def telling_apart(logits: Tensor, target: float) -> Tensor:
    """Returns the mean binary cross-entropy of ``logits`` (n,) to one target, 1 for labeled images."""
    return F.binary_cross_entropy_with_logits(logits, torch.full_like(logits, target))


@register("discriminator")
class JointDiscrimination(Objective):
    """Trains a discriminator on the classifier's features, and the classifier to help it; uses unlabeled images.

    Labeled images are class 1. Both networks follow the recipe's optimizer, and the gradient of the discriminator's
    loss reaches the classifier. An epoch shows as many unlabeled images as labeled ones. Options: ``joint_weight`` of
    the discriminator's loss of each kind of image, ``joint_width`` of its hidden layers.

    Source: Caramalau et al. 2021, "Visual Transformer for Task-aware Active Learning" (the joint learner and
    sampler, without the transformer).
    Differs: a step takes a labeled and an unlabeled batch together, where the paper takes turns, and
    passes them through the network as one: apart, BatchNorm takes out what tells them apart. No label of an
    unlabeled image is ever used; the public code shuffles its batches after it has flagged them, and so trains on
    such labels. Features are normalized in scoring as in training. Without unlabeled images there is nothing to tell
    apart, and the classifier trains alone.
    """

    options: ClassVar[dict[str, Any]] = {"joint_weight": 0.5, "joint_width": 512}
    rules: ClassVar[dict[str, Rule]] = {"joint_weight": number(), "joint_width": whole(1)}
    provides: ClassVar[tuple[str, ...]] = ("labeled_score",)

    def modules(self, classifier: nets.Classifier) -> dict[str, nn.Module]:
        """Builds the discriminator on the penultimate features."""
        return {"discriminator": Discriminator(classifier.feature_size, self.settings["joint_width"])}

    def batches(self, labeled: Tensor, unlabeled: Tensor, generator: torch.Generator) -> list[Batch]:
        """Pairs each labeled batch with as many unlabeled images."""
        pairs = fitting.paired_batches(labeled, unlabeled, self.recipe.batch_size, generator)
        return [(some, others[: len(some)]) for some, others in pairs]

    def loss(self, step: Step) -> Tensor:
        """Adds the discriminator's loss on labeled and on unlabeled images to the mean classification loss."""
        if step.unlabeled is None:
            return step.losses.mean()
        judge, weight = step.networks["discriminator"], self.settings["joint_weight"]
        apart = telling_apart(judge(step.labeled.features), 1.0)
        apart = apart + telling_apart(judge(step.unlabeled.features), 0.0)
        loss: Tensor = step.losses.mean() + weight * apart
        return loss

    def scores(
        self, networks: nn.ModuleDict, features: Tensor, feature_maps: list[Tensor]
    ) -> dict[str, Tensor]:
        """Returns ``labeled_score``, the probability that an image is labeled, in [0, 1]."""
        return {"labeled_score": networks["discriminator"](features).sigmoid()}
