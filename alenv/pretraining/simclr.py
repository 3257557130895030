"""Pretraining by finding the other view of the same image."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from alenv import nets
from alenv.learners.images import ImageSet
from alenv.pretraining.pretext import Pretext
from alenv.pretraining.views import views
from alenv.runtime import Runtime
from alenv.settings import Recipe

TEMPERATURE = 0.1
PROJECTION = 128


class SimClr(Pretext):
    """Two random views of each image, whose projections shall be nearer to each other than to those of all others.

    Source: Chen, Kornblith, Norouzi and Hinton 2020, "A Simple Framework for Contrastive Learning of Visual
        Representations", sections 2 and B.9, with the constants that low-budget active learning took over
        (Hacohen, Dekel and Weinshall 2022): temperature 0.1, head D-D-128, 500 epochs, batches of 512, SGD at 0.4.
    Differs: the cosine falls to 0 instead of a thousandth of the first rate; the last batch may be smaller; for the
        views see ``views``.
    """

    published = Recipe(lr=0.4, schedule="cosine", weight_decay=1e-4, batch_size=512, epochs=500)
    cropped = False

    def __init__(self, images: ImageSet, recipe: Recipe) -> None:
        """Takes every training image."""
        super().__init__("simclr", images.known_origin, images.shape, recipe, lambda: images)

    def network(self, generator: torch.Generator) -> nets.Classifier:
        """Builds a trunk whose head is the projection."""
        classifier = self._classifier(2, generator)  # its linear head is replaced
        size = classifier.feature_size
        classifier.add_module("head", nets.construct(lambda: _projection(size), generator))
        return classifier

    def loss(
        self, network: nets.Classifier, batch: Tensor, generator: torch.Generator, runtime: Runtime
    ) -> Tensor:
        """Returns the contrastive loss over 2 n views."""
        raw = self.images.raw(batch)
        pictures = self.images.normalize(views(torch.cat([raw, raw]), self.augmentation.flip, generator))
        with runtime.autocast():
            projected = network.head(network.features(pictures))
        return contrast(projected.float())


def _projection(size: int) -> nn.Sequential:
    return nn.Sequential(nn.Linear(size, size), nn.ReLU(inplace=True), nn.Linear(size, PROJECTION))


def contrast(projected: Tensor, temperature: float = TEMPERATURE) -> Tensor:
    """Returns the NT-Xent loss, a scalar.

    Args:
        projected: float32 (2 n, P); row i and row n + i are views of one image.
        temperature: What cosine similarities are divided by.
    """
    count = len(projected)
    unit = F.normalize(projected, dim=1)
    similar = unit @ unit.T / temperature  # (2 n, 2 n)
    itself = torch.eye(count, dtype=torch.bool, device=projected.device)
    partner = torch.arange(count, device=projected.device).roll(count // 2)
    return F.cross_entropy(similar.masked_fill(itself, -torch.inf), partner)
