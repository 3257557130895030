"""What the environment asks of whatever it trains: a network, a closed-form head, an ensemble."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

from numpy.typing import NDArray
from torch import Tensor

from alenv.learners.images import ImageSet
from alenv.runtime import Runtime
from alenv.settings import Recipe


class Predictions(NamedTuple):
    """What a classifier says of a whole set of images.

    Attributes:
        classes: int64 (n,).
        logits: float32 (n, C) of the same pass, or what computes them when it is called; None where a learner says
            classes alone.
    """

    classes: Tensor
    logits: Tensor | Callable[[], Tensor] | None = None

    def computed_logits(self) -> Tensor | None:
        """Returns the logits (n, C), computed now where they are not yet; None where there are none."""
        return self.logits if self.logits is None or isinstance(self.logits, Tensor) else self.logits()


class Learner(Protocol):
    """What the environment trains.

    Attributes:
        feature_size: D.
        frozen_features: Whether its features are the embedding itself, whatever it is trained on.
        provides: Names of the scores beyond logits and features that ``infer`` gives.
    """

    feature_size: int
    frozen_features: bool
    provides: tuple[str, ...]

    @classmethod
    def build(cls, recipe: Recipe, images: ImageSet, num_classes: int, runtime: Runtime) -> Learner:
        """Makes the learner of a recipe for images of a pool; files that the recipe names are read here, once."""

    @classmethod
    def offers(cls, recipe: Recipe) -> frozenset[str]:
        """Names what it gives beyond features and logits (see ``alenv.offers``): ``"members"``, for instance."""

    def begin(self, key: int) -> None:
        """Starts an episode."""

    def fit(self, images: ImageSet, labeled: NDArray[Any], labels: NDArray[Any], cycle: int) -> None:
        """Trains one cycle on labels (L,) of pool indices (L,), in the order of purchase."""

    def infer(self, images: ImageSet, indices: Tensor, maps: bool = False) -> dict[str, Tensor]:
        """Scores images at int64 positions (n,): ``logits`` (n, C), ``features`` (n, D) unless frozen, and more."""

    def predict(self, images: ImageSet) -> Tensor | Predictions:
        """Classifies a whole set, int64 (n,); with ``Predictions`` the likelihood of the labels is known too."""

    def members(self, images: ImageSet, indices: Tensor, count: int | None, cycle: int) -> Tensor:
        """Returns the probabilities of several members, (count, n, C); None = as many as it has, or sees fit.

        Raises ``InvalidQuery`` before anything is computed where there are fewer.
        """

    def copy_classifier(self) -> Any:
        """Copies the network."""

    def get_state(self) -> dict[str, Any]:
        """Returns tensors and scalars that no later call changes."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave; raises where it is not of this learner."""

    def fork(self, state: dict[str, Any]) -> Learner:
        """Builds another learner with a given state."""
