"""Environments in which a policy sees the candidates themselves, and chooses or scores them."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces

from agents.policies.mixing import top_candidates
from agents.policies.wrapping import Float32, PolicyEnv, as_array, chosen_scores
from alenv import ActiveLearningEnv, BatchedEnv, MixEnv, Query, View, descriptors
from alenv.errors import InvalidQuery
from alenv.seeding import Purpose, torch_stream

Shown = dict[str, Float32]


class DescribeCandidates(PolicyEnv):
    """Shows what describes this cycle's candidates, in numbers that mean the same for every dataset.

    Observation: a Dict of ``candidates``, float32 (K, 29) in [-3, 3], a row per candidate in the order of
    ``view.candidates``, and ``context``, float32 (8,) in [-10, 10]; see ``alenv.descriptors``.

    Action, reward, info, episode end: the environment's.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Wraps an environment of alenv."""
        super().__init__(env)
        self.observation_space = described_space(candidate_count(self.inside))

    def step(self, action: Any) -> tuple[Shown, float, bool, bool, dict[str, Any]]:
        """Makes the query that the action stands for.

        Raises:
            EpisodeOver: The budget is spent.
            InvalidQuery: The action is not one of the space; the state is unchanged.
        """
        self.inside.check_budget()
        _, reward, terminated, truncated, info = self.env.step(self._query(action))
        return self._observation(), float(reward), terminated, truncated, info

    def _query(self, action: Any) -> Any:
        return action

    def _observation(self) -> Shown:
        return described(self.view)


def described(view: View) -> Shown:
    """Returns the observation of ``DescribeCandidates``."""
    return {name: part.cpu().numpy() for name, part in view.descriptors()._asdict().items()}


def described_space(candidates: int, extra: int = 0) -> spaces.Dict:
    """Returns the space of ``DescribeCandidates`` for K candidates.

    Args:
        candidates: K.
        extra: Columns behind the descriptors.
    """
    width = len(descriptors.NAMES) + extra
    most = descriptors.CONTEXT_BOUND
    return spaces.Dict(
        {
            "candidates": spaces.Box(-descriptors.BOUND, descriptors.BOUND, (candidates, width), np.float32),
            "context": spaces.Box(-most, most, (len(descriptors.CONTEXT),), np.float32),
        }
    )


class TopOfCandidates(DescribeCandidates):
    """A step names B of the K candidates shown.

    Observation: as ``DescribeCandidates``.

    Action: ``Query(K, B)``, a MultiDiscrete: int64 (B,) distinct positions in ``candidates``, sampled without
    replacement. A repeated position is a repeated index, for which the environment has its rule (``on_invalid``).

    Reward, info, episode end: the environment's.

    Trains with PPO or A2C, ``agents.SetTopKPolicy``.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Wraps an environment of alenv.

        Raises:
            InvalidQuery: The environment shows fewer candidates than a query takes.
        """
        super().__init__(env)
        self.action_space = Query(*sizes(self.inside))

    def _query(self, action: Any) -> Any:
        positions = as_array(action)
        if not self.action_space.contains(positions):
            raise wrong_positions(action, sizes(self.inside))
        return self.view.candidates[positions]


class ScoreCandidates(DescribeCandidates):
    """A step scores the K candidates shown; the B highest are the query, equal scores in random order.

    Observation: as ``DescribeCandidates``.

    Action: float32 (K,) in [-1, 1]; numbers outside count as the nearest inside.

    Reward, info, episode end: the environment's.

    Trains with PPO or A2C, ``agents.SetGaussianPolicy``; SAC with ``"MultiInputPolicy"`` runs, but its layers are bound
    to K and to the order of the candidates, and in a few hundred steps it learned nothing where the set policy did.
    """

    def __init__(self, env: gym.Env[Any, Any]) -> None:
        """Wraps an environment of alenv.

        Raises:
            InvalidQuery: The environment shows fewer candidates than a query takes.
        """
        super().__init__(env)
        self.action_space = spaces.Box(-1, 1, (sizes(self.inside)[0],), np.float32)

    def _query(self, action: Any) -> Any:
        inside = self.inside
        scores = torch.from_numpy(chosen_scores(action, len(inside.view.candidates), "candidate"))
        stream = torch_stream(inside.key, Purpose.AGENT, inside.view.cycle)
        return top_candidates(inside.view, scores, stream)


def wrong_positions(action: Any, known: tuple[int, int]) -> InvalidQuery:
    """Returns the error of an action that names no positions; ``known`` are K and B."""
    count, size = known
    return InvalidQuery(
        f"Positions {action!r} were given; give {size} whole numbers from 0 to {count - 1} as int64."
    )


def candidate_count(env: ActiveLearningEnv | MixEnv | BatchedEnv) -> int:
    """Returns K."""
    count = env.options.candidates
    assert count is not None, "an environment resolves it"
    return count


def sizes(env: ActiveLearningEnv | MixEnv | BatchedEnv) -> tuple[int, int]:
    """Returns K and B.

    Raises:
        InvalidQuery: K is smaller.
    """
    count, size = candidate_count(env), env.protocol.query_size
    if count < size:
        raise InvalidQuery(
            f"The environment shows {count} candidates, and a query takes {size}; make it with candidates={size} or "
            "more."
        )
    return count, size
