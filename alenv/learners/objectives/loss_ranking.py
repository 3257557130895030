"""The ranking module of "Task-Aware Variational Adversarial Active Learning" as a joint objective."""

from __future__ import annotations

from typing import Any, ClassVar

import torch.nn.functional as F
from torch import Tensor

from alenv.learners.objectives.loss_prediction import LossPrediction, flipped_pairs
from alenv.learners.objectives.registry import register
from alenv.rules import Rule


def logistic_ranking_loss(predicted: Tensor, losses: Tensor) -> Tensor:
    """Returns the mean cross-entropy of sigmoid(r_i - r_j) to [l_i > l_j] over pairs (see ``flipped_pairs``).

    Args:
        predicted: r, (n,) predicted losses, differentiable.
        losses: l, (n,) true losses, not differentiated.

    Differs: of an odd batch the middle image is left out; a single image costs 0.
    """
    first, second = flipped_pairs(predicted)
    if len(first) == 0:
        return predicted.sum() * 0.0
    one, other = flipped_pairs(losses)
    return F.binary_cross_entropy_with_logits(first - second, (one > other).to(first))


@register("loss_ranking")
class LossRanking(LossPrediction):
    """Trains the module of ``loss_prediction`` with a smooth ranking loss, which has no margin; labeled images only.

    Options: ``joint_weight`` of the ranking loss, ``joint_width`` of each tap, and ``joint_cut``: the share of the
    epochs after which the module's gradient no longer reaches the classifier.

    Source: Kim et al. 2021, "Task-Aware Variational Adversarial Active Learning"; pairs, weight and cut as in the
    public code.
    Differs: the cut is a share of the epochs, so that shorter recipes keep it.
    """

    options: ClassVar[dict[str, Any]] = {
        name: value for name, value in LossPrediction.options.items() if name != "joint_margin"
    }
    rules: ClassVar[dict[str, Rule]] = {name: LossPrediction.rules[name] for name in options}

    def ranking(self, predicted: Tensor, losses: Tensor) -> Tensor:
        """See ``logistic_ranking_loss``."""
        return logistic_ranking_loss(predicted, losses)
