"""What an agent may read: images, scores and embeddings of the pool, and the labels that were bought."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv import observation, queries
from alenv.descriptors import Descriptors, Situation, describe
from alenv.episode import Episode
from alenv.errors import InvalidQuery, unknown
from alenv.landmarks import Landmarks
from alenv.learners.images import ImageSet
from alenv.learners.protocol import Learner
from alenv.observation import Float32
from alenv.oracle import Oracle
from alenv.scores import Facts, IndicesLike, ScoredImages
from alenv.settings import OBSERVATIONS, Protocol, Recipe


class Validation(ScoredImages):
    """The validation split: the same methods, with labels.

    Attributes:
        accuracy: Accuracy on it after the latest cycle, in [0, 1].
    """

    def __init__(self, labels: NDArray[np.int64], *args: Any) -> None:
        super().__init__(*args)
        self._labels = torch.from_numpy(labels).to(self._images.device)
        self.accuracy = 0.0

    def labels(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns the labels, int64 (n,)."""
        return self._labels.clone() if indices is None else self._labels[self._tensor(indices)]

    def _scored_by(self, learner: Learner, costs: dict[str, float]) -> Validation:
        """Returns the same split with another learner's scores."""
        return Validation(self._labels.cpu().numpy(), self._facts, learner, self._images, costs)


class View(ScoredImages):
    """The pool as an agent sees it; read-only, and renewed by the environment after every cycle.

    It shows no label that was not bought, no test accuracy, no seed and no file.

    Attributes:
        validation: The validation split with labels, or None.
    """

    def __init__(
        self,
        facts: Facts,
        learner: Learner,
        images: ImageSet,
        *,
        oracle: Oracle,
        validation: Validation | None,
        costs: dict[str, float] | None = None,
    ) -> None:
        super().__init__(facts, learner, images, costs)
        self._oracle = oracle
        self.validation = validation
        self._episode: Episode
        self._landmarks: Landmarks | None = None

    def _renew(
        self, episode: Episode, previous: dict[str, Any] | None, candidates: NDArray[np.int64] | None = None
    ) -> None:
        """Points the view at a new state of the episode; the environment alone calls this.

        Args:
            episode: The episode so far.
            previous: State of last cycle's learner, None at cycle 0.
            candidates: int64 (K,); None = they are drawn when they are asked for.
        """
        self._forget(episode.cycle)
        self._episode = episode
        self._previous_state = previous
        self._previous: View | None = None
        self._classifier: Any = None
        self._candidates = candidates
        self._unlabeled: NDArray[np.int64] | None = None
        self._described: Descriptors | None = None
        self._landmarks = None
        if self.validation is not None:
            self.validation._forget(episode.cycle)
            self.validation.accuracy = episode.validation_correct[-1] / len(self.validation)

    # ---- facts ----------------------------------------------------------------------------------------------

    @property
    def recipe(self) -> Recipe:
        """How the classifier is trained; files and code that it names are shown as ``"file"``."""
        return self._facts.recipe.without_paths()

    @property
    def protocol(self) -> Protocol:
        """What is bought when: initial size, query size, budget, cycles; a file is shown as ``"file.txt"``."""
        return self._facts.protocol.without_paths()

    @property
    def num_classes(self) -> int:
        """C."""
        return self._facts.num_classes

    @property
    def query_size(self) -> int:
        """B."""
        return self._facts.protocol.query_size

    @property
    def cycle(self) -> int:
        """Queries answered so far."""
        return self._cycle

    # ---- the pool -------------------------------------------------------------------------------------------

    @property
    def labeled(self) -> NDArray[np.int64]:
        """The labeled pool indices in order of purchase, int64 (L,), read-only."""
        return self._episode.labeled

    @property
    def unlabeled(self) -> NDArray[np.int64]:
        """The unlabeled pool indices in ascending order, int64 (U,), read-only."""
        if self._unlabeled is None:
            free = np.ones(len(self), dtype=bool)
            free[self.labeled] = False
            self._unlabeled = _frozen(np.flatnonzero(free))
        return self._unlabeled

    @property
    def candidates(self) -> NDArray[np.int64]:
        """This cycle's uniform draw of unlabeled pool indices, int64 (K,), read-only.

        With fewer than K images left they repeat cyclically.
        """
        if self._candidates is None:
            drawn = queries.draw_candidates(self._episode, len(self), self._facts.candidates)
            self._candidates = _frozen(drawn)
        return self._candidates

    def labels(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns bought labels, int64 (n,); with None those of ``labeled``, in its order; -1 for an outlier.

        Raises:
            HiddenLabel: The label of an index was not bought.
        """
        wanted = self.labeled if indices is None else self._tensor(indices).cpu().numpy()
        return torch.from_numpy(self._oracle.bought(wanted)).to(self.device)

    # ---- the classifier -------------------------------------------------------------------------------------

    @property
    def classifier(self) -> Any:
        """An eval-mode fp32 deep copy of the network, with ``features``, ``feature_maps`` and ``head``.

        It is made once a cycle; what is done to it reaches no weight of the environment.

        Raises:
            MissingHead: The recipe trains no network.
        """
        self.require(["classifier"])
        if self._classifier is None:
            self._classifier = self._learner.copy_classifier()
        return self._classifier

    @property
    def previous(self) -> View | None:
        """This view, its labels and candidates, with last cycle's weights and accuracies; None at cycle 0."""
        if self._previous_state is None:
            return None
        if self._previous is None:
            with self.runtime.active():
                learner = self._learner.fork(self._previous_state)
            split = self.validation
            view = View(
                self._facts,
                learner,
                self._images,
                oracle=self._oracle,
                validation=None if split is None else split._scored_by(learner, self._costs),
                costs=self._costs,
            )
            view._renew(self._episode.before(), None, self.candidates)
            self._previous = view
        return self._previous

    def observation(self, kind: str) -> Any:
        """Returns the environment's own observation: ``"stats"``, ``"candidates"`` or ``"progress"``.

        Raises:
            UnknownName: There is no such observation.
        """
        if kind not in OBSERVATIONS:
            raise unknown("observation", kind, OBSERVATIONS)
        with self.runtime.active():
            progressed = self._progress()
            if kind == "progress":
                return progressed
            probabilities = self.probabilities(self.candidates)
            summary = observation.stats(progressed, probabilities)
            if kind == "stats":
                return summary
            return observation.candidates(
                summary,
                self.candidates,
                self.features(self.candidates),
                probabilities,
                {name: getattr(self, name)(self.candidates) for name in self._learner.provides},
            )

    # ---- what describes a candidate -------------------------------------------------------------------------

    def descriptors(self, indices: IndicesLike | None = None) -> Descriptors:
        """Returns what a policy sees of images: ``candidates`` (n, 29) and ``context`` (8,); see ``alenv.descriptors``.

        They are standardized within ``indices``, so that a number depends on what it is asked for together with.
        Positions are those of the recipe's embedding where it names one, else of the classifier's features. Every
        image is compared with every other, which takes a second for some thousands.

        Args:
            indices: int64 (n,) pool indices, n >= 1; None = this cycle's candidates.

        Raises:
            InvalidQuery: ``indices`` are not whole numbers of shape (n,) within the pool, or there are none.
        """
        if indices is not None:
            return self._describe(self._tensor(indices))
        if self._described is None:
            self._described = self._describe(self._tensor(self.candidates))
        return Descriptors(*(part.clone() for part in self._described))

    def positions(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns where images lie: float32 (n, d) of unit length, d = min(64, D).

        They are the leading components of the recipe's embedding where it names one, else of the classifier's
        features; distances and cosines of ``descriptors`` are those of positions. See ``alenv.landmarks``.
        """
        landmarks, wanted = self._located(), self._tensor(indices)
        with self.runtime.active():
            return landmarks.points(wanted)

    def _describe(self, wanted: Tensor) -> Descriptors:
        if not len(wanted):
            raise InvalidQuery("No indices were given; descriptors compare images, so give at least one.")
        landmarks, labeled = self._located(), self._tensor(self.labeled)
        with self.runtime.active():
            situation = Situation(
                logits=self.logits(wanted)[None],
                points=landmarks.points(wanted)[None],
                typicality=landmarks.typicality(wanted)[None],
                labeled=landmarks.points(labeled)[None],
                labels=self.labels()[None],
                anchors=landmarks.anchors,
                query_size=self.query_size,
            )
            found = describe(situation)
        return Descriptors(found.candidates[0], found.context[0])

    def _located(self) -> Landmarks:
        """Returns where the pool's images lie: computed once for an embedding, once a cycle for features."""
        with self.runtime.active():
            if "embedding" in self.offers:
                return self._images.landmarks
            if self._landmarks is None:
                self._landmarks = Landmarks(self.features, len(self), self.device)
            return self._landmarks

    def _progress(self) -> Float32:
        protocol = self.protocol
        accuracies = (0.0, 0.0)
        if self.validation is not None:
            right, total = self._episode.validation_correct, len(self.validation)
            accuracies = (right[-1] / total, right[max(len(right) - 2, 0)] / total)
        return observation.progress(
            self.cycle / max(protocol.cycles, 1),
            len(self.labeled) / max(protocol.initial_size + int(protocol.budget), 1),
            accuracies,
            self._episode.class_counts(self.num_classes),
        )


def _frozen(indices: NDArray[np.int64]) -> NDArray[np.int64]:
    copy = np.array(indices, dtype=np.int64)
    copy.flags.writeable = False
    return copy
