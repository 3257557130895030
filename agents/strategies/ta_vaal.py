"""TA-VAAL: VAAL's two networks, told how the loss module ranks each image."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

import torch
from torch import Tensor

from agents.adversarial import (
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


class RankedTraining(AdversarialTraining):
    """The two networks, given the rank of every image: one step of the autoencoder, one of the discriminator.

    Args:
        ranks: r, predicted losses by pool index, float32 (N,); 0 where they are not known.
        *args: See ``AdversarialTraining``.
        **kwargs: See ``AdversarialTraining``.
    """

    def __init__(self, ranks: Tensor, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs, coder_steps=1)
        self._ranks = ranks[:, None]

    def decoded(self, codes: Tensor, rows: Tensor) -> Tensor:
        """Appends sigmoid(r) to codes, (n, latent + 1)."""
        return torch.cat([codes, self._of(rows).sigmoid()], dim=1)

    def judged(self, means: Tensor, rows: Tensor) -> Tensor:
        """Appends r to means, (n, latent + 1)."""
        return torch.cat([means, self._of(rows)], dim=1)

    def _of(self, rows: Tensor) -> Tensor:
        return self._ranks[rows.to(self._ranks.device)]


@register
class TaVaal(AdversarialQuery, Strategy):
    """As VAAL, with networks that are told each image's predicted loss; needs a recipe that trains the loss module.

    The paper trains it with ``joint="loss_ranking"``; any objective that predicts losses will do. The decoder is given
    sigmoid(r) beside the code, the discriminator r itself beside the code's mean. Without labeled images the query is
    random.

    Args:
        epochs: Passes over the labeled images and the candidates together; an iteration takes one step of each
            network. None = 10, a tenth of the published 100.
        width: Share of the published channels, for machines without a big GPU.
        latent: Dimensions of a code.
        beta: Weight of the KL term, a mean over batch and code.
        adversary: Weight of the adversarial term in the autoencoder's loss.
        lr: Learning rate of both Adam optimizers.
        batch_size: Labeled images per step, and unlabeled ones; at least 2.
        pool: None = this cycle's candidates.

    Raises:
        InvalidQuery: A number is out of range.

    Differs: the public code draws random ranks in the first iteration; here they are always the module's. It scores in
    training mode, where the score of an image depends on its batch, and on flipped images; here in eval mode and
    unaugmented. A rank that is no number, of a diverged classifier, counts as 0.
    """

    name: ClassVar[str] = "ta_vaal"
    needs: tuple[str, ...] = ("predicted_loss",)
    default_pool: ClassVar[str] = "candidates"
    cost: ClassVar[str] = (
        "trains two networks on the labeled images and the candidates, then a pass over these"
    )
    source: ClassVar[str] = "Kim et al. 2021, Task-Aware Variational Adversarial Active Learning"

    def trained(self, view: View, indices: Indices, generator: torch.Generator) -> RankedTraining:
        """Returns the two networks, trained, and in eval mode."""
        runtime, shape, wide = view.runtime, shape_of(view), self.latent + 1
        ranks = torch.zeros(len(view), device=view.device)
        for rows in (torch.tensor(view.labeled), torch.from_numpy(indices.copy())):
            known = view.predicted_loss(rows).nan_to_num(nan=0.0, posinf=0.0, neginf=0.0)
            ranks[rows.to(ranks.device)] = known
        training = RankedTraining(
            ranks,
            fitting.build(lambda: VaalAutoencoder(shape, self.latent, self.width, wide), generator, runtime),
            fitting.build(lambda: VaalDiscriminator(wide), generator, runtime),
            pictures=flipped(view, generator),
            generator=generator,
            runtime=runtime,
            beta=self.beta,
            adversary=self.adversary,
            kl="mean",
            lr=self.lr,
        )
        training.fit(view.labeled, indices, epochs=self.epochs, batch_size=self.batch_size, lr=self.lr)
        return training
