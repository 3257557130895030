"""A pool that is made up: features as after a ReLU, and the logits that go with them, under the real view."""

from __future__ import annotations

import numpy as np
import torch

from alenv import View, testbed

HELD_OUT = 50  # a pool has a validation split of one image for so many
MEMBERS = 10  # as many as there are dropout masks by default
_CHUNK = 4096  # rows planted at a time, so that building the pool leaves little behind


def synthetic_view(
    *, pool: int, features: int, classes: int, query_size: int, seed: int = 0, members: bool = True
) -> View:
    """Plants class centers and images around them.

    As many images as the query takes are labeled already; the candidates are a random part of the others, ten
    times the query. There is a validation split, and a classifier of the cycle before. The features are the embedding
    too, so that reading them copies rows and infers nothing.

    Args:
        pool: N.
        features: D.
        classes: C.
        query_size: B.
        seed: Of everything random.
        members: Whether the classifier has members, which for a large pool take far more memory than all else.
    """
    random, size = torch.Generator().manual_seed(seed), pool + pool // HELD_OUT
    centers = torch.randn(classes, features, generator=random)
    head = centers / features**0.5
    targets = torch.randint(classes, (size,), generator=random)
    planted, logits = torch.empty(size, features), torch.empty(size, classes)
    for start in range(0, size, _CHUNK):
        rows = slice(start, min(start + _CHUNK, size))
        noise = torch.randn(rows.stop - start, features, generator=random)
        planted[rows] = torch.relu(centers[targets[rows]] + 1.5 * noise)
        logits[rows] = planted[rows] @ head.T
    scores = {name: torch.rand(size, generator=random) for name in ("predicted_loss", "labeled_score")}
    before = logits + torch.randn(size, classes, generator=random)
    labels = targets.clone()
    labels[pool::10] = (
        labels[pool::10] + 1
    ) % classes  # a tenth of the split, so that there are errors to look at
    labeled = min(query_size, pool // 2)
    shuffled = np.random.default_rng(seed).permutation(np.arange(labeled, pool))
    view = testbed.planted(
        planted,
        logits,
        labels=labels.numpy(),
        labeled=range(labeled),
        candidates=shuffled[: 10 * query_size].tolist(),
        query_size=query_size,
        cycle=1,
        scores=scores,
        members=_members(logits, random) if members else None,
        feature_maps=(planted,),
        previous={"logits": before},
        validation=pool // HELD_OUT,
        frozen_features=True,
    )
    view.logits()  # inferred now: a query is timed, not the classifier
    return view


def _members(logits: torch.Tensor, random: torch.Generator) -> torch.Tensor:
    """Returns probabilities (T, n, C) around those of logits (n, C)."""
    found = torch.empty(MEMBERS, *logits.shape)
    for member in found:
        member[:] = (logits + torch.randn(logits.shape, generator=random)).softmax(1)
    return found
