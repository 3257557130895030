"""Semi-supervised training that agrees with an average of its own weights."""

from __future__ import annotations

import math
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from alenv import fitting, nets
from alenv.learners.objectives.average import WeightAverage
from alenv.learners.objectives.base import Batch, Objective, Step
from alenv.learners.objectives.registry import register
from alenv.rules import Rule, number, one_of, whole


def ramp(progress: float, length: float) -> float:
    """Returns the share of a weight that rises to its full size: exp(-5 (1 - x)^2), x = progress / length up to 1.

    Args:
        progress: Share of the training that is done, in [0, 1).
        length: Share of the training after which the weight is full; 0 for from the start.

    Source: Laine and Aila 2017, "Temporal Ensembling for Semi-Supervised Learning".
    """
    if progress >= length:
        return 1.0
    return math.exp(-5 * (1 - progress / length) ** 2)


def disagreement(student: Tensor, teacher: Tensor) -> Tensor:
    """Returns the squared distance of class probabilities, averaged over classes and images.

    Args:
        student: (n, C) logits.
        teacher: (n, C) logits, not differentiated.
    """
    return (student.softmax(1) - teacher.detach().softmax(1)).square().mean()


@register("mean_teacher")
class MeanTeacher(Objective):
    """Trains the classifier to agree with a teacher, the average of its weights, on all images under two augmentations.

    The teacher (see ``WeightAverage``) is what is evaluated and what a warm start goes on from. Its passes are in
    train mode: it drops features and normalizes by the batch.

    Options: ``joint_weight`` of the disagreement, ``joint_ramp`` (share of a cycle's training over which the weight
    rises), ``joint_average`` (decay of the teacher), ``joint_ratio`` of unlabeled to labeled images in a step, and
    ``joint_length`` of an epoch: ``"labeled"`` shows the labeled images once; ``"longest"`` shows the unlabeled ones
    once, which takes many more steps while labels are few.

    Source: Tarvainen and Valpola 2017, "Mean teachers are better role models"; ratio 97 to 31 in the public
    code.
    Differs: the weight is 10; the public code has 100, and less where few images are labeled, and training of a few
    hundred steps is worse with 100. The public code's ramp is a number of steps, here a share of the training.
    """

    options: ClassVar[dict[str, Any]] = {
        "joint_weight": 10.0,
        "joint_ramp": 0.25,
        "joint_average": 0.999,
        "joint_ratio": 3,
        "joint_length": "labeled",
    }
    rules: ClassVar[dict[str, Rule]] = {
        "joint_weight": number(),
        "joint_ramp": number(most=1.0),
        "joint_average": number(most=1.0),
        "joint_ratio": whole(1),
        "joint_length": one_of("labeled", "longest"),
    }

    def begin(self, classifier: nets.Classifier, networks: nn.ModuleDict, generator: torch.Generator) -> None:
        """Starts the teacher at the weights as they are."""
        self._generator = generator
        self._average = WeightAverage(classifier, self.settings["joint_average"])
        self._average.network.train()

    def batches(self, labeled: Tensor, unlabeled: Tensor, generator: torch.Generator) -> list[Batch]:
        """Pairs each labeled batch with ``joint_ratio`` times as many unlabeled images."""
        size, length = self.recipe.batch_size, self.settings["joint_length"]
        others = self.settings["joint_ratio"] * size
        pairs = fitting.paired_batches(
            labeled, unlabeled, size, generator, unlabeled_size=others, length=length
        )
        return [*pairs]

    def loss(self, step: Step) -> Tensor:
        """Adds the disagreement with the teacher to the mean classification loss."""
        parts = [step.labeled] if step.unlabeled is None else [step.labeled, step.unlabeled]
        student, raw = torch.cat([part.logits for part in parts]), torch.cat([part.raw for part in parts])
        teacher = self._average.network
        with torch.no_grad(), nets.aside(teacher, self._generator):
            taught = step.forward(step.augment(raw, None, self._generator), teacher).logits
        weight = self.settings["joint_weight"] * ramp(step.progress, self.settings["joint_ramp"])
        loss: Tensor = step.losses.mean() + weight * disagreement(student, taught)
        return loss

    def after_step(self, step: Step) -> None:
        """Takes the new weights into the teacher."""
        self._average.update()

    def evaluated(self, classifier: nets.Classifier) -> nets.Classifier:
        """Returns the teacher."""
        return self._average.network
