"""What the environment shows at every step: fixed shapes, finite bounds, the same numbers as the view."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

STATS_SIZE = 27
PROGRESS_SIZE = 7
SCORE_BOUND = 100.0  # predicted losses and labeled scores are clipped to +-100 so that the space is bounded
DECILES = torch.arange(1, 11, dtype=torch.float32) / 10

Float32 = NDArray[np.float32]


def space(
    kind: str,
    *,
    pool_size: int,
    candidates: int,
    feature_size: int,
    num_classes: int,
    scores: tuple[str, ...],
) -> spaces.Space[Any]:
    """Returns the observation space of ``observe=kind``.

    Args:
        kind: ``"candidates"``, ``"stats"`` or ``"progress"``.
        pool_size: N.
        candidates: K.
        feature_size: D.
        num_classes: C.
        scores: Names of the joint objective's scores.
    """
    if kind == "stats":
        return spaces.Box(-1, 1, (STATS_SIZE,), np.float32)
    if kind == "progress":
        return spaces.Box(-1, 1, (PROGRESS_SIZE,), np.float32)
    parts: dict[str, spaces.Space[Any]] = {
        "stats": spaces.Box(-1, 1, (STATS_SIZE,), np.float32),
        "indices": spaces.Box(0, pool_size - 1, (candidates,), np.int64),
        "features": spaces.Box(-1, 1, (candidates, feature_size), np.float32),
        "probabilities": spaces.Box(0, 1, (candidates, num_classes), np.float32),
    }
    for name in scores:
        parts[name] = spaces.Box(-SCORE_BOUND, SCORE_BOUND, (candidates,), np.float32)
    return spaces.Dict(parts)


def progress(
    done: Any,
    bought: Any,
    accuracies: tuple[Any, Any],
    class_counts: NDArray[Any],
    classes: NDArray[np.bool_] | None = None,
) -> Float32:
    """Returns float32 (..., 7), which needs no inference on the pool; of one episode, or of several.

    Args:
        done: Cycle / T.
        bought: Labels bought / labels at the end.
        accuracies: Validation accuracy now and one cycle before; zeros without a split.
        class_counts: int64 (..., C), labels bought of each class.
        classes: bool (..., C), which of them an episode has; None = all.

    In order: ``done``, ``bought``, both ``accuracies``; least, largest and normalized entropy of the labeled class
    shares (0 without labels).
    """
    shares = class_counts / class_counts.sum(-1, keepdims=True).clip(1)
    terms = shares * np.log(np.where(shares > 0, shares, 1))
    entropy = -terms.sum(-1) / np.log(class_counts.shape[-1] if classes is None else classes.sum(-1))
    least = shares.min(-1) if classes is None else np.where(classes, shares, 1.0).min(-1)
    parts = [done, bought, *accuracies, least, shares.max(-1), entropy]
    return (
        np.stack([np.broadcast_to(part, entropy.shape) for part in parts], -1).astype(np.float32).clip(-1, 1)
    )


def stats(progressed: Float32, probabilities: Tensor, classes: Tensor | None = None) -> Float32:
    """Returns float32 (..., 27): ``progress``, then ten deciles of margin and ten of entropy / log C.

    Args:
        progressed: float32 (..., 7), from ``progress``.
        probabilities: float32 (..., K, C) of the candidates.
        classes: float32 (..., 1), how many of the C classes an episode has; None = all.
    """
    top = probabilities.topk(2, dim=-1).values
    largest = np.log(probabilities.shape[-1]) if classes is None else classes.log()
    entropy = torch.special.entr(probabilities).sum(-1) / largest
    spread = torch.stack([top[..., 0] - top[..., 1], entropy], -2)  # (..., 2, K)
    deciles = spread.quantile(DECILES.to(spread.device), dim=-1).movedim(0, -1).flatten(-2)
    return np.concatenate([progressed, bounded(deciles, 1.0, 0.0)], -1)


def candidates(
    summary: Float32,
    indices: NDArray[np.int64],
    features: Tensor,
    probabilities: Tensor,
    scores: dict[str, Tensor],
) -> dict[str, NDArray[Any]]:
    """Returns the observation of K candidates; see ``space``.

    Args:
        summary: float32 (27,), from ``stats``.
        indices: int64 (K,) pool indices.
        features: float32 (K, D), raw.
        probabilities: float32 (K, C).
        scores: float32 (K,) by the name of each score of the joint objective.
    """
    unit = torch.nn.functional.normalize(features, dim=1)
    return {
        "stats": summary,
        "indices": np.array(indices),
        "features": bounded(unit, 1.0, -1.0),
        "probabilities": bounded(probabilities, 1.0, 0.0),
        **{name: bounded(values, SCORE_BOUND, -SCORE_BOUND) for name, values in scores.items()},
    }


def bounded(values: Tensor, most: float, least: float) -> Float32:
    """Returns values as an array of numbers from ``least`` to ``most``."""
    # A diverged classifier gives NaN; an observation stays inside its space all the same.
    return values.nan_to_num(0.0).clamp(least, most).cpu().numpy().astype(np.float32)
