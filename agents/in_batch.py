"""Any agent in all episodes of a batched environment."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from agents.base import Agent, Strategy
from agents.making import make
from agents.spelling import parse
from alenv.errors import UnknownName

if TYPE_CHECKING:
    from alenv import BatchedEnv


class InBatch:
    """An agent that queries for every episode of a ``BatchedEnv``, as it would in an environment of its own.

    Agents that can choose for all episodes at once do (``Agent.act_in_batch``); of others there is one per episode,
    which reads the view of its own. The seed of each is its episode's key, and each starts anew with an episode. They
    are told no rewards, so agents that learn while they play stay as they are.

    Args:
        text: How the agent is spelled; see ``agents.make``.
        env: The environment, without wrappers.

    Raises:
        UnknownName: There is no such agent.
        MissingHead: At ``act``: the recipe does not offer what the agent needs.
    """

    def __init__(self, text: str, env: BatchedEnv) -> None:
        self._text, self._env = text, env
        self._all = make(text)
        if self._all.ceiling:
            self._all.lend(env)
        self._each: list[Agent] = []
        self._begun: list[int | None] = [None] * env.num_envs  # keys of the episodes that the agents play

    def act(self) -> NDArray[np.int64]:
        """Returns a query for every episode, int64 (E, B).

        Raises:
            InvalidQuery: An episode has fewer than B unlabeled images left.
        """
        env, keys = self._env, self._env.keys
        env.view(0).require(self._all.needs)
        found = self._all.act_in_batch(env.batch, keys)
        if found is not None:
            return found
        if not self._each:
            self._each = [make(self._text) for _ in keys]
        queries = []
        for i, (agent, key, cycle) in enumerate(zip(self._each, keys, env.batch.cycle, strict=True)):
            if cycle == 0 or self._begun[i] != key:
                agent.reset(env.view(i), seed=key)
                self._begun[i] = key
            query = agent.act(None)
            queries.append(
                np.pad(query, (0, env.batch.query_size - len(query)))
            )  # what a task of its own leaves out
        return np.stack(queries)


def among_candidates(spelling: str) -> str:
    """Returns the spelling with which a strategy chooses from the candidates.

    Raises:
        UnknownName: There is no such agent or option, or it is no strategy.
    """
    if not isinstance(make(spelling), Strategy):
        raise UnknownName(f"{spelling} is no strategy, so it chooses from no candidates; leave it out.")
    return spelling if "pool" in parse(spelling).options else f"{spelling}:pool=candidates"
