"""``ALMix-v0``: every episode is a task of its own, for training policies that do not depend on one."""

from __future__ import annotations

import dataclasses
from typing import Any

import gymnasium as gym
import numpy as np
from gymnasium.vector import AutoresetMode
from numpy.typing import NDArray

from alenv import observation, runtime
from alenv.batched_env import BatchedEnv, as_array, checked
from alenv.data.catalog import check_name
from alenv.errors import unknown
from alenv.mix_episodes import MixEpisodes
from alenv.presets import plain
from alenv.settings import Options
from alenv.spaces import Query
from alenv.tasks import DrawnTask, TaskDistribution
from alenv.view import View

_OPTIONS = ("observe", "candidates", "reward", "on_invalid", "allow_peek", "device", "threads")
_DEFAULTS = {"candidates": 256, "reward": "auc_gain", "device": "cpu", "threads": 1}


class MixVectorEnv(BatchedEnv):
    """E episodes with a ridge head, each with a task drawn from a ``TaskDistribution`` by its key.

    Observation: as ``ActiveLearningEnv``, in arrays that fit every task: ``features`` (K, D) with zeros behind the
    task's own, ``probabilities`` (K, C) with zeros for classes that it does not have, ``indices`` within its pool.

    Action: int64 (B,) pool indices, of which the task's first ``query_size`` are bought; give the most wanted first.
    An index that its pool does not have is replaced as a labeled one is, or refused with ``on_invalid="raise"``.

    Reward: as ``ActiveLearningEnv``, on the task's validation images; there is no test accuracy.

    Info: as ``ActiveLearningEnv``, and ``num_classes``, ``query_size`` and ``feature_size`` of the task; ``query`` is
    int64 (B,), -1 behind what was bought.

    Episode end: after T queries.

    Arguments: every field of ``TaskDistribution``; ``observe``, ``candidates`` (K), ``reward``, ``on_invalid``,
    ``allow_peek``, ``device``, ``threads``.

    ``view(i)`` shows an episode in its task's own sizes, so that any fixed agent plays it. All episodes of one key
    are the same, alone and in a batch.

    Source: Konyushkova, Sznitman and Fua 2018, "Discovering General-Purpose Active Learning Strategies", for learning
    over many data sets.
    """

    def __init__(
        self,
        num_envs: int = 1,
        autoreset_mode: AutoresetMode | str = AutoresetMode.NEXT_STEP,
        **settings: Any,
    ) -> None:
        """Loads the datasets and checks every setting.

        Raises:
            AlenvError: A setting does not exist or has a value that is not allowed, or there is no such dataset.
        """
        count, mode = checked(num_envs, autoreset_mode)
        self.distribution, options = _read(settings)
        where = runtime.resolve(options.device, "fp32", options.threads)
        episodes = MixEpisodes(self.distribution, options, where, count)
        query = Query(self.distribution.pool_size, self.distribution.query_size)
        space = observation.space(
            options.observe,
            pool_size=self.distribution.pool_size,
            candidates=episodes.candidate_count,
            feature_size=episodes.embedding.shape[1],
            num_classes=episodes.num_classes,
            scores=(),
        )
        super().__init__(episodes, (query, space), mode)
        self._mix = episodes

    def task(self, index: int) -> DrawnTask:
        """Returns the task of an episode; ``NotReset`` before the first ``reset``."""
        self._check_begun()
        return self._mix.tasks[index]


def _read(settings: dict[str, Any]) -> tuple[TaskDistribution, Options]:
    given = {name: plain(value) for name, value in settings.items()}
    fields = [field.name for field in dataclasses.fields(TaskDistribution)]
    for name in given:
        if name not in fields and name not in _OPTIONS:
            raise unknown("setting", name, [*fields, *_OPTIONS])
    distribution = TaskDistribution(**{name: value for name, value in given.items() if name in fields})
    for name in distribution.datasets:
        check_name(name)
    chosen = {name: value for name, value in given.items() if name in _OPTIONS}
    return distribution, Options(**{**_DEFAULTS, **chosen, "test": False})


class MixEnv(gym.Env[Any, Any]):
    """One such episode after another; see ``MixVectorEnv``.

    Attributes:
        recipe, protocol, options, runtime: Of the largest task.
    """

    metadata: dict[str, Any] = {"render_modes": []}  # noqa: RUF012  (Gymnasium declares it so)

    def __init__(self, **settings: Any) -> None:
        """See ``MixVectorEnv``."""
        self._batch = MixVectorEnv(1, AutoresetMode.DISABLED, **settings)
        self.recipe, self.protocol = self._batch.recipe, self._batch.protocol
        self.options, self.runtime = self._batch.options, self._batch.runtime
        self.action_space = self._batch.single_action_space
        self.observation_space = self._batch.single_observation_space

    @property
    def view(self) -> View:
        """What an agent may read of the episode, in its task's own sizes; another one with every episode."""
        return self._batch.view(0)

    @property
    def task(self) -> DrawnTask:
        """The task of the episode."""
        return self._batch.task(0)

    @property
    def key(self) -> int:
        """The key of the episode, from which its task and every random stream are derived."""
        return self._batch.keys[0]

    def check_budget(self) -> None:
        """Raises ``EpisodeOver`` where the budget is spent, so that there is no next step."""
        self._batch.check_budget()

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Draws a task and starts its episode.

        Args:
            seed: Decides the task and the episode; None goes on from the last seed.
            options: There are none.

        Raises:
            UnknownName: An option was given.
        """
        for name in options or {}:
            raise unknown("reset option", name, [])
        super().reset(seed=seed)
        self._batch._streams = [self.np_random]
        return _first(*self._batch.reset())

    def step(self, action: Any) -> tuple[Any, float, bool, bool, dict[str, Any]]:
        """Buys the labels of a query, fits, and measures; see ``ActiveLearningEnv.step``.

        Args:
            action: int64 (B,), or of the task's own query size, as an agent gives it that reads the view.
        """
        given = as_array(action)
        if given.shape == (self.task.query_size,):
            given = np.pad(given, (0, self.protocol.query_size - len(given)))
        observed, earned, over, _, info = self._batch.step(given[None])
        observed, info = _first(observed, info)
        return observed, float(earned[0]), bool(over[0]), False, info

    def peek(self, given: Any) -> NDArray[np.float64]:
        """Returns the rewards (J,) that queries (J, B) would earn now; see ``MixVectorEnv``."""
        found: NDArray[np.float64] = self._batch.peek(as_array(given)[None])[0]
        return found


def _first(observed: Any, info: dict[str, Any]) -> tuple[Any, dict[str, Any]]:
    """Returns the observation and the info of the one episode of a batch."""
    shown = {name: part[0] for name, part in observed.items()} if isinstance(observed, dict) else observed[0]
    told = {name: values[0] for name, values in info.items() if not name.startswith("_")}
    return shown, {name: value if np.ndim(value) else value.item() for name, value in told.items()}
