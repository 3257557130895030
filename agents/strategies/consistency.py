"""Consistency: the images whose class probabilities change most when they are cropped and flipped."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents import options
from agents.base import Indices, Strategy, best
from agents.registry import register
from alenv import Augmentation

if TYPE_CHECKING:
    from alenv import View

VIEWS = 50
ROWS = 256  # images that are scored at once, of one size: the last bits of a row depend on it
SHARE = 8  # a crop moves by up to an eighth of the image where the recipe crops nothing: by 4 of 32


def inconsistency(probabilities: Tensor) -> Tensor:
    """Returns sum_c Var(p_c) over the views of each image as float64 (n,), in [0, 1].

    Args:
        probabilities: Of the image and its views, (N + 1, n, C).
    """
    return probabilities.detach().cpu().double().var(0, correction=0).sum(1)


@register
class Consistency(Strategy):
    """The largest variance of the class probabilities over random views of an image, the image itself among them.

    Views are cropped and flipped as the recipe does in training; where it crops and flips nothing, they are crops
    shifted by up to an eighth of the image. The agent's seed and the cycle decide them. The paper trains the
    classifier semi-supervised, which is a matter of the recipe, for instance ``joint="fixmatch"``.

    Args:
        views: N, without the image itself.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``views`` is not a whole number of at least 1.

    Differs: there is no public code, and N = 50 is not confirmed. The variance is the biased one, which changes no
    order. An ensemble is represented by its first network.
    """

    name: ClassVar[str] = "consistency"
    needs: tuple[str, ...] = ("classifier",)
    cost: ClassVar[str] = "N + 1 inference passes over the pool"
    source: ClassVar[str] = "Gao et al. 2020, Consistency-based Semi-supervised Active Learning"

    def __init__(self, *, views: int = VIEWS, pool: str | None = None) -> None:
        super().__init__(pool)
        self.views = options.whole("views", views)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses those of ``indices`` whose views disagree most."""
        changes = self._changes(view)
        classifier, scores = view.classifier, []
        with view.runtime.active(), torch.no_grad():
            for chunk in torch.split(torch.from_numpy(indices.copy()), ROWS):
                padded = torch.cat([chunk, chunk[:1].expand(ROWS - len(chunk))])
                outputs = [view.runtime.outputs(classifier, view.images(padded)).logits]
                for _ in range(self.views):
                    changed = view.augmented(padded, generator=generator, augmentation=changes)
                    outputs.append(view.runtime.outputs(classifier, changed).logits)
                scores.append(inconsistency(torch.stack(outputs).softmax(2))[: len(chunk)])
        chosen: Indices = indices[best(torch.cat(scores), count, generator).numpy()]
        return chosen

    def _changes(self, view: View) -> Augmentation:
        """Returns the crops and flips of the recipe, or small crops where it has none."""
        recipe = view.recipe
        flip, padding = recipe.augment and recipe.flip, recipe.crop_padding if recipe.augment else 0
        if not flip and not padding:
            padding = max(1, view.images([0]).shape[2] // SHARE)
        return Augmentation(flip=flip, crop_padding=padding, trivial=False, cutout=0)
