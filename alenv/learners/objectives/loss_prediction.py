"""The loss-prediction module of "Learning Loss for Active Learning" as a joint objective."""

from __future__ import annotations

from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from alenv import nets
from alenv.learners.objectives.base import Objective, Step
from alenv.learners.objectives.registry import register
from alenv.rules import Rule, number, whole


class LossModule(nn.Module):
    """Predicts a loss from pooled feature maps: each tap to ``width`` units, concatenated, then one number."""

    def __init__(self, tap_channels: tuple[int, ...], width: int) -> None:
        super().__init__()
        self.taps = nn.ModuleList(nn.Linear(channels, width) for channels in tap_channels)
        self.output = nn.Linear(width * len(tap_channels), 1)

    def forward(self, feature_maps: list[Tensor]) -> Tensor:
        """Maps a list of (n, c, h, w) to predicted losses (n,)."""
        pooled = [maps.float().mean(dim=(2, 3)) for maps in feature_maps]
        hidden = [F.relu(layer(maps)) for layer, maps in zip(self.taps, pooled, strict=True)]
        predicted: Tensor = self.output(torch.cat(hidden, dim=1)).squeeze(1)
        return predicted


def flipped_pairs(values: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs ``values`` (n,): the first with the last, the second with the last but one, ...; a middle one is left out.

    Returns:
        The first and the second of each pair, (n // 2,) each.
    """
    half = len(values) // 2
    return values[:half], values.flip(0)[:half]


def ranking_loss(predicted: Tensor, losses: Tensor, margin: float) -> Tensor:
    """Returns the mean hinge loss of wrongly ordered pairs (first with last, second with last but one, ...).

    Args:
        predicted: (n,) predicted losses, differentiable.
        losses: (n,) true losses, not differentiated.
        margin: Distance that a rightly ordered pair must keep.

    Source: Yoo and Kweon 2019, section 3.3.
    Differs: of an odd batch the middle image is left out, where the public code stops; a single image costs 0.
    """
    first, second = flipped_pairs(predicted)
    if len(first) == 0:
        return predicted.sum() * 0.0
    one, other = flipped_pairs(losses)
    sign = torch.where(one > other, 1.0, -1.0)
    return F.relu(margin - sign * (first - second)).mean()


@register("loss_prediction")
class LossPrediction(Objective):
    """Trains a module beside the classifier that ranks images by their loss; labeled images only.

    Options: ``joint_weight`` of the ranking loss, its ``joint_margin``, ``joint_width`` of each tap, and
    ``joint_cut``: the share of the epochs after which the module's gradient no longer reaches the classifier.

    Source: Yoo and Kweon 2019, "Learning Loss for Active Learning", section 3; epoch 120 of 200 in the public
    code, where epochs 0 to 120 are joint.
    Differs: the cut is a share of the epochs, so that shorter recipes keep it.
    """

    options: ClassVar[dict[str, Any]] = {
        "joint_weight": 1.0,
        "joint_margin": 1.0,
        "joint_width": 128,
        "joint_cut": 0.6,
    }
    rules: ClassVar[dict[str, Rule]] = {
        "joint_weight": number(),
        "joint_margin": number(),
        "joint_width": whole(1),
        "joint_cut": number(most=1.0),
    }
    provides: ClassVar[tuple[str, ...]] = ("predicted_loss",)

    def modules(self, classifier: nets.Classifier) -> dict[str, nn.Module]:
        """Builds the module on the classifier's taps."""
        return {"loss_module": LossModule(classifier.tap_channels, self.settings["joint_width"])}

    def phase(self, epoch: int) -> str:
        """Says whether the module's gradient reaches the classifier: ``"joint"`` or ``"apart"``."""
        last = round(self.settings["joint_cut"] * self.recipe.epochs, 6)  # 0.29 * 100 is a little below 29
        return "joint" if 0 < last >= epoch else "apart"

    def loss(self, step: Step) -> Tensor:
        """Adds the ranking loss to the mean classification loss."""
        maps = step.labeled.feature_maps
        maps = maps if self.phase(step.epoch) == "joint" else [stage.detach() for stage in maps]
        predicted = step.networks["loss_module"](maps)
        ranking = self.ranking(predicted, step.losses.detach())
        weight: float = self.settings["joint_weight"]
        return step.losses.mean() + weight * ranking

    def ranking(self, predicted: Tensor, losses: Tensor) -> Tensor:
        """Returns the scalar loss of predictions (n,) that order images otherwise than their true losses (n,) do."""
        return ranking_loss(predicted, losses, self.settings["joint_margin"])

    def scores(
        self, networks: nn.ModuleDict, features: Tensor, feature_maps: list[Tensor]
    ) -> dict[str, Tensor]:
        """Returns ``predicted_loss``, higher for images that the module expects the classifier to get wrong."""
        return {"predicted_loss": networks["loss_module"](feature_maps)}
