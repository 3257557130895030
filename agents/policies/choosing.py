"""Environments in which a policy chooses among agents instead of among images."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium import spaces
from numpy.typing import NDArray

from agents.base import Agent, feedback
from agents.compose import made_inside, restore, states_of
from agents.policies.wrapping import Choices, PolicyEnv, chosen_number
from alenv import STATS_SIZE
from alenv.errors import UnknownName

Stats = NDArray[np.float32]
DEFAULT_STRATEGIES = ("random", "margin", "coreset", "badge")


class Strategies(Choices):  # noqa: PLW1641  (no space of Gymnasium has a hash)
    """One number per strategy; a model trained on it knows their names.

    Attributes:
        names: How the strategies are spelled.
    """

    def __init__(self, names: Sequence[str], seed: int | np.random.Generator | None = None) -> None:
        """Builds the space of ``len(names)`` choices."""
        self.names = tuple(names)
        super().__init__(len(self.names), seed=seed)

    def __eq__(self, other: object) -> bool:
        """Compares the names too."""
        return isinstance(other, Strategies) and self.names == other.names

    def __repr__(self) -> str:
        return f"Strategies({', '.join(self.names)})"


class ChooseStrategy(PolicyEnv):
    """A step names an agent, usually a strategy, and that one makes the query and is told what it earned.

    Observation: ``stats``, float32 (S,) in [-1, 1], whatever the environment itself shows. Make that one with
    ``observe="progress"``, so that it infers nothing of its own.

    Action: ``Strategies``, a number from 0 to M - 1.

    Reward, info, episode end: the environment's.

    Trains with PPO, A2C or DQN, ``"MlpPolicy"``.
    """

    def __init__(self, env: gym.Env[Any, Any], strategies: Sequence[str] = DEFAULT_STRATEGIES) -> None:
        """Wraps an environment of alenv.

        Args:
            env: The environment.
            strategies: M spellings of agents, for instance ``["random", "coreset+margin"]``; strategies choose
                from the candidates unless spelled otherwise (``"coreset:pool=all"``).

        Raises:
            UnknownName: A strategy does not exist, or there is none.
        """
        super().__init__(env, strategies=checked_strategies(strategies))
        self._agents: list[Agent] = [made_inside(name) for name in strategies]
        self.action_space = Strategies(strategies)
        self.observation_space = spaces.Box(-1, 1, (STATS_SIZE,), np.float32)

    def step(self, action: Any) -> tuple[Stats, float, bool, bool, dict[str, Any]]:
        """Lets strategy ``action`` make the query.

        Raises:
            EpisodeOver: The budget is spent.
            InvalidQuery: There is no strategy of that number; the state is unchanged.
        """
        choice = chosen_number(action, self.action_space, "Strategy")
        self.inside.check_budget()
        agent = self._agents[choice]
        with self.inside.runtime.active():  # with the environment's threads, not torch's
            query = agent.act(None)
        _, reward, terminated, truncated, info = self.env.step(query)
        agent.update(*feedback(float(reward), info))
        return self._observation(), float(reward), terminated, truncated, info

    def _begin(self, kept: dict[str, Any]) -> None:
        for each in self._agents:
            each.reset(self.view, seed=self.inside.key)
        restore(self._agents, kept)

    def _kept(self) -> dict[str, Any]:
        return states_of(self._agents)

    def _observation(self) -> Stats:
        return np.array(self.view.observation("stats"), dtype=np.float32)


def checked_strategies(strategies: Any) -> list[str]:
    """Returns spellings of agents.

    Raises:
        UnknownName: They are no list, or there is none.
    """
    if isinstance(strategies, str) or not isinstance(strategies, Sequence) or not strategies:
        raise UnknownName(
            f"strategies={strategies!r} was given; give a list of at least one agent, such as ['random', 'margin']."
        )
    return list(strategies)
