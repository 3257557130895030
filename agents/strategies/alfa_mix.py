"""ALFA-Mix: images whose class changes once their features are mixed a little with those of labeled ones."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents import options, representation
from agents.base import Indices, Strategy
from agents.registry import register
from agents.representation import ROWS, Head
from agents.strategies.kmeans import central_then_random

if TYPE_CHECKING:
    from alenv import View

EPSILON = 1e-8


def anchors(features: Tensor, labels: Tensor, classes: int) -> Tensor:
    """Returns the mean features of each class, (C, D); of a class without labels, those of all labeled images.

    Args:
        features: float (L, D), L at least 1.
        labels: int64 (L,); images of no class (-1) count only for the mean of all.
        classes: C.
    """
    means = features.mean(0).repeat(classes, 1)
    for label in torch.unique(labels[labels >= 0]).tolist():
        means[label] = features[labels == label].mean(0)
    return means


def loss_gradients(head: Head, features: Tensor) -> Tensor:
    """Returns the gradient of the cross-entropy to the guessed class by the features, (n, D).

    It is W^T (p - onehot(argmax p)).

    Args:
        head: The classifier's.
        features: (n, D).
    """
    factors = head(features).softmax(1)
    guess = factors.argmax(1, keepdim=True)
    factors.scatter_add_(1, guess, torch.full_like(guess, -1, dtype=factors.dtype))
    return factors @ head.weight


def mixed(features: Tensor, anchor: Tensor, gradients: Tensor, cap: float, clip: bool = True) -> Tensor:
    """Returns (1 - a) h + a z, elementwise, with the weights a that raise the loss most to first order, (n, D).

    a = cap / sqrt(D) * |z - h| / |g| * g / (z - h), which is kept between 0 and ``cap``.

    Args:
        features: h, (n, D).
        anchor: z, (D,).
        gradients: g, (n, D).
        cap: The most that is mixed in, in (0, 1].
        clip: Whether a is kept in its range; without that its negative entries move away from the anchor.

    Source: Parvaneh et al. 2022, the closed form of the mixing weights.
    """
    apart = anchor - features
    scale = torch.linalg.vector_norm(apart, dim=1) / torch.linalg.vector_norm(gradients, dim=1).clamp_(
        min=EPSILON
    )
    # The quotient of the two is bounded by its sign and size; where the anchor is no different nothing is mixed.
    share = gradients / torch.where(apart.abs() < EPSILON, torch.inf, apart)
    share = share.mul_(scale[:, None]).mul_(cap / features.shape[1] ** 0.5)
    if clip:
        share = share.clamp_(0.0, cap)
    return torch.addcmul(features, share, apart)


def changes_class(head: Head, features: Tensor, centers: Tensor, cap: float, clip: bool = True) -> Tensor:
    """Returns whether the guess changes for a mix with any anchor, bool (n,).

    Args:
        head: The classifier's.
        features: (n, D).
        centers: (C, D) anchors.
        cap: See ``mixed``.
        clip: See ``mixed``.
    """
    parts = []
    for h in torch.split(features, ROWS):
        guess, gradients = head(h).argmax(1), loss_gradients(head, h)
        changed = torch.zeros(len(h), dtype=torch.bool, device=h.device)
        for anchor in centers:
            rows = (~changed).nonzero().flatten()
            mix = mixed(h[rows], anchor, gradients[rows], cap, clip)
            changed[rows] = head(mix).argmax(1) != guess[rows]
        parts.append(changed)
    return torch.cat(parts)


@register
class AlfaMix(Strategy):
    """Images whose guessed class changes when their features are mixed with a class's mean, and different ones.

    For each class the mixing weights are those that raise the loss of the guess most. The share that may be mixed in
    grows by ``step`` until more than B images change their class; of these, the middles of B clusters of their
    features, of unit length, are chosen. With too few, random ones fill up; without labels all images are clustered.

    Args:
        step: By which the share grows, from itself to at most 1; 0.2 as public code has for these weights.
        clip: Whether the weights are kept between 0 and the share.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``step`` is not in (0, 1], or ``clip`` not a flag.

    Differs: the paper also learns the weights by gradient steps; this is its closed form. Public code leaves that
    unclipped, so that it mixes in less than nothing (``clip=false``). Random images are drawn without replacement.
    The head is recovered from features and logits, so that linear heads are served too.
    """

    name: ClassVar[str] = "alfa_mix"
    cost: ClassVar[str] = (
        "one inference pass over the pool, at most 5 U C (C D + 5 D), then 10 B D per image clustered"
    )
    source: ClassVar[str] = "Parvaneh et al. 2022, Active Learning by Feature Mixing"

    def __init__(self, step: float = 0.2, clip: bool = True, pool: str | None = None) -> None:
        super().__init__(pool)
        self.step = options.number("step", step, above=True, most=1)
        self.clip = options.flag("clip", clip)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses the middles of clusters of the images that change their class."""
        features = representation.finite(view.features(indices))
        wanted = torch.ones(len(indices), dtype=torch.bool)
        if len(view.labeled):
            head = representation.fitted_head(features, view.logits(indices))
            known = representation.finite(view.features(view.labeled))
            wanted = self._candidates(head, features, anchors(known, view.labels(), view.num_classes), count)
        unit = torch.nn.functional.normalize(features, dim=1)
        chosen: Indices = indices[central_then_random(unit, wanted, count, generator).numpy()]
        return chosen

    def _candidates(self, head: Head, features: Tensor, centers: Tensor, count: int) -> Tensor:
        cap = 0.0
        while True:
            cap = min(1.0, cap + self.step)
            wanted = changes_class(head, features, centers, cap, self.clip)
            if cap >= 1 or int(wanted.sum()) > count:
                return wanted
