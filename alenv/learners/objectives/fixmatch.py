"""Semi-supervised training with confident guesses on weakly changed images as labels of strongly changed ones."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alenv import fitting, nets
from alenv.learners.augmentation import Augmentation
from alenv.learners.objectives.average import WeightAverage
from alenv.learners.objectives.base import Batch, Objective, Step
from alenv.learners.objectives.registry import register
from alenv.rules import Rule, number, one_of, whole


def guessing_loss(weak: Tensor, strong: Tensor, threshold: float) -> Tensor:
    """Returns the cross-entropy to guessed classes, over all images, where those that are not confident cost 0.

    Args:
        weak: (m, C) logits of weakly changed images, whose classes are the guesses; not differentiated.
        strong: (m, C) logits of the same images strongly changed.
        threshold: Least probability of a guess that counts; above 1 none does.
    """
    confidence, guess = weak.detach().softmax(1).max(1)
    each = F.cross_entropy(strong, guess, reduction="none")
    return torch.where(confidence >= threshold, each, torch.zeros_like(each)).mean()


@register("fixmatch")
class FixMatch(Objective):
    """Trains on the labels, and on the classifier's own confident guesses on unlabeled images; averages the weights.

    The weak change is the recipe's augmentation, the strong one adds TrivialAugment and cutout. What is evaluated, and
    what a warm start goes on from, is an average of the weights (see ``WeightAverage``).

    Options: ``joint_weight`` of the guesses' loss, ``joint_threshold`` of confidence, ``joint_ratio`` of unlabeled to
    labeled images in a step, ``joint_cutout`` (side of the square as a share of the image's shorter one),
    ``joint_average`` (decay of the average; 0 evaluates the trained weights themselves), and ``joint_length`` of an
    epoch: ``"labeled"`` shows the labeled images once; ``"longest"`` shows the unlabeled ones once, which takes many
    more steps while labels are few.

    Unlabeled images leave no trace but their gradient: their order, changes and dropout come from a stream of their
    own, and BatchNorm normalizes them by their batch without noting it. So a threshold above 1 gives plain training.

    Source: Sohn et al. 2020, "FixMatch: Simplifying Semi-Supervised Learning with Consistency and Confidence",
    Algorithm 1 and section 2.3.
    Differs: the paper passes all images of a step through the network in one batch and trains for 2^20 steps; here
    labeled, weak and strong images are batches of their own, and the recipe sets the number of steps.
    """

    options: ClassVar[dict[str, Any]] = {
        "joint_weight": 1.0,
        "joint_threshold": 0.95,
        "joint_ratio": 7,
        "joint_cutout": 0.5,
        "joint_average": 0.999,
        "joint_length": "labeled",
    }
    rules: ClassVar[dict[str, Rule]] = {
        "joint_weight": number(),
        "joint_threshold": number(),
        "joint_ratio": whole(1),
        "joint_cutout": number(most=1.0),
        "joint_average": number(most=1.0),
        "joint_length": one_of("labeled", "longest"),
    }
    own_passes: ClassVar[bool] = True

    def begin(self, classifier: nets.Classifier, networks: nn.ModuleDict, generator: torch.Generator) -> None:
        """Starts the average at the weights as they are."""
        self._generator = generator
        self._average = WeightAverage(classifier, self.settings["joint_average"])

    def batches(self, labeled: Tensor, unlabeled: Tensor, generator: torch.Generator) -> list[Batch]:
        """Pairs each labeled batch with ``joint_ratio`` times as many unlabeled images."""
        size = self.recipe.batch_size
        pairs = fitting.paired_batches(
            labeled,
            unlabeled,
            size,
            generator,
            unlabeled_size=self.settings["joint_ratio"] * size,
            length=self.settings["joint_length"],
            unlabeled_generator=self._generator,
        )
        return [*pairs]

    def loss(self, step: Step) -> Tensor:
        """Adds the loss of confident guesses to the mean classification loss."""
        raw = step.unlabeled_raw
        if raw is None:
            return step.losses.mean()
        with nets.aside(step.classifier, self._generator):
            with torch.no_grad():
                weak = step.forward(step.augment(raw, None, self._generator)).logits
            strong = step.forward(step.augment(raw, self._strong(raw), self._generator)).logits
        guessed = guessing_loss(weak, strong, self.settings["joint_threshold"])
        loss: Tensor = step.losses.mean() + self.settings["joint_weight"] * guessed
        return loss

    def _strong(self, raw: Tensor) -> Augmentation:
        side = round(self.settings["joint_cutout"] * min(raw.shape[1:3]))
        return dataclasses.replace(Augmentation.of(self.recipe), trivial=True, cutout=side)

    def after_step(self, step: Step) -> None:
        """Takes the new weights into the average."""
        self._average.update()

    def evaluated(self, classifier: nets.Classifier) -> nets.Classifier:
        """Returns the average."""
        return self._average.network
