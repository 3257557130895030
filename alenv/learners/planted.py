"""A learner that says what it was told to say: for testing and timing agents without any training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from alenv import nets
from alenv.learners.images import ImageSet
from alenv.learners.protocol import Predictions
from alenv.runtime import Runtime
from alenv.settings import Recipe


class PlantedLearner:
    """Gives planted outputs for every dataset row; training changes nothing.

    Attributes:
        feature_size: D.
        frozen_features: Whether the features are the embedding of the images.
        provides: Names of the planted scores.
        asked: int64 (n,) dataset rows of each call that scored images, in order.
    """

    def __init__(
        self,
        features: Tensor,
        logits: Tensor,
        *,
        feature_maps: Sequence[Tensor] = (),
        members: Tensor | None = None,
        scores: Mapping[str, Tensor] | None = None,
        frozen_features: bool = False,
    ) -> None:
        """Takes the outputs by dataset row.

        Args:
            features: float32 (m, D).
            logits: float32 (m, C).
            feature_maps: Pooled maps, float32 (m, c) each.
            members: Probabilities, float32 (T, m, C); asked for more members than T, as of dropout, they repeat.
            scores: float32 (m,) by name.
            frozen_features: Whether views read the embedding in place of ``features``.
        """
        self._outputs = {"logits": logits, **(scores or {})}
        if not frozen_features:
            self._outputs["features"] = features
        self._maps = {f"map{position}": values for position, values in enumerate(feature_maps)}
        self._members = members
        self.feature_size = features.shape[1]
        self.frozen_features = frozen_features
        self.provides = tuple(scores or {})
        self.asked: list[Tensor] = []

    @classmethod
    def build(cls, recipe: Recipe, images: ImageSet, num_classes: int, runtime: Runtime) -> PlantedLearner:
        """Makes one that gives zeros."""
        count = int(images.rows.max()) + 1 if len(images) else 0
        return cls(torch.zeros(count, 1), torch.zeros(count, num_classes))

    @classmethod
    def offers(cls, recipe: Recipe) -> frozenset[str]:
        """What was planted is not the recipe's to say."""
        return frozenset()

    def begin(self, key: int) -> None:
        """Does nothing."""

    def fit(self, images: ImageSet, labeled: np.ndarray, labels: np.ndarray, cycle: int) -> None:
        """Does nothing."""

    def infer(self, images: ImageSet, indices: Tensor, maps: bool = False) -> dict[str, Tensor]:
        """Looks up what was planted."""
        rows = images.rows[indices]
        self.asked.append(rows)
        outputs = {**self._outputs, **(self._maps if maps else {})}
        return {name: values[rows] for name, values in outputs.items()}

    def predict(self, images: ImageSet) -> Predictions:
        """Returns the class with the largest logit."""
        logits = self._outputs["logits"][images.rows]
        return Predictions(logits.argmax(1), logits)

    def members(self, images: ImageSet, indices: Tensor, count: int | None, cycle: int) -> Tensor:
        """Returns planted probabilities (count, n, C), all of them for None."""
        assert self._members is not None, "the view offers members only where some are planted"
        rows = images.rows[indices]
        self.asked.append(rows)
        which = torch.arange(len(self._members) if count is None else count) % len(self._members)
        return self._members[which[:, None], rows]

    def copy_classifier(self) -> nets.Classifier:
        """Returns a small network with weights of its own, which knows nothing of the planted outputs."""
        logits = self._outputs["logits"]
        return nets.build(
            "convnet",
            num_classes=max(2, logits.shape[1]),
            channels=1,
            image_size=8,
            width=4,
            generator=torch.Generator().manual_seed(0),
        ).eval()

    def get_state(self) -> dict[str, Any]:
        """Returns the outputs."""
        return dict(self._outputs)

    def set_state(self, state: dict[str, Any]) -> None:
        """Takes other outputs."""
        self._outputs = {**self._outputs, **state}

    def fork(self, state: dict[str, Any]) -> PlantedLearner:
        """Returns a learner with other outputs, where ``state`` has any."""
        outputs = {**self._outputs, **state}
        scores = {name: outputs[name] for name in self.provides}
        features = outputs.get("features", torch.empty(0, self.feature_size))
        return PlantedLearner(
            features,
            outputs["logits"],
            feature_maps=list(self._maps.values()),
            members=self._members,
            scores=scores,
            frozen_features=self.frozen_features,
        )
