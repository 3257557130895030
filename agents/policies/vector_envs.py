"""Environments for policies that play many episodes as one computation."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv, VectorWrapper
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray

from agents.base import Indices
from agents.compose import made_inside
from agents.in_batch import InBatch
from agents.policies.candidates import TopOfCandidates, described_space, sizes, wrong_positions
from agents.policies.choosing import DEFAULT_STRATEGIES, ChooseStrategy, Strategies, checked_strategies
from agents.policies.mixing import DEFAULT_SCORES, MixScores, checked_scores, filled, ranked
from agents.policies.wrapping import PolicyEnv, as_array, chosen_scores
from alenv import STATS_SIZE, BatchedEnv, Query, descriptors
from alenv.errors import InvalidQuery, UnknownName
from alenv.seeding import Purpose, torch_stream


class VectorPolicyEnv(VectorWrapper[Any, Any, Any, Any, NDArray[Any]], gym.utils.RecordConstructorArgs):
    """E episodes of a batched environment with the actions and observations of a policy; subclasses say which.

    Episode i is that of the wrapper for one environment with the same seed, up to rounding in float32. Episodes that
    have ended are begun anew by ``reset(options={"reset_mask": m})``, as ``agents.as_sb3`` does it.

    Attributes:
        single: The wrapper for one environment; what trains here is saved as a policy of that.
        inside: The environment without wrappers.
    """

    single: ClassVar[type[PolicyEnv]]

    def __init__(self, env: VectorEnv[Any, Any, Any], **arguments: Any) -> None:
        """Wraps what ``gym.make_vec`` makes of a ridge environment; ``arguments`` are those of the subclass.

        Raises:
            UnknownName: It is another environment, or one that begins episodes by itself.
        """
        gym.utils.RecordConstructorArgs.__init__(self, **arguments)
        inside = env.unwrapped
        if not isinstance(inside, BatchedEnv) or inside.metadata["autoreset_mode"] != AutoresetMode.DISABLED:
            raise UnknownName(
                f"{env} was given to {type(self).__name__}; give what gym.make_vec makes of an environment with a "
                "ridge head and autoreset_mode='Disabled'."
            )
        VectorWrapper.__init__(self, env)
        self.inside = inside

    def _show(self, actions: spaces.Space[Any], observations: spaces.Space[Any]) -> None:
        """Takes the spaces of one episode."""
        self.single_action_space, self.single_observation_space = actions, observations
        self.action_space = batch_space(actions, self.num_envs)
        self.observation_space = batch_space(observations, self.num_envs)

    def reset(self, *, seed: Any = None, options: dict[str, Any] | None = None) -> tuple[Any, dict[str, Any]]:
        """Starts episodes; see ``BatchedEnv.reset``."""
        _, info = self.env.reset(seed=seed, options=options)
        return self._observation(), info

    def step(self, actions: Any) -> tuple[Any, NDArray[Any], NDArray[Any], NDArray[Any], dict[str, Any]]:
        """Makes the query of every episode that its action stands for.

        Raises:
            EpisodeOver: The budget of an episode is spent.
            InvalidQuery: An action is not one of the space; all episodes are as they were.
        """
        self.inside.check_budget()
        with self.inside.runtime.active():
            queries = self._queries(as_array(actions))
        _, rewards, terminated, truncated, info = self.env.step(queries)
        self._earned(rewards, info)
        return self._observation(), rewards, terminated, truncated, info

    @abstractmethod
    def _queries(self, actions: Any) -> Indices:
        """Returns queries (E, B)."""

    def _earned(self, rewards: NDArray[Any], info: dict[str, Any]) -> None:
        """Is told what the queries earned."""

    def _observation(self) -> Any:
        return self.inside.observation("stats")

    def _check_count(self, actions: Any) -> None:
        if np.shape(actions)[:1] != (self.num_envs,):
            raise InvalidQuery(
                f"Actions of shape {np.shape(actions)} were given; give one for each of {self.num_envs} episodes."
            )


class VectorChooseStrategy(VectorPolicyEnv):
    """``ChooseStrategy`` in many episodes: each action (E,) names the strategy of its episode.

    Strategies that choose for all episodes at once are asked once; of the others each episode has its own.
    """

    single = ChooseStrategy

    def __init__(self, env: VectorEnv[Any, Any, Any], strategies: Sequence[str] = DEFAULT_STRATEGIES) -> None:
        """Wraps an environment.

        Args:
            env: See ``VectorPolicyEnv``.
            strategies: M spellings of agents.

        Raises:
            UnknownName: A strategy does not exist, or there is none.
        """
        names = checked_strategies(strategies)
        super().__init__(env, strategies=names)
        self._players = [InBatch(name, self.inside, made_inside) for name in names]
        self._chosen: NDArray[Any] = np.zeros(self.num_envs, dtype=np.int64)
        self._show(Strategies(names), spaces.Box(-1, 1, (STATS_SIZE,), np.float32))

    def _queries(self, actions: Any) -> Indices:
        self._check_count(actions)
        if not self.action_space.contains(actions):
            raise InvalidQuery(
                f"Strategies {actions!r} were chosen; give whole numbers from 0 to {len(self._players) - 1}."
            )
        self._chosen = actions
        queries = np.zeros((self.num_envs, self.inside.protocol.query_size), dtype=np.int64)
        for number in np.unique(actions).tolist():
            which = np.flatnonzero(actions == number)
            queries[which] = self._players[number].act(which)
        return queries

    def _earned(self, rewards: NDArray[Any], info: dict[str, Any]) -> None:
        for number in np.unique(self._chosen).tolist():
            self._players[number].update(np.flatnonzero(self._chosen == number), rewards, info)


class VectorMixScores(VectorPolicyEnv):
    """``MixScores`` in many episodes: each action, a row of (E, M), weighs the scores of its episode."""

    single = MixScores

    def __init__(self, env: VectorEnv[Any, Any, Any], scores: Sequence[str] = DEFAULT_SCORES) -> None:
        """Wraps an environment.

        Args:
            env: See ``VectorPolicyEnv``.
            scores: M names from ``alenv.descriptors.NAMES``.

        Raises:
            UnknownName: There is no such score, or none was given.
        """
        self._columns = [descriptors.NAMES.index(name) for name in checked_scores(scores)]
        super().__init__(env, scores=list(scores))
        self._show(
            spaces.Box(-1, 1, (len(scores),), np.float32), spaces.Box(-1, 1, (STATS_SIZE,), np.float32)
        )

    def _queries(self, actions: Any) -> Indices:
        self._check_count(actions)
        weights = torch.from_numpy(
            np.stack([chosen_scores(each, len(self._columns), "score") for each in actions])
        )
        inside, batch = self.inside, self.inside.batch
        shown = batch.descriptors().candidates[:, :, self._columns]
        scores = (shown @ weights.to(shown)[:, :, None])[:, :, 0].cpu()
        candidates, cycles, sizes = batch.candidates, batch.cycle, batch.query_sizes
        queries = np.zeros((self.num_envs, batch.query_size), dtype=np.int64)
        for i, (key, size) in enumerate(zip(inside.keys, sizes.tolist(), strict=True)):
            stream = torch_stream(key, Purpose.AGENT, int(cycles[i]))
            chosen = ranked(candidates[i], scores[i], stream)[:size]
            queries[i, :size] = chosen if len(chosen) == size else filled(inside.view(i), chosen, stream)
        return queries


class VectorTopOfCandidates(VectorPolicyEnv):
    """``TopOfCandidates`` in many episodes: each action, a row of (E, B), names positions among its candidates."""

    single = TopOfCandidates

    def __init__(self, env: VectorEnv[Any, Any, Any]) -> None:
        """Wraps an environment; see ``VectorPolicyEnv``.

        Raises:
            InvalidQuery: The environment shows fewer candidates than a query takes.
        """
        super().__init__(env)
        self._sizes = sizes(self.inside)
        self._show(Query(*self._sizes), described_space(self._sizes[0]))

    def _queries(self, actions: Any) -> Indices:
        self._check_count(actions)
        for each in actions:
            if not self.single_action_space.contains(each):
                raise wrong_positions(each, self._sizes)
        return np.take_along_axis(self.inside.batch.candidates, actions, axis=1)

    def _observation(self) -> Any:
        found = self.inside.batch.descriptors()
        return {name: part.cpu().numpy() for name, part in found._asdict().items()}


VECTOR_ENVS: dict[type[PolicyEnv], type[VectorPolicyEnv]] = {
    kind.single: kind for kind in (VectorChooseStrategy, VectorMixScores, VectorTopOfCandidates)
}
