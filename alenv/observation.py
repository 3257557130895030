"""What the environment shows at every step: fixed shapes, finite bounds, the same numbers as the view."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray
from torch import Tensor

from alenv.view import View

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


def observe(view: View, kind: str, cycles: int, total: int, scores: tuple[str, ...]) -> Any:
    """Builds the observation of the current cycle.

    Args:
        view: The pool.
        kind: ``"candidates"``, ``"stats"`` or ``"progress"``.
        cycles: T.
        total: Labels at the end of the episode.
        scores: Names of the joint objective's scores.
    """
    if kind == "progress":
        return progress(view, cycles, total)
    probabilities = view.probabilities(view.candidates)
    summary = stats(view, probabilities, cycles, total)
    if kind == "stats":
        return summary
    features = torch.nn.functional.normalize(view.features(view.candidates), dim=1)
    shown = {
        "stats": summary,
        "indices": np.array(view.candidates),
        "features": _bounded(features, 1.0, -1.0),
        "probabilities": _bounded(probabilities, 1.0, 0.0),
    }
    for name in scores:
        shown[name] = _bounded(getattr(view, name)(view.candidates), SCORE_BOUND, -SCORE_BOUND)
    return shown


def progress(view: View, cycles: int, total: int) -> Float32:
    """Returns float32 (7,), which needs no inference on the pool.

    In order: cycle / T, labels bought / labels at the end, validation accuracy now and one cycle before (0
    without a split), least, largest and normalized entropy of the labeled class shares (0 without labels).
    """
    episode = view.episode
    accuracies = [0.0, 0.0]
    if view.validation is not None:
        right = episode.validation_correct
        accuracies = [right[-1] / len(view.validation), right[max(len(right) - 2, 0)] / len(view.validation)]
    counts = episode.class_counts(view.num_classes)
    shares = counts / max(counts.sum(), 1)
    positive = shares[shares > 0]
    entropy = -(positive * np.log(positive)).sum() / np.log(view.num_classes)
    done = view.cycle / max(cycles, 1)
    bought = len(episode.labeled) / max(total, 1)
    return np.array([done, bought, *accuracies, shares.min(), shares.max(), entropy], np.float32).clip(-1, 1)


def stats(view: View, probabilities: Tensor, cycles: int, total: int) -> Float32:
    """Returns float32 (27,): ``progress``, then ten deciles of margin and ten of entropy / log C.

    Args:
        view: The pool.
        probabilities: float32 (K, C) of the candidates.
        cycles: T.
        total: Labels at the end of the episode.
    """
    top = probabilities.topk(2, dim=1).values
    entropy = torch.special.entr(probabilities).sum(1) / np.log(view.num_classes)
    spread = torch.stack([top[:, 0] - top[:, 1], entropy])  # (2, K)
    deciles = spread.quantile(DECILES.to(spread.device), dim=1).T.flatten()
    return np.concatenate([progress(view, cycles, total), _bounded(deciles, 1.0, 0.0)])


def _bounded(values: Tensor, most: float, least: float) -> Float32:
    # A diverged classifier gives NaN; an observation stays inside its space all the same.
    return values.nan_to_num(0.0).clamp(least, most).cpu().numpy().astype(np.float32)
