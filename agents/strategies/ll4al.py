"""Learning loss: the images whose loss a module, trained with the classifier, predicts to be highest."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from agents.base import Indices, Strategy, best
from agents.registry import register

if TYPE_CHECKING:
    from alenv import View


@register
class LL4AL(Strategy):
    """The highest predicted loss; needs a recipe that trains the module: ``ll4al@joint=loss_prediction``.

    The module reads pooled maps of four stages of the network and predicts the loss of an image. It is trained with
    the classifier, on labeled images, to put each pair in the order of their losses; only that order means anything,
    and the images at its upper end are chosen.

    Differs: here an odd last batch leaves one image without a pair, where public code stops.
    """

    name: ClassVar[str] = "ll4al"
    needs: tuple[str, ...] = ("predicted_loss",)
    default_pool: ClassVar[str] = "candidates"
    cost: ClassVar[str] = "one inference pass over the candidates"
    source: ClassVar[str] = "Yoo & Kweon 2019, Learning Loss for Active Learning"

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses those of ``indices`` with the highest predicted loss."""
        chosen: Indices = indices[best(view.predicted_loss(indices), count, generator).numpy()]
        return chosen
