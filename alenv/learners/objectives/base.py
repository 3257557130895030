"""Joint objectives: what is trained beside, or instead of, the plain classification loss.

An objective is the seam for every training regime. The loop asks it for networks of its own, for the batches
of an epoch, and for the loss of a step; it knows no objective by name.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from alenv import nets
from alenv.learners.augmentation import Augmentation
from alenv.rules import Rule
from alenv.settings import Recipe

Batch = tuple[Tensor, Tensor | None]  # labeled pool indices (n,), unlabeled pool indices (m,) or None


@dataclass
class Part:
    """One half of a training step: the labeled or the unlabeled images.

    Attributes:
        indices: int64 (n,) pool indices.
        raw: uint8 (n, H, W, C), before augmentation.
        images: float32 (n, C, H, W), augmented and normalized.
        features: (n, D) penultimate features, differentiable.
        feature_maps: Up to four (n, c, h, w) stage outputs, differentiable.
        logits: float32 (n, C).
        labels: int64 (n,) for the labeled part, None for the unlabeled one.
    """

    indices: Tensor
    raw: Tensor
    images: Tensor
    features: Tensor
    feature_maps: list[Tensor]
    logits: Tensor
    labels: Tensor | None


@dataclass
class Step:
    """What an objective sees of one optimizer step.

    Labeled and unlabeled images have passed through the network as one batch.

    Attributes:
        progress: Share of the cycle's training that is done, in [0, 1).
        epoch: Zero-based epoch.
        labeled: The labeled images of the step.
        unlabeled: The unlabeled ones, without labels; None when the batch has none, or where ``loss`` passes them.
        unlabeled_raw: uint8 (m, H, W, C), the unlabeled images before augmentation; None when the batch has none.
        losses: (n,) cross-entropy of each labeled image, with the recipe's label smoothing.
        classifier: The classifier in training mode.
        networks: The objective's own networks.
    """

    progress: float
    epoch: int
    labeled: Part
    unlabeled: Part | None
    unlabeled_raw: Tensor | None
    losses: Tensor
    classifier: nets.Classifier
    networks: nn.ModuleDict
    _augment: Callable[[Tensor, Augmentation | None, torch.Generator | None], Tensor]
    _forward: Callable[[nets.Classifier, Tensor], nets.Outputs]

    def augment(
        self,
        raw: Tensor,
        augmentation: Augmentation | None = None,
        generator: torch.Generator | None = None,
    ) -> Tensor:
        """Draws another augmentation of some images.

        Args:
            raw: uint8 (n, H, W, C), a part's ``raw`` or ``unlabeled_raw``.
            augmentation: Which one, for instance a stronger one; None = the recipe's.
            generator: CPU generator, for instance the objective's own; None = the one that the loop draws from.

        Returns:
            float32 (n, C, H, W), normalized, at the resolution of the step.
        """
        return self._augment(raw, augmentation, generator)

    def forward(self, images: Tensor, classifier: nets.Classifier | None = None) -> nets.Outputs:
        """Passes images through a network in the recipe's precision.

        Args:
            images: float32 (n, C, H, W), from ``augment``.
            classifier: The network, for instance an average of weights; None = the one that is trained.
        """
        return self._forward(classifier or self.classifier, images)


class Objective:
    """The plain classification loss, and the base of every joint objective.

    Attributes:
        options: The objective's own options with their defaults; given to ``gym.make`` under these names, which
            start with ``joint_``.
        rules: What is allowed for an option (see ``alenv.rules.whole`` and ``number``); where nothing stands
            here, any value of its default's type.
        provides: Names of the scores that ``scores`` returns for pool images (``"predicted_loss"``,
            ``"labeled_score"``).
        self_trained: Names of networks that the recipe's optimizer leaves alone.
        own_passes: Whether ``loss`` itself augments unlabeled images and passes them through the network. The loop
            then does neither: ``step.unlabeled`` is None, and the images are in ``step.unlabeled_raw``.
    """

    options: ClassVar[dict[str, Any]] = {}
    rules: ClassVar[dict[str, Rule]] = {}
    provides: ClassVar[tuple[str, ...]] = ()
    self_trained: ClassVar[tuple[str, ...]] = ()
    own_passes: ClassVar[bool] = False

    def __init__(self, recipe: Recipe, **options: Any) -> None:
        self.recipe = recipe
        self.settings = {**self.options, **options}

    def modules(self, classifier: nets.Classifier) -> dict[str, nn.Module]:
        """Builds the objective's networks; their weights are drawn afterwards from a stream of their own."""
        return {}

    def begin(self, classifier: nets.Classifier, networks: nn.ModuleDict, generator: torch.Generator) -> None:
        """Prepares one cycle of training: optimizers and averages of the objective's own.

        Args:
            classifier: The network, on the device, as the cycle starts.
            networks: The objective's own networks.
            generator: CPU generator of the objective's own draws in this cycle.
        """

    def batches(self, labeled: Tensor, unlabeled: Tensor, generator: torch.Generator) -> list[Batch]:
        """Returns the batches of one epoch, by default the labeled set in random order.

        ``alenv.fitting.paired_batches`` gives those of an objective that takes unlabeled images too.

        Args:
            labeled: int64 (L,) pool indices.
            unlabeled: int64 (U,) pool indices.
            generator: CPU generator of the batch order.
        """
        order = torch.randperm(len(labeled), generator=generator).to(labeled.device)
        return [(chunk, None) for chunk in torch.split(labeled[order], self.recipe.batch_size)]

    def loss(self, step: Step) -> Tensor:
        """Returns the scalar loss of one step."""
        return step.losses.mean()

    def phase(self, epoch: int) -> Hashable | None:
        """Names the kind of loss that an epoch has, or None.

        On a GPU, steps of one phase are recorded once and replayed. That is right only where ``loss`` does the same
        with every step's tensors and nothing else, and ``after_step`` does nothing; objectives that keep to this say
        so by a name of their own. None runs every step plainly.
        """
        return "plain" if type(self) is Objective else None

    def after_step(self, step: Step) -> None:
        """Runs after the optimizer's step: optimizers and averages of the objective's own."""

    def evaluated(self, classifier: nets.Classifier) -> nets.Classifier:
        """Returns the network whose weights are kept at the end of the cycle (an average, for instance)."""
        return classifier

    def scores(
        self, networks: nn.ModuleDict, features: Tensor, feature_maps: list[Tensor]
    ) -> dict[str, Tensor]:
        """Returns one float (n,) per name in ``provides``, in eval mode.

        Args:
            networks: The objective's own networks.
            features: (n, D) penultimate features.
            feature_maps: Up to four (n, c, h, w) stage outputs.
        """
        return {}

    def get_state(self) -> dict[str, Any]:
        """Returns tensors and scalars beyond the networks' weights that the next cycle needs."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
