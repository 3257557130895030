"""Images together with what the current classifier says of them."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.errors import InvalidQuery, MissingHead
from alenv.recipe import Recipe
from alenv.runtime import Runtime
from alenv.training import objectives
from alenv.training.images import Augmentation, ImageSet

IndicesLike = NDArray[Any] | Tensor | Sequence[int]


class Learner(Protocol):
    """What the environment trains: a network or a closed-form head."""

    feature_size: int
    provides: tuple[str, ...]

    def begin(self, key: int) -> None:
        """Starts an episode."""

    def fit(self, images: ImageSet, labeled: NDArray[Any], labels: NDArray[Any], cycle: int) -> None:
        """Trains one cycle on the bought labels."""

    def infer(self, images: ImageSet, indices: Tensor, maps: bool = False) -> dict[str, Tensor]:
        """Scores images."""

    def predict(self, images: ImageSet) -> Tensor:
        """Classifies a whole set."""

    def members(self, features: Tensor, count: int, cycle: int) -> Tensor:
        """Scores features under several members."""

    def copy_classifier(self) -> Any:
        """Copies the network."""

    def get_state(self) -> dict[str, Any]:
        """Copies the state."""

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores the state."""

    def fork(self, state: dict[str, Any]) -> Learner:
        """Builds another learner with a given state."""


class ScoredImages:
    """Images together with what the current classifier says of them; computed when asked for, once per cycle.

    Every method takes ``indices``, int64 (n,) positions in the set (None for all of them), and returns tensors
    on the environment's device; what is written into them changes nothing else.

    Raises:
        InvalidQuery: By every method, where ``indices`` are not whole numbers of shape (n,) within the set.
    """

    def __init__(
        self, learner: Learner, images: ImageSet, recipe: Recipe, runtime: Runtime, spelling: str
    ) -> None:
        """Binds a learner to a set of images.

        Args:
            learner: Gives the scores.
            images: The set.
            recipe: Says what the learner offers.
            runtime: Device and threads.
            spelling: The arguments of ``gym.make`` that error messages show, the id in quotes first.
        """
        self._learner = learner
        self._images = images
        self._recipe = recipe
        self._runtime = runtime
        self._spelling = spelling
        self._scores: dict[str, Tensor] = {}  # (N, ...) by name; allocated once, valid where ``_scored``
        self.costs: dict[str, float] = {}

    def _forget(self, cycle: int) -> None:
        """Makes all scores invalid; called before the first use, and when the classifier has changed."""
        self._cycle = cycle
        self._scored: dict[bool, Tensor] = {}  # without and with feature maps, bool (N,)
        self.costs.update(inference_seconds=0.0, inferred_images=0.0)

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
        with self._runtime.active():
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
        for name, values in self._learner.infer(self._images, missing, maps).items():
            if name not in self._scores:
                self._scores[name] = values.new_empty(len(self), *values.shape[1:])
            self._scores[name][missing] = values
        for kind in {False, maps}:
            self._scored_images(kind)[missing] = True
        self.costs["inference_seconds"] += time.perf_counter() - start
        self.costs["inferred_images"] += len(missing)

    def _missing(self, what: str, option: str) -> MissingHead:
        advice = f"make one with gym.make({self._spelling}, {option})"
        if self._recipe.head == "ridge":  # its head gives no score at all, whatever is set
            network = self._spelling.replace("Ridge-v", "-v")
            advice = f"train a network instead, with gym.make({network}, {option})"
        return MissingHead(f"This environment has no {what}; {advice}.")

    def images(self, indices: IndicesLike | None = None, raw: bool = False) -> Tensor:
        """Returns normalized float32 (n, C, H, W), or with ``raw`` the stored uint8 (n, C, H, W)."""
        stored = self._images.raw(self._tensor(indices))
        return stored.permute(0, 3, 1, 2).contiguous() if raw else self._images.normalize(stored)

    def augmented(self, generator: torch.Generator, indices: IndicesLike | None = None) -> Tensor:
        """Returns float32 (n, C, H, W) with the recipe's training augmentation, drawn from a CPU generator."""
        stored = self._images.raw(self._tensor(indices))
        return self._images.augmented(stored, Augmentation.of(self._recipe), generator)

    def features(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns raw penultimate features, float32 (n, D); the embedding for a linear head."""
        if self._recipe.head == "ridge":
            return self.embedding(indices)
        return self._infer("features", indices)

    def logits(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns logits, float32 (n, C)."""
        return self._infer("logits", indices)

    def probabilities(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns softmax probabilities, float32 (n, C)."""
        return self.logits(indices).softmax(1)

    def member_probabilities(self, members: int, indices: IndicesLike | None = None) -> Tensor:
        """Returns float32 (T, n, C): one dropout mask per member, the same for all images and all calls.

        Args:
            members: T, at least 1.
            indices: Positions (n,).

        Raises:
            MissingHead: The recipe has no dropout.
            InvalidQuery: ``members`` is not a whole number of at least 1.

        Source: Gal and Ghahramani 2016; only dropout is in training mode, BatchNorm stays in eval mode.
        """
        if self._recipe.head != "network" or self._recipe.dropout == 0:
            raise self._missing("members", "dropout=0.5")
        if isinstance(members, bool) or not isinstance(members, (int, np.integer)) or members < 1:
            raise InvalidQuery(f"{members!r} members were asked for; ask for a whole number of at least 1.")
        with self._runtime.active():
            return self._learner.members(self.features(indices), members, self._cycle)

    def feature_maps(self, indices: IndicesLike | None = None) -> list[Tensor]:
        """Returns up to four spatially averaged stage outputs, a list of float32 (n, c).

        Raises:
            MissingHead: The recipe trains no network.
        """
        first = self._infer("map0", indices)
        rest = [name for name in sorted(self._scores) if name.startswith("map") and name != "map0"]
        return [first, *(self._infer(name, indices) for name in rest)]

    def predicted_loss(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns the loss module's prediction, float32 (n,), higher for images expected to be wrong.

        Raises:
            MissingHead: The recipe trains no loss module.
        """
        return self._head("predicted_loss", "loss module", indices)

    def labeled_score(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns the discriminator's score, float32 (n,), higher for images that look labeled.

        Raises:
            MissingHead: The recipe trains no discriminator.
        """
        return self._head("labeled_score", "discriminator", indices)

    def _head(self, name: str, what: str, indices: IndicesLike | None) -> Tensor:
        if name not in self._learner.provides:
            offered = objectives.providing(name)
            if not offered:
                raise MissingHead(f"This environment has no {what}, and no objective gives {name} yet.")
            raise self._missing(what, f'joint="{offered[0]}"')
        return self._infer(name, indices)

    def embedding(self, indices: IndicesLike | None = None) -> Tensor:
        """Returns the frozen, label-free representation, float32 (n, D).

        Raises:
            MissingHead: The recipe names none.
        """
        if self._images.embedding is None:
            raise self._missing("embedding", 'embedding="patches"')
        return self._images.embedding.index_select(0, self._tensor(indices))
