"""The real view over planted outputs, for testing an agent in milliseconds and timing it on any pool.

Everything an agent reads comes from the environment's own code (``alenv.View``, its oracle, its checks); only
the learner is a table. Strategies of your own are tested with it as those of alenv are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv import needs
from alenv.episode import Episode
from alenv.learners import objectives
from alenv.learners.images import ImageSet
from alenv.learners.planted import PlantedLearner
from alenv.oracle import Oracle
from alenv.runtime import Runtime
from alenv.scores import Facts
from alenv.settings import Protocol, Recipe
from alenv.view import Validation, View

CLASSES = 4  # of the random pool
KEY = 0  # of the episode


@dataclass(frozen=True)
class PlantedFacts(Facts):
    """The facts of an environment that offers what was planted, whatever its recipe would offer."""

    planted: frozenset[str] = field(default_factory=frozenset)

    @property
    def offers(self) -> frozenset[str]:
        """What was planted."""
        return self.planted


def planted(
    features: Any,
    logits: Any,
    *,
    labels: NDArray[np.int64] | None = None,
    labeled: Sequence[int] = (),
    candidates: Sequence[int] | None = None,
    query_size: int = 5,
    cycle: int = 0,
    embedding: Any = None,
    feature_maps: Sequence[Tensor] = (),
    members: Tensor | None = None,
    previous: Mapping[str, Tensor] | None = None,
    scores: Mapping[str, Tensor] | None = None,
    validation: int = 0,
    images: NDArray[np.uint8] | None = None,
    frozen_features: bool = False,
    recipe: Recipe | None = None,
) -> View:
    """Returns a view of N images whose scores are planted.

    Args:
        features: float (N + V, D); the last V rows are those of the validation split.
        logits: float (N + V, C).
        labels: int64 (N + V,); None = all 0.
        labeled: Pool indices that are bought, in order.
        candidates: Pool indices shown as candidates; None = all that are unlabeled.
        query_size: B.
        cycle: Queries answered so far.
        embedding: float (N + V, E), or None.
        feature_maps: float (N + V, c) each.
        members: Probabilities (T, N + V, C), or None.
        previous: What the classifier of the cycle before gave, by name (``"logits"``, ``"features"``); with it the
            view has a ``previous``, from cycle 1 on.
        scores: float (N + V,) by name, for instance ``"predicted_loss"``.
        validation: V.
        images: uint8 (N + V, H, W, 1); None = noise of 8x8.
        frozen_features: Whether the features are the embedding (as a linear head's are), which spares a copy.
        recipe: What ``view.recipe`` shows; None = the default.
    """
    features = torch.as_tensor(features, dtype=torch.float32)
    logits = torch.as_tensor(logits, dtype=torch.float32)
    count, pool, classes = len(features), len(features) - validation, logits.shape[1]
    labels = np.zeros(count, dtype=np.int64) if labels is None else np.asarray(labels, dtype=np.int64)
    if images is None:
        random = np.random.default_rng(0)
        images = random.integers(0, 256, (count, 8, 8, 1), dtype=np.uint8)
    frozen = (
        features.numpy()
        if frozen_features
        else None
        if embedding is None
        else np.asarray(embedding, np.float32)
    )
    learner = PlantedLearner(
        features,
        logits,
        feature_maps=feature_maps,
        members=members,
        scores=scores,
        frozen_features=frozen_features,
    )
    bought = np.array(labeled, dtype=np.int64)
    initial = len(bought) - cycle * query_size
    protocol = Protocol(
        initial_size=max(initial, 0),
        query_size=query_size,
        budget=(cycle + 1) * query_size,
        validation=validation,
    )
    facts = PlantedFacts(
        recipe or Recipe(embedding=None if frozen is None else "pixels"),
        protocol,
        Runtime("cpu", "fp32", torch.get_num_threads()),
        classes,
        max(1, len(candidates) if candidates is not None else pool - len(bought)),
        '"ALPlanted-v0"',
        _offered(frozen, feature_maps, members, scores, validation),
    )
    stored = torch.from_numpy(np.array(images))
    everything = np.arange(count)
    oracle = Oracle(labels[:pool], classes, 0.0)
    oracle.begin(KEY)
    costs: dict[str, float] = {}
    split = None
    if validation:
        held_out = ImageSet(stored, everything[pool:], (0.5,), (0.25,), frozen)
        split = Validation(labels[pool:], facts, learner, held_out, costs)
    of_pool = ImageSet(stored, everything[:pool], (0.5,), (0.25,), frozen)
    view = View(facts, learner, of_pool, oracle=oracle, validation=split, costs=costs)
    right = (0,) * (cycle + 1)
    episode = Episode(KEY, bought, oracle.reveal(bought), max(initial, 0), right, right if validation else ())
    shown = np.setdiff1d(np.arange(pool), bought) if candidates is None else np.array(candidates, np.int64)
    shown.setflags(write=False)
    view._renew(episode, dict(previous) if previous is not None and cycle else None, shown)
    return view


def _offered(
    embedding: NDArray[np.float32] | None,
    feature_maps: Sequence[Tensor],
    members: Tensor | None,
    scores: Mapping[str, Tensor] | None,
    validation: int,
) -> frozenset[str]:
    given = {
        "classifier": True,
        "embedding": embedding is not None,
        "feature_maps": bool(feature_maps),
        "members": members is not None,
        "validation": validation > 0,
    }
    trained = {name for score in scores or {} for name in objectives.providing(score)}
    return needs.ALWAYS | {name for name, there in given.items() if there} | frozenset(scores or {}) | trained


def random_pool(
    n: int = 200, classes: int = CLASSES, width: int = 6, seed: int = 0, validation: int = 20, **given: Any
) -> View:
    """Returns a view of a random pool that offers everything.

    Args:
        n: N.
        classes: C.
        width: D.
        seed: Of everything random.
        validation: V.
        **given: Arguments of ``planted`` that replace the random ones, by pool index alone.
    """
    generator = torch.Generator().manual_seed(seed)

    def drawn(*shape: int) -> Tensor:
        return torch.randn(*shape, generator=generator)

    size = n + validation
    options: dict[str, Any] = {
        "features": drawn(n, width).relu(),
        "logits": 3 * drawn(n, classes),
        "scores": {"predicted_loss": drawn(n), "labeled_score": drawn(n)},
        "labels": np.random.default_rng(seed).integers(classes, size=size),
        "labeled": range(0, 30, 3),
        "members": (3 * drawn(5, size, classes)).softmax(2),
        "feature_maps": [drawn(size, 3), drawn(size, 5)],
        "embedding": torch.nn.functional.normalize(drawn(size, width), dim=1),
        "validation": validation,
        **given,
    }
    for name in ("features", "logits"):
        options[name] = torch.as_tensor(options[name], dtype=torch.float32)
        rest = drawn(size - len(options[name]), options[name].shape[1])
        options[name] = torch.cat([options[name], rest])
    options["scores"] = {
        name: torch.cat([values, drawn(size - len(values))]) for name, values in options["scores"].items()
    }
    if options["members"] is not None:
        known = torch.as_tensor(options["members"], dtype=torch.float32)
        rest = drawn(len(known), size - known.shape[1], known.shape[2]).softmax(2)
        options["members"] = torch.cat([known, rest], dim=1)
    return planted(options.pop("features"), options.pop("logits"), **options)
