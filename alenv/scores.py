"""Images together with what the current classifier says of them."""

from __future__ import annotations

import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv import needs
from alenv.errors import InvalidQuery
from alenv.learners.augmentation import Augmentation
from alenv.learners.images import ImageSet
from alenv.learners.protocol import Learner
from alenv.progress import progress
from alenv.runtime import Runtime
from alenv.settings import Protocol, Recipe

IndicesLike = NDArray[Any] | Tensor | Sequence[int]


@dataclass(frozen=True)
class Facts:
    """What all views of one environment have in common.

    Attributes:
        recipe: How the classifier is trained.
        protocol: What is bought when.
        runtime: Device, precision, threads.
        num_classes: C.
        candidates: K.
        spelling: The arguments of ``gym.make`` that error messages show, the id in quotes first.
    """

    recipe: Recipe
    protocol: Protocol
    runtime: Runtime
    num_classes: int
    candidates: int
    spelling: str

    @cached_property
    def offers(self) -> frozenset[str]:
        """What these views can give."""
        return needs.offers(self.recipe, self.protocol)


class ScoredImages:
    """Images together with what the current classifier says of them; computed when asked for, once per cycle.

    Every method takes ``indices``, int64 (n,) positions in the set (None for all of them), and returns tensors
    on the environment's device; what is written into them changes nothing else.

    Raises:
        InvalidQuery: By every method, where ``indices`` are not whole numbers of shape (n,) within the set.
    """

    def __init__(
        self, facts: Facts, learner: Learner, images: ImageSet, costs: dict[str, float] | None = None
    ) -> None:
        """Binds a learner to a set of images.

        Args:
            facts: What all views of the environment have in common.
            learner: Gives the scores.
            images: The set.
            costs: Where seconds and images of inference are added up; None = a record of its own.
        """
        self._facts = facts
        self._learner = learner
        self._images = images
        self._costs: dict[str, float] = {} if costs is None else costs
        self._scores: dict[str, Tensor] = {}  # (N, ...) by name; allocated once, valid where ``_scored``

    def _forget(self, cycle: int) -> None:
        """Makes all scores invalid; called before the first use, and when the classifier has changed."""
        self._cycle = cycle
        self._scored: dict[bool, Tensor] = {}  # without and with feature maps, bool (N,)

    @property
    def offers(self) -> frozenset[str]:
        """Names of the methods and attributes that this environment can answer; see ``alenv.offers``."""
        return self._facts.offers

    @property
    def runtime(self) -> Runtime:
        """Device, precision and threads of the environment."""
        return self._facts.runtime

    @property
    def device(self) -> torch.device:
        """Where tensors are returned."""
        return self._images.device

    def __len__(self) -> int:
        return len(self._images)

    def _tensor(self, indices: IndicesLike | None) -> Tensor:
        device = self._images.device
        if indices is None:
            return torch.arange(len(self), device=device)
        if isinstance(indices, Tensor):
            tensor = indices.to(device)
            whole = not (tensor.is_floating_point() or tensor.is_complex() or tensor.dtype == torch.bool)
        else:
            try:
                array = np.asarray(indices)
            except (TypeError, ValueError) as error:
                raise InvalidQuery(
                    f"Indices that are no array were given ({error}); give whole numbers."
                ) from error
            whole = np.issubdtype(array.dtype, np.integer) or (isinstance(indices, list) and not indices)
            # A copy: torch warns of arrays that cannot be written to, and ``unlabeled`` is one.
            tensor = torch.from_numpy(array.astype(np.int64) if whole else np.empty(array.shape)).to(device)
        if tensor.ndim != 1 or not whole:
            kind = indices.dtype if isinstance(indices, (Tensor, np.ndarray)) else type(indices).__name__
            raise InvalidQuery(
                f"Indices of shape {tuple(tensor.shape)} and type {kind} were given; give whole numbers of "
                "shape (n,)."
            )
        tensor = tensor.long()
        if len(tensor) and not 0 <= int(tensor.min()) <= int(tensor.max()) < len(self):
            raise InvalidQuery(
                f"An index between {int(tensor.min())} and {int(tensor.max())} was given; indices go from 0 to "
                f"{len(self) - 1}."
            )
        return tensor

    def _infer(self, name: str, indices: IndicesLike | None) -> Tensor:
        wanted = self._tensor(indices)
        maps = name.startswith("map")
        with self.runtime.active():
            known = self._scored_images(maps)[wanted]
            if name not in self._scores or not known.all():
                missing = torch.unique(wanted[~known])
                self._compute(missing if len(missing) else wanted.new_zeros(1), maps)
            return self._scores[name].index_select(0, wanted)

    def _scored_images(self, maps: bool) -> Tensor:
        """Returns which images have scores of this cycle, bool (N,), without or with feature maps."""
        if maps not in self._scored:
            self._scored[maps] = torch.zeros(len(self), dtype=torch.bool, device=self._images.device)
        return self._scored[maps]

    def _compute(self, missing: Tensor, maps: bool) -> None:
        start = time.perf_counter()
        with progress("inference", len(missing)):
            found = self._learner.infer(self._images, missing, maps)
        for name, values in found.items():
            if name not in self._scores:
                self._scores[name] = values.new_empty(len(self), *values.shape[1:])
            self._scores[name][missing] = values
        for kind in {False, maps}:
            self._scored_images(kind)[missing] = True
        self._add_costs(time.perf_counter() - start, len(missing))

    def _add_costs(self, seconds: float, images: int) -> None:
        self._costs["inference_seconds"] = self._costs.get("inference_seconds", 0.0) + seconds
        self._costs["inferred_images"] = self._costs.get("inferred_images", 0.0) + images

    def require(self, names: Iterable[str]) -> None:
        """Checks that all of some names are offered.

        Raises:
            MissingHead: One is not; the message says which environment offers it.
        """
        for name in needs.missing(names, self.offers):
            raise needs.missing_head(name, self._facts.recipe, self._facts.spelling)

    def images(self, indices: IndicesLike | None = None, raw: bool = False) -> Tensor:
        """Returns normalized float32 (n, C, H, W), or with ``raw`` the stored uint8 (n, C, H, W)."""
        stored = self._images.raw(self._tensor(indices))
        return stored.permute(0, 3, 1, 2).contiguous() if raw else self._images.normalize(stored)

    def augmented(
        self,
        indices: IndicesLike | None = None,
        *,
        generator: torch.Generator,
        augmentation: Augmentation | None = None,
    ) -> Tensor:
        """Returns float32 (n, C, H, W), augmented and normalized.

        Args:
            indices: Positions (n,).
            generator: A CPU generator that draws the changes.
            augmentation: Which changes; None = those of the recipe.
        """
        stored = self._images.raw(self._tensor(indices))
        chosen = augmentation or Augmentation.of(self._facts.recipe)
        return self._images.augmented(stored, chosen, generator)

    def features(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns raw penultimate features, float32 (n, D); the embedding for a linear head."""
        if self._learner.frozen_features:
            return self.embedding(indices)
        return self._infer("features", indices)

    def logits(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns logits, float32 (n, C)."""
        return self._infer("logits", indices)

    def probabilities(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns softmax probabilities, float32 (n, C)."""
        return self.logits(indices).softmax(1)

    def member_probabilities(self, members: int | None = None, indices: IndicesLike | None = None) -> Tensor:
        """Returns the class probabilities of several networks, float32 (T, n, C); the same in all calls of a cycle.

        With ``ensemble`` they are those of its networks, each without dropout; otherwise each is the network under
        one dropout mask, which all images share.

        Args:
            members: T, at least 1; fewer than the networks of an ensemble are its first ones. None = all of an
                ensemble, or 10 dropout masks.
            indices: Positions (n,).

        Raises:
            MissingHead: The recipe has no members.
            InvalidQuery: ``members`` is not a whole number of at least 1, or an ensemble has fewer.

        Source: Gal and Ghahramani 2016; only dropout is in training mode, BatchNorm stays in eval mode. Beluch et al.
        2018 for ensembles.
        """
        self.require(["members"])
        whole = isinstance(members, (int, np.integer)) and not isinstance(members, bool)
        if members is not None and (not whole or members < 1):
            raise InvalidQuery(f"{members!r} members were asked for; ask for a whole number of at least 1.")
        wanted, start = self._tensor(indices), time.perf_counter()
        with self.runtime.active(), progress("inference", len(wanted)):
            count = None if members is None else int(members)
            found = self._learner.members(self._images, wanted, count, self._cycle)
        self._add_costs(time.perf_counter() - start, len(wanted))
        return found

    def feature_maps(self, indices: IndicesLike | None = None) -> list[Tensor]:
        """Returns up to four spatially averaged stage outputs, a list of float32 (n, c).

        Raises:
            MissingHead: The recipe trains no network.
        """
        self.require(["feature_maps"])
        first = self._infer("map0", indices)
        rest = [name for name in sorted(self._scores) if name.startswith("map") and name != "map0"]
        return [first, *(self._infer(name, indices) for name in rest)]

    def predicted_loss(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns the loss module's prediction, float32 (n,), higher for images expected to be wrong.

        Raises:
            MissingHead: The recipe trains no loss module.
        """
        self.require(["predicted_loss"])
        return self._infer("predicted_loss", indices)

    def labeled_score(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns the discriminator's score, float32 (n,), higher for images that look labeled.

        Raises:
            MissingHead: The recipe trains no discriminator.
        """
        self.require(["labeled_score"])
        return self._infer("labeled_score", indices)

    def embedding(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns the frozen, label-free representation, float32 (n, D).

        Raises:
            MissingHead: The recipe names none.
        """
        self.require(["embedding"])
        assert self._images.embedding is not None, "the recipe names one"
        return self._images.embedding.index_select(0, self._tensor(indices))
