"""Any agent as something that Stable-Baselines3 takes for a policy."""

from __future__ import annotations

from typing import Any

import gymnasium as gym
import numpy as np
from numpy.typing import NDArray

from agents.base import Agent, Indices
from agents.policies.wrapping import inside


class Predictor:
    """An agent with the ``predict`` method of Stable-Baselines3, for instance for ``evaluate_policy``.

    The agent starts anew at cycle 0 of every episode, with the episode's key as its seed. It is told no
    rewards, so agents that learn while they play stay as they are.

    Args:
        agent: The agent.
        env: The one environment it plays in, wrapped or not.
    """

    def __init__(self, agent: Agent, env: gym.Env[Any, Any]) -> None:
        self._agent = agent
        self._env = env
        self._key: int | None = None

    def predict(
        self,
        observation: Any,
        state: tuple[NDArray[Any], ...] | None = None,
        episode_start: NDArray[np.bool_] | None = None,
        deterministic: bool = False,
    ) -> tuple[Indices, tuple[NDArray[Any], ...] | None]:
        """Chooses the next query.

        Args:
            observation: Handed to the agent.
            state: Returned as it is.
            episode_start: Given by vector environments: the query is then returned as a batch of one.
            deterministic: Not used; the agent's seed decides.

        Returns:
            int64 (B,), or (1, B) with ``episode_start``, and ``state``.
        """
        played = inside(self._env)
        if played.view.cycle == 0 or played.key != self._key:
            self._agent.reset(played.view, seed=played.key)
            self._key = played.key
        action = self._agent.act(observation)
        return (action if episode_start is None else action[None]), state


def as_predictor(agent: Agent, env: gym.Env[Any, Any]) -> Predictor:
    """Gives an agent the ``predict`` method of Stable-Baselines3; see ``Predictor``."""
    return Predictor(agent, env)
