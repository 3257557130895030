"""Joint training of a classifier with a critic of the distance between labeled and unlabeled images (WAAL)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from alenv import fitting, nets
from alenv.learners.objectives.base import Batch, Objective, Step
from alenv.learners.objectives.registry import register
from alenv.rules import Rule, number, one_of, whole

ACTIVATIONS: dict[str, type[nn.Module]] = {"softplus": nn.Softplus, "relu": nn.ReLU}


class Critic(nn.Module):
    """Maps features to a number without bounds, higher for unlabeled images: one hidden layer with dropout."""

    def __init__(self, feature_size: int, width: int, dropout: float, activation: str) -> None:
        super().__init__()
        self.hidden = nn.Linear(feature_size, width)
        self.activation = ACTIVATIONS[activation]()
        self.dropout = nets.Dropout(dropout)
        self.output = nn.Linear(width, 1)

    def forward(self, features: Tensor) -> Tensor:
        """Maps features (n, D) to values (n,) in the precision of the weights."""
        hidden = self.dropout(self.activation(self.hidden(features.to(self.hidden.weight.dtype))))
        values: Tensor = self.output(hidden).squeeze(1)
        return values


def gradient_penalty(
    critic: Callable[[Tensor], Tensor], labeled: Tensor, unlabeled: Tensor, shares: Tensor
) -> Tensor:
    """Returns the mean of (|gradient of the critic| - 1)^2 over two sets of points and points between them.

    It is differentiable by the critic's weights and, where they require a gradient, by the points.

    Args:
        critic: Maps points (n, D) to values (n,), each by itself.
        labeled: (n, D).
        unlabeled: (m, D).
        shares: (k,) in [0, 1], k = min(n, m): how far from its labeled to its unlabeled end each point between lies.

    Source: Gulrajani et al. 2017, "Improved training of Wasserstein GANs", equation 3.
    """
    count = len(shares)
    between = torch.lerp(labeled[:count], unlabeled[:count], shares[:, None])
    points = torch.cat([between, labeled, unlabeled])
    if not points.requires_grad:
        points.requires_grad_()
    (slopes,) = torch.autograd.grad(critic(points).sum(), points, create_graph=True)
    penalty: Tensor = (slopes.norm(dim=1) - 1).square().mean()
    return penalty


@register("wasserstein")
class Wasserstein(Objective):
    """Draws features of labeled and unlabeled images together against a critic; uses unlabeled images.

    With z the features, D the critic and W = mean D(z unlabeled) - gamma * mean D(z labeled), the classifier
    descends cross-entropy + ``joint_weight`` * (W + ``joint_feature_penalty`` * P), and the critic descends
    ``joint_penalty`` * P - W, where P is ``gradient_penalty``. The critic has an SGD optimizer of its own.

    Options, beyond these: ``joint_width`` and ``joint_dropout`` of the critic, ``joint_lr`` and ``joint_momentum`` of
    its optimizer, ``joint_length`` of an epoch (``"longest"``: the larger set once, the other one again and again;
    ``"labeled"``: the labeled images once), ``joint_activation``, and ``joint_gamma``: a number, or ``"ratio"`` for
    labeled / unlabeled images.

    Source: Shui et al. 2020, "Deep Active Learning: Unified and Principled Method for Query and Training";
    constants as for CIFAR-10 in the public code.
    Differs: the critic has no sigmoid, which bounds what must not be bounded. The penalty is subtracted from what the
    critic ascends; the public code adds it. In the classifier's loss its gradient reaches the features, where the
    public code cuts it off; of a critic with ReLU that gradient is 0 almost everywhere, so ``"softplus"`` is the
    default. gamma is 1 by default: with any other, W is no distance (a constant added to D changes it), and the public
    code's ratio, near 0 for few labels, lets the critic grow for all images alike. The critic's loss is not scaled by
    ``joint_weight``, which would leave it as it was drawn. The critic learns from the features of the classifier's
    step, not from those after it, and both kinds of images pass through the network as one batch: apart, BatchNorm
    takes out what tells them apart. Without unlabeled images the classifier trains alone.
    """

    options: ClassVar[dict[str, Any]] = {
        "joint_weight": 2e-3,
        "joint_penalty": 2.0,
        "joint_feature_penalty": 5.0,
        "joint_gamma": 1.0,
        "joint_width": 50,
        "joint_dropout": 0.5,
        "joint_activation": "softplus",
        "joint_lr": 0.01,
        "joint_momentum": 0.3,
        "joint_length": "longest",
    }
    rules: ClassVar[dict[str, Rule]] = {
        "joint_weight": number(),
        "joint_penalty": number(),
        "joint_feature_penalty": number(),
        "joint_gamma": ("'ratio' or a number of at least 0", lambda v: v == "ratio" or number()[1](v)),
        "joint_width": whole(1),
        "joint_dropout": number(most=0.95),
        "joint_activation": one_of(*ACTIVATIONS),
        "joint_lr": number(above=True),
        "joint_momentum": number(most=0.9999),
        "joint_length": one_of("longest", "labeled"),
    }
    provides: ClassVar[tuple[str, ...]] = ("labeled_score",)
    self_trained: ClassVar[tuple[str, ...]] = ("critic",)

    def modules(self, classifier: nets.Classifier) -> dict[str, nn.Module]:
        """Builds the critic on the penultimate features."""
        names = ("joint_width", "joint_dropout", "joint_activation")
        return {"critic": Critic(classifier.feature_size, *(self.settings[name] for name in names))}

    def begin(self, classifier: nets.Classifier, networks: nn.ModuleDict, generator: torch.Generator) -> None:
        """Rebuilds the critic's optimizer, as the classifier's is rebuilt, and seeds its dropout."""
        critic = networks["critic"]
        assert isinstance(critic, Critic), "``modules`` made it"
        critic.dropout.generator = self._generator = generator
        momentum = self.settings["joint_momentum"]
        self._optimizer = torch.optim.SGD(critic.parameters(), self.settings["joint_lr"], momentum=momentum)

    def batches(self, labeled: Tensor, unlabeled: Tensor, generator: torch.Generator) -> list[Batch]:
        """Pairs labeled with unlabeled batches of one size."""
        gamma, length = self.settings["joint_gamma"], self.settings["joint_length"]
        self._gamma = len(labeled) / max(1, len(unlabeled)) if gamma == "ratio" else gamma
        pairs = fitting.paired_batches(labeled, unlabeled, self.recipe.batch_size, generator, length=length)
        return [*pairs]

    def loss(self, step: Step) -> Tensor:
        """Adds the distance of both kinds of features, and the penalty, to the mean classification loss."""
        if step.unlabeled is None:
            return step.losses.mean()
        features = step.labeled.features.float(), step.unlabeled.features.float()
        distance, penalty = self._distance(step, *features)
        weight, share = self.settings["joint_weight"], self.settings["joint_feature_penalty"]
        loss: Tensor = step.losses.mean() + weight * (distance + share * penalty)
        return loss

    def after_step(self, step: Step) -> None:
        """Takes the critic's step on the same features."""
        if step.unlabeled is None:
            return
        features = step.labeled.features.detach().float(), step.unlabeled.features.detach().float()
        distance, penalty = self._distance(step, *features)
        self._optimizer.zero_grad()
        (self.settings["joint_penalty"] * penalty - distance).backward()
        self._optimizer.step()

    def _distance(self, step: Step, labeled: Tensor, unlabeled: Tensor) -> tuple[Tensor, Tensor]:
        critic = step.networks["critic"]
        shares = torch.rand(min(len(labeled), len(unlabeled)), generator=self._generator).to(labeled.device)
        distance = critic(unlabeled).mean() - self._gamma * critic(labeled).mean()
        return distance, gradient_penalty(critic, labeled, unlabeled, shares)

    def scores(
        self, networks: nn.ModuleDict, features: Tensor, feature_maps: list[Tensor]
    ) -> dict[str, Tensor]:
        """Returns ``labeled_score``, the critic's value with its sign changed: higher for images that look labeled."""
        return {"labeled_score": -networks["critic"](features)}
