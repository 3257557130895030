"""SRAAL: VAAL whose code must also tell the class, and whose discriminator learns how certain the classifier is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from agents import options
from agents.adversarial import (
    AdversarialQuery,
    AdversarialTraining,
    Pair,
    VaalAutoencoder,
    VaalDiscriminator,
    flipped,
    shape_of,
)
from agents.base import Indices, Strategy
from agents.registry import register
from alenv import fitting

if TYPE_CHECKING:
    from alenv import View

NO_CLASS = -1  # the label of an outlier
TARGET_SIZES = (1024, 256)  # hidden units of the target learner
HIDDEN_LAYERS = 4  # of the discriminator
DECAY, DECAYS = 0.85, 30  # the learning rates shrink so much, so often
VANISHING = 1e-24  # a variance of rounding alone


def online_uncertainty(logits: Tensor) -> Tensor:
    """Returns the online uncertainty indicator 1 - MINVar / Var(p) x max(p), float64 (n,), in [0, 1].

    MINVar is the least variance of a vector of probabilities with that maximum. 0 for a certain p, 1 for a uniform one,
    whose variance is 0, and for what is no number.

    Args:
        logits: (n, C).

    Source: Zhang et al. 2020.
    Differs: the variance is the biased one, so that a certain image scores 0; public code takes the unbiased one, for
    which it scores 1 / C.
    """
    p = logits.detach().cpu().double().softmax(1)
    classes = p.shape[1]
    if classes == 1:
        return torch.zeros(len(p), dtype=torch.float64)
    largest = p.amax(1)
    rest = (1 - largest) / (classes - 1)
    least = ((largest - 1 / classes).square() + (classes - 1) * (rest - 1 / classes).square()) / classes
    variance = p.var(1, correction=0)
    spread = variance > VANISHING
    scores = 1 - least / torch.where(spread, variance, 1.0) * largest
    return torch.where(spread, scores, 1.0).clamp(0.0, 1.0)  # NaN is not above anything


class SraalAutoencoder(VaalAutoencoder):
    """An autoencoder of VAAL whose code has two halves: one restores the image, the other tells its class."""

    def __init__(self, shape: tuple[int, int, int], latent: int, width: float, classes: int) -> None:
        """Builds the layers.

        Args:
            shape: (C, H, W) of the images, H and W at least 8.
            latent: Dimensions of the code, at least 2.
            width: Share of the published channels, at least one each.
            classes: How many the target learner tells apart.
        """
        super().__init__(shape, latent, width, latent // 2)
        self.pictured = latent // 2
        sizes = [latent - self.pictured, *TARGET_SIZES]
        layers: list[nn.Module] = []
        for before, after in zip(sizes, TARGET_SIZES, strict=False):
            layers += [nn.Linear(before, after), nn.ReLU()]
        self.target = nn.Sequential(*layers, nn.Linear(TARGET_SIZES[-1], classes))


class RelabelingTraining(AdversarialTraining):
    """The two networks, with classes for the autoencoder and certainties for the discriminator.

    Args:
        labels: int64 (N,) by pool index; -1 where the image has no class or its label was not bought.
        certainties: float32 (N,) in [0, 1] by pool index; the discriminator's targets for unlabeled images.
        lr: Learning rate of the discriminator's Adam at the beginning.
        target_weight: Weight of the target learner's cross-entropy.
        *args: See ``AdversarialTraining``.
        **kwargs: See ``AdversarialTraining``.
    """

    coder: SraalAutoencoder

    def __init__(
        self,
        labels: Tensor,
        certainties: Tensor,
        *args: Any,
        lr: float,
        target_weight: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(*args, lr=lr, **kwargs)
        self._labels, self._certainties = labels, certainties
        self._lr, self._target_weight = lr, target_weight

    def rate(self, moment: fitting.Moment) -> float:
        """Returns the learning rate of both networks: 0.85 times as large after each thirtieth of the training."""
        return self._lr * float(DECAY ** int(DECAYS * moment.progress))

    def loss(self, pair: Pair, moment: fitting.Moment) -> Tensor:
        """Returns the autoencoder's loss, and sets the discriminator's learning rate."""
        for group in self._optimizer.param_groups:
            group["lr"] = self.rate(moment)
        return super().loss(pair, moment)

    def decoded(self, codes: Tensor, rows: Tensor) -> Tensor:
        """Returns the first half of codes."""
        return codes[:, : self.coder.pictured]

    def unlabeled_targets(self, rows: Tensor) -> Tensor:
        """Returns the certainties: an image that the classifier is sure of counts as nearly labeled."""
        return self._certainties[rows.to(self._certainties.device)]

    def supervised(self, codes: Tensor, rows: Tensor) -> Tensor:
        """Returns the weighted cross-entropy of the classes, told from the second half of codes."""
        labels = self._labels[rows.to(self._labels.device)]
        logits = self.coder.target(codes[:, self.coder.pictured :])
        total = F.cross_entropy(logits, labels, ignore_index=NO_CLASS, reduction="sum")
        return self._target_weight * total / (labels != NO_CLASS).sum().clamp(min=1)


@register
class Sraal(AdversarialQuery, Strategy):
    """As VAAL, with a discriminator that takes images for labeled as far as the classifier is certain of them.

    One half of an image's code restores the image, the other tells the class of a labeled one. The discriminator's
    target is 1 for labeled images and 1 - OUI for the others (see ``online_uncertainty``); those that look least
    labeled are bought. Without labeled images the query is random.

    Args:
        epochs: Passes over the images, labeled and unlabeled together; an iteration takes two steps of the
            autoencoder and one of the discriminator. None = 10, a tenth of the published 100 (20,000 iterations for
            50,000 images by 250).
        width: Share of the published channels of the convolutions, for machines without a big GPU.
        latent: Dimensions of a code, at least 2; 200 in the public code, 32 in a third party's.
        beta: Weight of the KL term, a sum over the code and a mean over the batch.
        adversary: Weight of the adversarial term in the autoencoder's loss.
        reconstruction: Weight of the squared error of the images.
        target_weight: Weight of the cross-entropy of the classes.
        lr: Learning rate of both Adam optimizers; 0.85 times as large after each thirtieth of the training.
        batch_size: Labeled images per step, and unlabeled ones; at least 2.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: A number is out of range.

    Differs: 1 means labeled throughout, as in the paper. The public code turns the discriminator's targets round and
    chooses the highest, which is the same, but leaves the autoencoder's adversarial target as it was, so that all
    images shall look unlabeled. It takes new images for every second step and keeps the labels of those before; here
    labels belong to their images. Scores are computed in eval mode and unaugmented. The paper's initial set, k-center
    on the code, is not the query's business.
    """

    name: ClassVar[str] = "sraal"
    cost: ClassVar[str] = (
        "trains two networks: at epochs=100 more than the classifier; then a pass over the pool"
    )
    source: ClassVar[str] = "Zhang et al. 2020, State-Relabeling Adversarial Active Learning"

    least: ClassVar[int] = 2

    def __init__(
        self,
        *,
        epochs: int | None = None,
        width: float = 1.0,
        latent: int = 200,
        beta: float = 1.0,
        adversary: float = 1.0,
        reconstruction: float = 5.0,
        target_weight: float = 5.0,
        lr: float = 5e-4,
        batch_size: int = 250,
        pool: str | None = None,
    ) -> None:
        super().__init__(
            epochs=epochs,
            width=width,
            latent=latent,
            beta=beta,
            adversary=adversary,
            lr=lr,
            batch_size=batch_size,
            pool=pool,
        )
        self.reconstruction = options.number("reconstruction", reconstruction)
        self.target_weight = options.number("target_weight", target_weight)

    def trained(self, view: View, indices: Indices, generator: torch.Generator) -> RelabelingTraining:
        """Returns the two networks, trained, and in eval mode."""
        runtime, shape, classes = view.runtime, shape_of(view), view.num_classes
        labels = torch.full((len(view),), NO_CLASS, device=view.device)
        labels[torch.from_numpy(np.array(view.labeled)).to(view.device)] = view.labels()
        certainties = torch.zeros(len(view))
        certainties[torch.from_numpy(indices.copy())] = 1 - online_uncertainty(view.logits(indices)).float()
        training = RelabelingTraining(
            labels,
            certainties.to(view.device),
            fitting.build(
                lambda: SraalAutoencoder(shape, self.latent, self.width, classes), generator, runtime
            ),
            fitting.build(lambda: VaalDiscriminator(self.latent, HIDDEN_LAYERS), generator, runtime),
            pictures=flipped(view, generator),
            generator=generator,
            runtime=runtime,
            beta=self.beta,
            adversary=self.adversary,
            kl="sample",
            reconstruction=self.reconstruction,
            lr=self.lr,
            target_weight=self.target_weight,
        )
        training.fit(
            view.labeled,
            indices,
            epochs=self.epochs,
            batch_size=self.batch_size,
            lr=self.lr,
            learning_rate=training.rate,
        )
        return training
