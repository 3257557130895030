"""VAAL: an autoencoder and a discriminator learn how labeled images look; those that look least so are bought."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from agents import options
from agents.adversarial import (
    EPOCHS,
    AdversarialQuery,
    AdversarialTraining,
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

ORIGINAL_EPOCHS = 100
KL = ("mean", "sum")


@register
class Vaal(AdversarialQuery, Strategy):
    """The images whose codes a discriminator takes least for those of labeled images.

    A variational autoencoder of all images and a discriminator of its codes are trained against each other at every
    query, from fresh weights; the classifier plays no part. Without labeled images the query is random.

    The original trains its classifier in the same loop, where it shares the labeled batches and the number of
    iterations with the two networks, and no loss. So ``original=true`` is what that joint setting is for the query;
    the classifier's part of it is a recipe (backbone vgg16, lr 0.01, a tenth of it at each quarter, start cold,
    crop_padding 0).

    Args:
        epochs: Passes over the images, labeled and unlabeled together; an iteration takes two steps of the
            autoencoder and one of the discriminator. None = 10, a tenth of the published 100 (39,062 iterations for
            50,000 images, several times the cost of the classifier's training).
        width: Share of the published channels, for machines without a big GPU.
        latent: Dimensions of a code.
        beta: Weight of the KL term.
        adversary: Weight of the adversarial term in the autoencoder's loss.
        lr: Learning rate of both Adam optimizers.
        batch_size: Labeled images per step, and unlabeled ones; at least 2.
        kl: ``"mean"`` or ``"sum"`` over batch and code; None = ``"mean"``.
        original: Makes None stand for the public code's values: 100 epochs, and ``"sum"``.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: A number is out of range.
        UnknownName: There is no such ``kl`` or ``pool``.

    Differs: the public code sums the KL term over batch and code beside a reconstruction error that is a mean, so
    that it outweighs all else and codes lose the image; by default both are means. It scores in training mode, where
    the score of an image depends on its batch, and on flipped images; here in eval mode and unaugmented. It passes
    over the linear layers of the code and the transposed convolutions when it initializes, and so does this. Images
    are flipped where the recipe flips them, and normalized as the recipe's; no validation split is needed. Scores are
    logits, which do not tie where the probability is 0.
    """

    name: ClassVar[str] = "vaal"
    cost: ClassVar[str] = (
        "trains two networks: at epochs=100 more than the classifier; then a pass over the pool"
    )
    source: ClassVar[str] = (
        "Sinha, Ebrahimi & Darrell 2019, Variational Adversarial Active Learning; the paper, A.17"
    )

    def __init__(
        self,
        *,
        epochs: int | None = None,
        width: float = 1.0,
        latent: int = 32,
        beta: float = 1.0,
        adversary: float = 1.0,
        lr: float = 5e-4,
        batch_size: int = 128,
        kl: str | None = None,
        original: bool = False,
        pool: str | None = None,
    ) -> None:
        usual = (ORIGINAL_EPOCHS, "sum") if options.flag("original", original) else (EPOCHS, "mean")
        super().__init__(
            epochs=usual[0] if epochs is None else epochs,
            width=width,
            latent=latent,
            beta=beta,
            adversary=adversary,
            lr=lr,
            batch_size=batch_size,
            pool=pool,
        )
        self.kl = options.word("kl", usual[1] if kl is None else kl, KL)

    def trained(self, view: View, indices: Indices, generator: torch.Generator) -> AdversarialTraining:
        """Returns the two networks, trained, and in eval mode."""
        runtime, shape = view.runtime, shape_of(view)
        training = AdversarialTraining(
            fitting.build(lambda: VaalAutoencoder(shape, self.latent, self.width), generator, runtime),
            fitting.build(lambda: VaalDiscriminator(self.latent), generator, runtime),
            pictures=flipped(view, generator),
            generator=generator,
            runtime=runtime,
            beta=self.beta,
            adversary=self.adversary,
            kl=self.kl,
            lr=self.lr,
        )
        training.fit(view.labeled, indices, epochs=self.epochs, batch_size=self.batch_size, lr=self.lr)
        return training
