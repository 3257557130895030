"""What an agent may read: images, scores and embeddings of the pool, and the labels that were bought."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.episode import Episode
from alenv.oracle import Oracle
from alenv.scored import IndicesLike, Learner, ScoredImages


class Validation(ScoredImages):
    """The validation split: the same methods, with labels."""

    def __init__(self, labels: NDArray[np.int64], *args: Any) -> None:
        super().__init__(*args)
        self._labels = torch.from_numpy(labels).to(self._images.device)

    def labels(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns the labels, int64 (n,)."""
        return self._labels.clone() if indices is None else self._labels[self._tensor(indices)]

    def scored_by(self, learner: Learner) -> Validation:
        """Returns the same split with another learner's scores."""
        shared = (self._images, self._recipe, self._runtime, self._spelling)
        return Validation(self._labels.cpu().numpy(), learner, *shared)


class View(ScoredImages):
    """The pool as an agent sees it; read-only, and refreshed by the environment after every cycle.

    Attributes:
        validation: The validation split with labels, or None.
        num_classes: C.
        query_size: B.
    """

    def __init__(
        self,
        *args: Any,
        oracle: Oracle,
        validation: Validation | None,
        num_classes: int,
        query_size: int,
        draw_candidates: Callable[[Episode], NDArray[np.int64]],
        observe: Callable[[View, str], Any],
    ) -> None:
        super().__init__(*args)
        self._oracle = oracle
        self.validation = validation
        self.num_classes = num_classes
        self.query_size = query_size
        self._draw_candidates = draw_candidates
        self._observe = observe
        self._episode: Episode | None = None

    def refresh(self, episode: Episode, previous: dict[str, Any] | None) -> None:
        """Points the view at a new state of the episode; the environment alone calls this.

        Args:
            episode: The episode so far.
            previous: State of last cycle's learner, None at cycle 0.
        """
        self._forget(episode.cycle)
        self._episode = episode
        self._previous_state = previous
        self._previous: View | None = None
        self._candidates: NDArray[np.int64] | None = None
        self._unlabeled: NDArray[np.int64] | None = None
        self._labeled = episode.labeled
        if self.validation is not None:
            self.validation._forget(episode.cycle)

    @property
    def episode(self) -> Episode:
        """What has happened so far."""
        assert self._episode is not None, "the environment refreshes the view before it hands it out"
        return self._episode

    @property
    def cycle(self) -> int:
        """Queries answered so far."""
        return self._cycle

    @property
    def labeled(self) -> NDArray[np.int64]:
        """The labeled pool indices in order of purchase, int64 (L,), read-only."""
        return self._labeled

    @property
    def unlabeled(self) -> NDArray[np.int64]:
        """The unlabeled pool indices in ascending order, int64 (U,), read-only."""
        if self._unlabeled is None:
            free = np.ones(len(self), dtype=bool)
            free[self._labeled] = False
            self._unlabeled = _frozen(np.flatnonzero(free))
        return self._unlabeled

    @property
    def candidates(self) -> NDArray[np.int64]:
        """This cycle's uniform draw of unlabeled pool indices, int64 (K,), read-only.

        With fewer than K images left they repeat cyclically.
        """
        if self._candidates is None:
            self._candidates = _frozen(self._draw_candidates(self.episode))
        return self._candidates

    def labels(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns bought labels, int64 (n,); with None those of ``labeled``, in its order; -1 for an outlier.

        Raises:
            HiddenLabel: The label of an index was not bought.
        """
        wanted = self._labeled if indices is None else self._tensor(indices).cpu().numpy()
        return torch.from_numpy(self._oracle.bought(wanted)).to(self._images.device)

    @property
    def classifier(self) -> Any:
        """An eval-mode fp32 deep copy of the network, with ``features``, ``feature_maps`` and ``head``."""
        return self._learner.copy_classifier()

    @property
    def previous(self) -> View | None:
        """This view, its labels and candidates, with last cycle's weights and accuracies; None at cycle 0."""
        if self._previous_state is None:
            return None
        if self._previous is None:
            with self._runtime.active():
                learner = self._learner.fork(self._previous_state)
            shared = (self._images, self._recipe, self._runtime, self._spelling)
            view = View(
                learner,
                *shared,
                oracle=self._oracle,
                validation=None if self.validation is None else self.validation.scored_by(learner),
                num_classes=self.num_classes,
                query_size=self.query_size,
                draw_candidates=self._same_candidates,
                observe=self._observe,
            )
            view.refresh(self.episode.before(), None)
            self._previous = view
        return self._previous

    def _same_candidates(self, episode: Episode) -> NDArray[np.int64]:
        return np.array(self.candidates)

    def observation(self, kind: str) -> Any:
        """Returns the environment's own observation: ``"stats"``, ``"candidates"`` or ``"progress"``.

        Raises:
            UnknownName: There is no such observation.
        """
        return self._observe(self, kind)


def _frozen(indices: NDArray[np.int64]) -> NDArray[np.int64]:
    copy = np.array(indices, dtype=np.int64)
    copy.flags.writeable = False
    return copy
