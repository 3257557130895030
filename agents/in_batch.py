"""Any agent in all episodes of a batched environment."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from agents.base import Agent, Strategy, feedback
from agents.making import make
from agents.spelling import parse
from alenv.errors import UnknownName

if TYPE_CHECKING:
    from alenv import BatchedEnv


class InBatch:
    """An agent that queries for every episode of a ``BatchedEnv``, as it would in an environment of its own.

    Agents that can choose for all episodes at once do (``Agent.act_in_batch``); of others there is one per episode,
    which reads the view of its own. The seed of each is its episode's key, and each starts anew with an episode. Agents
    that learn while they play stay as they are unless ``update`` tells them what they earned.

    Args:
        text: How the agent is spelled; see ``agents.make``.
        env: The environment, without wrappers.
        make: Makes the agent of a spelling.

    Raises:
        UnknownName: There is no such agent.
        MissingHead: At ``act``: the recipe does not offer what the agent needs.
    """

    def __init__(self, text: str, env: BatchedEnv, make: Callable[[str], Agent] = make) -> None:
        self._text, self._env, self._make = text, env, make
        self._all = make(text)
        if self._all.ceiling:
            self._all.lend(env)
        self._each: list[Agent] = []
        self._begun: list[int | None] = [None] * env.num_envs  # keys of the episodes that the agents play

    def act(self, which: NDArray[np.int64] | None = None) -> NDArray[np.int64]:
        """Returns a query for every episode, int64 (E, B), or for some.

        Args:
            which: int64 (n,), the episodes that are asked for; None = all.

        Raises:
            InvalidQuery: An episode has fewer than B unlabeled images left.
        """
        env, keys = self._env, self._env.keys
        env.view(0).require(self._all.needs)
        found = self._all.act_in_batch(env.batch, keys)
        if found is not None:
            return found if which is None else found[which]
        if not self._each:
            self._each = [self._make(self._text) for _ in keys]
        queries, cycles = [], env.batch.cycle
        for i in range(len(keys)) if which is None else which.tolist():
            agent = self._each[i]
            if cycles[i] == 0 or self._begun[i] != keys[i]:
                agent.reset(env.view(i), seed=keys[i])
                self._begun[i] = keys[i]
            query = agent.act(None)
            queries.append(
                np.pad(query, (0, env.batch.query_size - len(query)))
            )  # what a task of its own leaves out
        return np.stack(queries)

    def update(self, which: NDArray[np.int64], rewards: NDArray[Any], info: dict[str, Any]) -> None:
        """Tells agents that play by themselves what their last queries earned; others do not listen.

        Args:
            which: int64 (n,), the episodes.
            rewards: (E,), as ``step`` returned them.
            info: The environment's, of all episodes.
        """
        for i in which.tolist() if self._each else ():
            told = {name[1:]: info[name[1:]][i] for name in info if name.startswith("_") and info[name][i]}
            self._each[i].update(*feedback(float(rewards[i]), told))


def among_candidates(spelling: str) -> str:
    """Returns the spelling with which a strategy chooses from the candidates.

    Raises:
        UnknownName: There is no such agent or option, or it is no strategy.
    """
    if not isinstance(make(spelling), Strategy):
        raise UnknownName(f"{spelling} is no strategy, so it chooses from no candidates; leave it out.")
    return spelling if "pool" in parse(spelling).options else f"{spelling}:pool=candidates"
