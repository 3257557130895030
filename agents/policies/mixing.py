"""An environment in which a policy weighs scores of candidates against each other."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from agents.base import Indices, best
from agents.policies.wrapping import Float32, PolicyEnv, chosen_scores
from alenv import STATS_SIZE, View, descriptors
from alenv.errors import UnknownName, unknown
from alenv.seeding import Purpose, torch_stream

DEFAULT_SCORES = ("log_margin", "entropy", "log_leverage", "typicality", "uncertain_gain_median")


class MixScores(PolicyEnv):
    """A step weighs scores of the candidates; the B with the highest weighted sum are the query.

    The scores are descriptors of ``alenv.descriptors``: standardized within the candidates, so that a weight means the
    same in every cycle and for every dataset. Ties are broken at random. Nothing keeps the B apart from each other.

    Observation: ``stats``, float32 (S,) in [-1, 1], whatever the environment itself shows.

    Action: float32 (M,) in [-1, 1], a weight per score; numbers outside count as the nearest inside.

    Reward, info, episode end: the environment's.

    Trains with PPO, A2C or SAC, ``"MlpPolicy"``.
    """

    def __init__(self, env: gym.Env[Any, Any], scores: Sequence[str] = DEFAULT_SCORES) -> None:
        """Wraps an environment of alenv.

        Args:
            env: The environment.
            scores: M names from ``alenv.descriptors.NAMES``.

        Raises:
            UnknownName: There is no such score, or none was given.
        """
        self._names = checked_scores(scores)
        super().__init__(env, scores=list(scores))
        self.action_space = spaces.Box(-1, 1, (len(scores),), np.float32)
        self.observation_space = spaces.Box(-1, 1, (STATS_SIZE,), np.float32)

    def step(self, action: Any) -> tuple[Float32, float, bool, bool, dict[str, Any]]:
        """Queries the candidates with the highest weighted sum of scores.

        Raises:
            EpisodeOver: The budget is spent.
            InvalidQuery: The action is not one finite number per score; the state is unchanged.
        """
        weights = chosen_scores(action, len(self._names), "score")
        inside = self.inside
        inside.check_budget()
        stream = torch_stream(inside.key, Purpose.AGENT, inside.view.cycle)
        with inside.runtime.active():
            query = mixed_query(inside.view, self._names, weights, stream)
        _, reward, terminated, truncated, info = self.env.step(query)
        return self._observation(), float(reward), terminated, truncated, info

    def _observation(self) -> Float32:
        return np.array(self.view.observation("stats"), dtype=np.float32)


def checked_scores(scores: Any) -> tuple[str, ...]:
    """Returns names of descriptors.

    Raises:
        UnknownName: One does not exist, or there is none.
    """
    if isinstance(scores, str) or not isinstance(scores, Sequence) or not scores:
        raise UnknownName(
            f"scores={scores!r} was given; give a list of at least one descriptor, such as ['log_margin']."
        )
    for name in scores:
        if name not in descriptors.NAMES:
            raise unknown("descriptor", name, descriptors.NAMES)
    return tuple(scores)


def mixed_query(view: View, names: tuple[str, ...], weights: Float32, generator: torch.Generator) -> Indices:
    """Returns the B candidates with the highest weighted sum of scores, int64 (B,).

    Args:
        view: What may be read.
        names: M descriptors.
        weights: float32 (M,).
        generator: Breaks ties.
    """
    columns = [descriptors.NAMES.index(name) for name in names]
    scores = view.descriptors().candidates[:, columns] @ torch.from_numpy(weights).to(view.device)
    return top_candidates(view, scores, generator)


def top_candidates(view: View, scores: torch.Tensor, generator: torch.Generator) -> Indices:
    """Returns the B highest-scored of this cycle's candidates, each once, int64 (B,).

    Where fewer than B differ (the pool is nearly spent), the rest is unlabeled images at random.

    Args:
        view: What may be read.
        scores: (K,), higher = wanted.
        generator: Breaks ties, and draws the rest.
    """
    return filled(view, ranked(view.candidates, scores, generator)[: view.query_size], generator)


def ranked(candidates: Indices, scores: torch.Tensor, generator: torch.Generator) -> Indices:
    """Returns distinct candidates, the highest-scored first, int64 (at most K,).

    Args:
        candidates: int64 (K,).
        scores: (K,), higher = wanted.
        generator: Breaks ties.
    """
    ordered = candidates[best(scores, len(scores), generator).numpy()]
    distinct: Indices = ordered[np.sort(np.unique(ordered, return_index=True)[1])]
    return distinct


def filled(view: View, chosen: Indices, generator: torch.Generator) -> Indices:
    """Returns distinct unlabeled images, int64 (B,): those ``chosen``, and where they are too few, others at random."""
    missing = view.query_size - len(chosen)
    if not missing:
        return chosen
    others = np.setdiff1d(view.unlabeled, chosen)
    drawn = torch.randperm(len(others), generator=generator)[:missing].numpy()
    return np.concatenate([chosen, others[drawn]])
