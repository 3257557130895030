"""The Gymnasium side of environments whose episodes are one batched computation."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.utils import seeding
from gymnasium.vector import AutoresetMode
from gymnasium.vector.utils import batch_space
from numpy.typing import NDArray
from torch import Tensor

from alenv import observation, queries
from alenv.batch_view import BatchView
from alenv.env import ActiveLearningEnv, budget_spent
from alenv.errors import InvalidQuery, InvalidRecipe, NotReset, unknown
from alenv.ridge_episodes import RidgeEpisodes
from alenv.view import View

Indices = NDArray[np.int64]
Mask = NDArray[np.bool_]


class BatchedEnv(gym.vector.VectorEnv[Any, Any, NDArray[Any]]):
    """What the environments have in common whose E episodes are one computation; see ``RidgeVectorEnv``.

    Attributes:
        batch: What an agent may read of all episodes; ``view(i)`` shows one of them.
        recipe, protocol, options, runtime: As of ``ActiveLearningEnv``.
    """

    def __init__(
        self,
        episodes: RidgeEpisodes,
        spaces: tuple[gym.Space[Any], gym.Space[Any]],
        autoreset_mode: AutoresetMode,
        render_mode: str | None = None,
    ) -> None:
        """Takes the episodes, and the spaces of actions and observations of one of them."""
        self._episodes, self._batch = episodes, BatchView(episodes)
        self.recipe, self.protocol = episodes.recipe, episodes.protocol
        self.options, self.runtime = episodes.options, episodes.runtime
        self.num_envs, self.render_mode = len(self._batch), render_mode
        self.metadata = {**ActiveLearningEnv.metadata, "autoreset_mode": autoreset_mode}
        self.single_action_space, self.single_observation_space = spaces
        self.action_space, self.observation_space = (batch_space(each, self.num_envs) for each in spaces)
        self._streams: list[np.random.Generator | None] = [None] * self.num_envs  # of the episodes' keys
        self._begun = False  # an interrupted call leaves no half of a cycle behind
        self._over = np.zeros(self.num_envs, dtype=bool)  # episodes that ended with the last step

    # ---- what can be read -----------------------------------------------------------------------------------

    @property
    def keys(self) -> tuple[int, ...]:
        """The keys of the episodes, from which every random stream is derived.

        Raises:
            NotReset: Before the first ``reset``.
        """
        self._check_begun()
        return tuple(self._episodes.purchases.keys)

    @property
    def batch(self) -> BatchView:
        """What an agent may read of all episodes.

        Raises:
            NotReset: Before the first ``reset``.
        """
        self._check_begun()
        return self._batch

    def view(self, index: int) -> View:
        """Returns what an agent may read of one episode; the same object for good, renewed with every cycle.

        Raises:
            NotReset: Before the first ``reset``.
        """
        self._check_begun()
        return self._episodes.view(range(self.num_envs)[index])

    def _check_begun(self) -> None:
        if not self._begun:
            raise NotReset(
                "The environments were used before their first reset, or after a call that was interrupted; call "
                "env.reset(seed=0) first."
            )

    def render(self) -> tuple[Any, ...] | None:
        """Returns a picture of each episode, E times uint8 (600, 1000, 3), or None without ``render_mode``.

        Raises:
            NotReset: Before the first ``reset``.
        """
        self._check_begun()
        if self.render_mode is None:
            return None
        return tuple(self._episodes.picture(i) for i in range(self.num_envs))

    # ---- the Gymnasium API ----------------------------------------------------------------------------------

    def reset(
        self, *, seed: int | Sequence[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Starts episodes: labels their initial sets and fits their heads.

        Args:
            seed: Episode i gets seed + i, or the i-th of a list; None goes on from its last seed.
            options: ``{"reset_mask": m}`` with bool (E,) starts only those episodes anew.

        Raises:
            UnknownName: There is no such option.
            InvalidQuery: The seeds or the mask are not one per episode.
        """
        which = self._asked(options or {})
        seeds = [seed] * self.num_envs if seed is None else seed
        if isinstance(seeds, (int, np.integer)):
            seeds = [int(seeds) + i for i in range(self.num_envs)]
        if len(seeds) != self.num_envs:
            raise InvalidQuery(f"{len(seeds)} seeds were given; give one seed, or {self.num_envs}.")
        if not self._begun and len(which) < self.num_envs:
            self._check_begun()
        streams = {i: seeding.np_random(seeds[i])[0] for i in which if seeds[i] is not None}
        self._begin(which, streams)
        return self._observed(), _info(self._episodes.facts(), np.isin(np.arange(self.num_envs), which))

    def _asked(self, options: dict[str, Any]) -> Indices:
        """Returns which episodes the options of ``reset`` name, int64 (n,)."""
        for name in options:
            if name != "reset_mask":
                raise unknown("reset option", name, ["reset_mask"])
        mask = options.get("reset_mask")
        if mask is None:
            return np.arange(self.num_envs)
        given = np.asarray(mask)
        if given.shape != (self.num_envs,) or given.dtype != np.bool_ or not given.any():
            raise InvalidQuery(
                f"reset_mask={mask!r} was given; give bool of shape ({self.num_envs},) with at least one True."
            )
        return np.flatnonzero(given)

    def step(self, actions: Any) -> tuple[Any, NDArray[np.float64], Mask, Mask, dict[str, Any]]:
        """Buys the labels of a query in every episode, fits, and measures.

        Args:
            actions: int64 (E, B) pool indices; those of episodes that are reset instead are not looked at.

        Returns:
            Observations, rewards (E,), terminated (E,), truncated (E,, always False), info.

        Raises:
            NotReset: Before the first ``reset``.
            EpisodeOver: An episode has ended, and ``autoreset_mode`` does not start another.
            InvalidQuery: A query is outside the space, or with ``on_invalid="raise"`` names a labeled or a
                repeated index. All episodes are as they were.
        """
        self._check_begun()
        mode = self.metadata["autoreset_mode"]
        starting = self._over if mode == AutoresetMode.NEXT_STEP else np.zeros(self.num_envs, dtype=bool)
        acting = ~starting
        playing = np.flatnonzero(acting)
        self.check_budget(playing)
        chosen, replaced = self._read(actions, playing)
        self._begin(np.flatnonzero(starting), {})
        self._buy(playing, chosen, replaced)
        bought = np.zeros((self.num_envs, self.protocol.query_size), dtype=np.int64)
        bought[playing] = chosen
        own = {"query": bought, "replaced": self._episodes.purchases.replaced.copy()}
        earned = np.where(acting, self._episodes.earned(), 0.0)
        over = acting & (self._episodes.purchases.cycle == self.protocol.cycles)
        infos: dict[str, Any] = {}
        if mode == AutoresetMode.SAME_STEP and over.any():
            infos = self._final(over, own)
            self._begin(np.flatnonzero(over), {})
            acting = ~over
        self._over = over if mode != AutoresetMode.SAME_STEP else np.zeros_like(over)
        infos |= _info(self._episodes.facts(), np.ones_like(over)) | _info(own, acting)
        return self._observed(), earned, over.copy(), np.zeros_like(over), infos

    def _begin(self, which: Indices, streams: dict[int, np.random.Generator]) -> None:
        """Starts some episodes (n,), with new streams of keys where they are given."""
        keys = []
        for i in which:
            stream = streams.get(i) or self._streams[i] or seeding.np_random()[0]
            self._streams[i] = stream
            keys.append(int(stream.integers(2**63)))  # as an environment of its own draws its key
        if keys:
            self._begun = False
            self._episodes.begin(which, keys)
            self._changed(which)
            self._over[which] = False

    def _buy(self, which: Indices, chosen: Indices, replaced: Indices) -> None:
        if len(which):
            self._begun = False
            self._episodes.buy(which, chosen, replaced)
            self._changed(which)

    def _changed(self, which: Indices) -> None:
        self._batch._forget(which)
        self._begun = True

    def _final(self, over: Mask, own: dict[str, NDArray[Any]]) -> dict[str, Any]:
        """Returns what the last step of some episodes showed, as ``SyncVectorEnv`` tells it."""
        shown = self._observed()
        last = np.full(self.num_envs, None, dtype=object)
        for i in np.flatnonzero(over):
            last[i] = (
                {k: v[i].copy() for k, v in shown.items()} if isinstance(shown, dict) else shown[i].copy()
            )
        final = _info(self._episodes.facts() | own, over)
        return {"final_obs": last, "_final_obs": over.copy(), "final_info": final, "_final_info": over.copy()}

    def peek(self, given: Any) -> NDArray[np.float64]:
        """Returns the rewards that J queries to each episode would earn now, and changes nothing.

        Args:
            given: int64 (E, J, B), each legal or replaced as ``step`` would.

        Returns:
            float64 (E, J), those of the single environment's ``peek`` up to rounding.

        Raises:
            NotReset: Before the first ``reset``.
            EpisodeOver: An episode's budget is spent.
            InvalidQuery: A query is not one that ``step`` would take.
            PeekNotAllowed: The environment was made without ``allow_peek=True`` or without a validation split.
        """
        self._episodes.check_peek()
        self._check_begun()
        everybody = np.arange(self.num_envs)
        self.check_budget(everybody)
        array = as_array(given)
        if array.ndim != 3 or len(array) != self.num_envs:
            raise InvalidQuery(
                f"Queries of shape {array.shape} were given; give {self.num_envs} x J queries of "
                f"{self.protocol.query_size} pool indices."
            )
        asked = np.empty((*array.shape[:2], self.protocol.query_size), dtype=np.int64)
        for j in range(array.shape[1]):
            asked[:, j] = self._read(array[:, j], everybody)[0]
        return self._episodes.worth(asked)

    def gains(self, indices: Indices, after: Sequence[Indices] | None = None) -> Tensor:
        """Returns how much the label of each of several images would raise a smooth validation accuracy.

        It is what a policy can be taught to foresee: what ``peek`` would say of a query of one image, without its
        steps. See ``RidgeBatch.gains``.

        Args:
            indices: int64 (E, K) pool indices.
            after: Pool indices int64 (t,) of each episode whose labels are learned before, for this answer only: what
                the others are worth once part of a query is bought. None = nothing.

        Returns:
            float32 (E, K), on the device.

        Raises:
            NotReset: Before the first ``reset``.
            PeekNotAllowed: The environment was made without ``allow_peek=True`` or without a validation split.
        """
        self._episodes.check_peek()
        self._check_begun()
        return self._episodes.gains(indices, after)

    def greedy(self, indices: Indices) -> Indices:
        """Returns the query that is best by ``gains``, one label after the other: a ceiling of what can be chosen.

        Each image is the one of most gain once the true labels of those before it are learned.

        Args:
            indices: int64 (E, K) pool indices, at least B different ones.

        Returns:
            int64 (E, B), of ``indices``.

        Raises:
            NotReset: Before the first ``reset``.
            PeekNotAllowed: The environment was made without ``allow_peek=True`` or without a validation split.
        """
        self._episodes.check_peek()
        self._check_begun()
        found: Indices = np.take_along_axis(indices, self._episodes.greedy(indices), axis=1)
        return found

    # ---- queries --------------------------------------------------------------------------------------------

    def check_budget(self, which: Indices | None = None) -> None:
        """Raises ``EpisodeOver`` where the budget of one of some episodes (n,), or of any, is spent."""
        which = np.arange(self.num_envs) if which is None else which
        if (self._episodes.purchases.cycle[which] >= self.protocol.cycles).any():
            raise budget_spent(self.protocol)

    def _read(self, actions: Any, which: Indices) -> tuple[Indices, Indices]:
        """Returns legal queries, int64 (n, B), of some episodes, and how many indices of each were replaced."""
        array = as_array(actions)
        size, count = self._episodes.purchases.taken.shape[1], self.protocol.query_size
        if array.shape != (self.num_envs, count):
            raise InvalidQuery(
                f"Queries of shape {array.shape} were given; give {self.num_envs} queries of {count} pool indices."
            )
        given = array[which]
        whole = np.issubdtype(array.dtype, np.integer) and np.can_cast(array.dtype, np.int64)
        if not whole or (given.size and not 0 <= given.min() <= given.max() < size):
            given = np.array([queries.parse(query, size, count) for query in given])  # which refuses it
        return self._episodes.legal(which, given, self.options.on_invalid == "raise")

    # ---- what is shown --------------------------------------------------------------------------------------

    def _observed(self) -> Any:
        return self.observation(self.options.observe)

    def observation(self, kind: str) -> Any:
        """Returns what the environment made with ``observe=kind`` shows now.

        Args:
            kind: ``"progress"``, ``"stats"`` or ``"candidates"``.

        Raises:
            NotReset: Before the first ``reset``.
        """
        self._check_begun()
        with self.runtime.active():
            progressed = self._episodes.progress()
            if kind == "progress":
                return progressed
            probabilities = self._batch.probabilities
            counts = torch.from_numpy(self._episodes.classes.sum(1)[:, None]).to(probabilities)
            summary = observation.stats(progressed, probabilities, counts)
            if kind == "stats":
                return summary
            candidates = self._batch.candidates
            unit = self._episodes.unit_rows(candidates)
            return {
                "features": unit.cpu().numpy(),
                "indices": candidates,
                "probabilities": observation.bounded(probabilities.contiguous(), 1.0, 0.0),
                "stats": summary,
            }


def checked(num_envs: Any, autoreset_mode: Any) -> tuple[int, AutoresetMode]:
    """Returns what ``gym.make_vec`` was given.

    Raises:
        InvalidRecipe: ``num_envs`` is no positive number.
        UnknownName: There is no such mode.
    """
    modes = {mode.value: mode for mode in AutoresetMode}
    if not isinstance(autoreset_mode, AutoresetMode) and autoreset_mode not in modes:
        raise unknown("autoreset mode", autoreset_mode, modes)
    if isinstance(num_envs, bool) or not isinstance(num_envs, (int, np.integer)) or num_envs < 1:
        raise InvalidRecipe(f"num_envs={num_envs!r} was given; give a whole number of at least 1.")
    return int(num_envs), AutoresetMode(autoreset_mode)


def as_array(given: Any) -> NDArray[Any]:
    """Returns queries as an array.

    Raises:
        InvalidQuery: They are none.
    """
    try:
        return np.asarray(given.detach().cpu() if isinstance(given, Tensor) else given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidQuery(f"Queries that are no array were given ({error}); give whole numbers.") from error


def _info(values: dict[str, NDArray[Any]], told: Mask) -> dict[str, Any]:
    """Returns Gymnasium's info of E environments from arrays (E, ...), zeros for those that are told nothing."""
    infos: dict[str, Any] = {}
    for name, value in values.items() if told.any() else ():
        infos[name] = np.where(told.reshape(-1, *(1,) * (value.ndim - 1)), value, 0).astype(value.dtype)
        infos[f"_{name}"] = told.copy()
    return infos
