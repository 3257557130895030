"""Joint learning and sampling: the images that a discriminator, trained with the classifier, takes for unlabeled."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch

from agents.base import Indices, Strategy, best
from agents.registry import register
from alenv.errors import InvalidQuery

if TYPE_CHECKING:
    from alenv import View


@register
class JLS(Strategy):
    """The images whose probability of being labeled is nearest to ``target``; needs ``joint="discriminator"``.

    The discriminator reads the normalized features of the classifier, and is trained with it to tell labeled images
    (1) from unlabeled ones (0); the classifier learns features that help it. A target near 0 asks for images that
    surely look unlabeled; 0.1 leaves out those that look so most of all, outliers among them.

    Args:
        target: A probability, in [0, 1].
        pool: See ``Strategy``.

    Raises:
        InvalidQuery: ``target`` is no number in [0, 1].

    Differs: scores keep their images; the public code scores a shuffled pool and then queries by position, which is a
    random choice.
    """

    name: ClassVar[str] = "jls"
    needs: tuple[str, ...] = ("discriminator",)
    cost: ClassVar[str] = "one inference pass over the pool"
    source: ClassVar[str] = "Caramalau et al. 2021, Visual Transformer for Task-aware Active Learning"

    def __init__(self, target: float = 0.1, pool: str | None = None) -> None:
        super().__init__(pool)
        if isinstance(target, bool) or not isinstance(target, (int, float)) or not 0 <= target <= 1:
            raise InvalidQuery(
                f"target={target!r} was given; it must be a number of at least 0 and at most 1."
            )
        self.target = float(target)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses those of ``indices`` whose score is nearest to the target."""
        scores = -(view.labeled_score(indices) - self.target).abs()
        chosen: Indices = indices[best(scores, count, generator).numpy()]
        return chosen
