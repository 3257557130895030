"""ISAL: the images whose pseudo-label, learned, would lower the loss on reference images most."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import torch
from torch import Tensor

from agents import options
from agents.base import Indices, Strategy, at_random, best
from agents.registry import register
from agents.strategies.badge import gradient_factors

if TYPE_CHECKING:
    from alenv import View

REFERENCES = ("labeled", "validation")
DAMPING = 0.01
ITERATIONS = 250  # of the solver; as many steps as the public code takes
TOLERANCE = 1e-6  # of the residual, by the length of the right-hand side
ROWS = 8192  # scored at once


def label_factors(logits: Tensor, labels: Tensor) -> Tensor:
    """Returns p - onehot(y) of ``logits`` (n, C) and ``labels`` int64 (n,), float32 (n, C).

    The gradient of the cross-entropy by the last layer's weights is the outer product of this and the features. The
    label's own entry is summed from the others: subtracted, it would round to 0 for confident images.
    """
    factors = logits.detach().float().softmax(1)
    own = labels[:, None]
    factors.scatter_(1, own, 0.0)
    return factors.scatter_(1, own, -factors.sum(1, keepdim=True))


def hessian_product(probabilities: Tensor, features: Tensor, damping: float, direction: Tensor) -> Tensor:
    """Returns (H + damping I) V, with H the Hessian of the mean cross-entropy by the last layer's weights.

    H V = mean_i (diag p_i - p_i p_i^T) V h_i h_i^T; H itself, (C D) x (C D), is never built.

    Args:
        probabilities: p, (L, C).
        features: h, (L, D).
        damping: At least 0.
        direction: V, (C, D).

    Returns:
        (C, D).
    """
    along = probabilities * (features @ direction.T)  # (L, C)
    changes = along - probabilities * along.sum(1, keepdim=True)
    return changes.T @ features / len(features) + damping * direction


def solve(probabilities: Tensor, features: Tensor, damping: float, target: Tensor) -> Tensor:
    """Returns (H + damping I)^-1 G, (C, D), by conjugate gradients; see ``hessian_product``.

    Args:
        probabilities: p, (L, C), L >= 1.
        features: h, (L, D).
        damping: Above 0.
        target: G, (C, D).
    """
    solution, residual = torch.zeros_like(target), target.clone()
    direction, size = residual.clone(), residual.square().sum()
    enough = TOLERANCE**2 * float(size)
    for _ in range(ITERATIONS):
        if not float(size) > enough:  # NaN, of a diverged classifier, ends it too
            break
        product = hessian_product(probabilities, features, damping, direction)
        length = size / (direction * product).sum()
        solution += length * direction
        residual -= length * product
        before, size = size, residual.square().sum()
        direction = residual + size / before * direction
    return solution


def influences(factors: Tensor, features: Tensor, directions: Tensor) -> Tensor:
    """Returns the influence I(u) = -a_u^T S h_u of learning each image, float32 (n,); negative lowers the loss.

    Args:
        factors: a, (n, C): a_u h_u^T is the gradient of the image's loss.
        features: h, (n, D).
        directions: S = H^-1 G, (C, D), with G the gradient of the reference images' loss.

    Source: Liu et al. 2021; Koh & Liang 2017.
    """
    rows = zip(torch.split(factors, ROWS), torch.split(features, ROWS), strict=True)
    return torch.cat([-((a @ directions) * h).sum(1) for a, h in rows])


@register
class Isal(Strategy):
    """The images whose pseudo-label, if it were learned, would lower the loss on reference images most.

    Influence functions of the last layer's weights: I(u) = -G^T H^-1 g(u), with g(u) the gradient of the loss to the
    predicted class, H the damped Hessian of the labeled images' loss, and G the gradient of the reference images'
    loss. The most negative are chosen. Without labeled images the query is random.

    Args:
        reference: The ``"labeled"`` images, or those of the ``"validation"`` split.
        damping: Added to the eigenvalues of H, above 0.
        pool: None = all unlabeled images.

    Raises:
        InvalidQuery: ``damping`` is not a number above 0.
        UnknownName: There is no such reference or pool.

    Differs: the public code takes the gradient of the test images, with their labels; here no test image plays a part.
    It differentiates by all weights, an image at a time, and estimates H^-1 from 1,000 labeled images by a recursion
    that is damped by 100 times the identity; here only the last layer's weights count, where one matrix scores all
    images and H^-1 G is solved over all labeled images. Its damping is 0.01 in our scale; which one the paper means is
    not confirmed. The paper's expected gradient over all classes is 0 for every image, since the probabilities are
    the classifier's own; the pseudo-label is the predicted class.
    """

    name: ClassVar[str] = "isal"
    cost: ClassVar[str] = "one inference pass over the pool, then O(L C D) products up to 250 times"
    source: ClassVar[str] = "Liu et al. 2021, Influence Selection for Active Learning"

    def __init__(
        self, *, reference: str = "labeled", damping: float = DAMPING, pool: str | None = None
    ) -> None:
        super().__init__(pool)
        self.reference = options.word("reference", reference, REFERENCES)
        self.damping = options.number("damping", damping, above=True)
        if self.reference == "validation":
            self.needs = ("validation",)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses those of ``indices`` with the most negative influence."""
        if len(view.labeled) == 0:
            return at_random(indices, count, generator)
        with view.runtime.active(), torch.no_grad():
            labeled, labels = view.labeled, view.labels()
            features, logits = view.features(labeled), view.logits(labeled)
            if self.reference == "validation":
                assert view.validation is not None, "the agent needs it"
                split = view.validation
                gradient = _gradient(split.features(), split.logits(), split.labels())
            else:
                gradient = _gradient(features, logits, labels)
            directions = solve(logits.softmax(1), features, self.damping, gradient)
            scores = influences(gradient_factors(view.logits(indices)), view.features(indices), directions)
        chosen: Indices = indices[best(-scores, count, generator).numpy()]
        return chosen


def _gradient(features: Tensor, logits: Tensor, labels: Tensor) -> Tensor:
    """Returns the gradient (C, D) of the summed loss by the last layer's weights; outliers have none."""
    known = labels >= 0
    return label_factors(logits[known], labels[known]).T @ features[known]
