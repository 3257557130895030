"""What an agent that plays many episodes at once may read of them."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.descriptors import Descriptors
from alenv.ridge_episodes import RidgeEpisodes
from alenv.settings import Protocol, Recipe

Indices = NDArray[np.int64]


class BatchView:
    """The pools of E episodes as an agent sees them: computed when asked for, once per cycle, tensors on the device.

    It shows no label that was not bought, no test accuracy and no seed. Tensors hold until the next ``step`` or
    ``reset``, and are not to be written into; arrays are copies. ``env.view(i)`` shows one episode as ``View`` does.
    """

    def __init__(self, episodes: RidgeEpisodes) -> None:
        """Reads some episodes."""
        self._episodes, self._own = episodes, episodes.purchases
        self._candidates = np.zeros((len(self._own.keys), episodes.candidate_count), dtype=np.int64)
        self._drawn = np.zeros(len(self._own.keys), dtype=bool)
        self._features: Tensor | None = None
        self._logits: Tensor | None = None
        self._described: Descriptors | None = None

    def _forget(self, which: Indices) -> None:
        """Is told by the environment which episodes, int64 (n,), have changed."""
        self._drawn[which] = False
        self._features = self._logits = self._described = None

    def __len__(self) -> int:
        return len(self._own.keys)

    @property
    def recipe(self) -> Recipe:
        """How the classifier is trained; see ``View.recipe``."""
        return self._episodes.recipe.without_paths()

    @property
    def protocol(self) -> Protocol:
        """What is bought when; see ``View.protocol``."""
        return self._episodes.protocol.without_paths()

    @property
    def num_classes(self) -> int:
        """C."""
        return self._episodes.num_classes

    @property
    def query_size(self) -> int:
        """B."""
        return self._episodes.protocol.query_size

    @property
    def query_sizes(self) -> Indices:
        """How many images of a query, its first ones, an episode buys, int64 (E,); B unless each has its own task."""
        return self._episodes.query_sizes.copy()

    @property
    def classes(self) -> NDArray[np.bool_]:
        """The classes that each episode has, bool (E, C); all unless each has its own task."""
        return self._episodes.classes.copy()

    @property
    def device(self) -> torch.device:
        """Where tensors are returned."""
        return self._episodes.device

    @property
    def cycle(self) -> Indices:
        """Queries answered so far, int64 (E,)."""
        return self._own.cycle.copy()

    # ---- candidates -----------------------------------------------------------------------------------------

    @property
    def candidates(self) -> Indices:
        """Each episode's draw of unlabeled pool indices, int64 (E, K); with fewer left they repeat cyclically."""
        for i in np.flatnonzero(~self._drawn).tolist():
            self._candidates[i] = self._episodes.candidates(i)
            self._drawn[i] = True
        return self._candidates.copy()

    @property
    def features(self) -> Tensor:
        """The embedding of the candidates, float32 (E, K, D)."""
        if self._features is None:
            self._features = self._episodes.rows(np.arange(len(self)), self.candidates)
        return self._features

    @property
    def logits(self) -> Tensor:
        """The logits of the candidates, float32 (E, K, C)."""
        if self._logits is None:
            with self._episodes.runtime.active():
                self._logits = self._episodes.heads.logits(self.features, self.recipe.beta)
        return self._logits

    @property
    def probabilities(self) -> Tensor:
        """The softmax probabilities of the candidates, float32 (E, K, C)."""
        # Class by class, as the logits lie: along the last dimension it takes twenty times as long on a CPU.
        return self.logits.transpose(1, 2).softmax(1).transpose(1, 2)

    def descriptors(self) -> Descriptors:
        """What a policy sees of the candidates, ``candidates`` (E, K, 29) and ``context`` (E, 8).

        They are those of ``View.descriptors``; see ``alenv.descriptors``.
        """
        if self._described is None:
            self._described = self._episodes.described(self.candidates, self.logits)
        return self._described

    def positions(self, indices: Indices) -> Tensor:
        """Returns where images lie, float32 (E, n, d), for pool indices int64 (E, n); see ``View.positions``.

        Where tasks have fewer components than others, zeros stand for them.
        """
        return self._episodes.positions(indices)

    # ---- the pool -------------------------------------------------------------------------------------------

    def embedded(self, indices: Indices) -> Tensor:
        """Returns the frozen, label-free representation of pool indices (E, m) of each episode, float32 (E, m, D)."""
        return self._episodes.rows(np.arange(len(self)), np.asarray(indices))

    @property
    def feature_size(self) -> int:
        """D."""
        return self._episodes.embedding.shape[1]

    @property
    def labeled_count(self) -> Indices:
        """Labels bought, int64 (E,)."""
        return self._own.count.copy()

    @property
    def labeled(self) -> Indices:
        """The labeled pool indices in order of purchase, int64 (E, L), of the longest episode; 0 behind the last."""
        return np.where(self._bought, self._own.labeled[:, : self._longest], 0)

    @property
    def labels(self) -> Indices:
        """Their labels, int64 (E, L); -1 for an outlier, and behind the last."""
        return self._own.labels[:, : self._longest].copy()

    @property
    def class_counts(self) -> Indices:
        """Labels bought of each class, int64 (E, C)."""
        return self._own.class_counts.copy()

    @property
    def is_labeled(self) -> NDArray[np.bool_]:
        """What is labeled, or behind an episode's own pool, bool (E, N)."""
        return self._own.taken.copy()

    @property
    def validation_accuracy(self) -> NDArray[np.float64] | None:
        """Accuracy on the validation split after the latest cycle, float64 (E,); None without a split."""
        return self._episodes.facts().get("validation_accuracy")

    @property
    def _longest(self) -> int:
        return int(self._own.count.max())

    @property
    def _bought(self) -> NDArray[np.bool_]:
        return np.arange(self._longest) < self._own.count[:, None]
