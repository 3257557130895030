"""What every agent is, and what a fixed strategy is."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.errors import InvalidQuery, NotReset, unknown
from alenv.seeding import Purpose, torch_stream

if TYPE_CHECKING:
    from alenv import ActiveLearningEnv, BatchedEnv, BatchView, View

Indices = NDArray[np.int64]
POOLS = ("all", "candidates")


class Agent:
    """Whatever chooses queries: it holds a view of the pool, and nothing else of the environment.

    Attributes:
        name: How the agent is spelled.
        needs: What the view must offer beyond features, logits, probabilities and images; names of ``alenv.offers``,
            for instance ``"predicted_loss"``. With ``"validation"`` a comparison gives every arm the same split.
        cost: What a query costs, in words.
        source: The publication.
        ceiling: Whether it reads labels before they are bought: an upper bound, which takes no part in rankings.
    """

    name: ClassVar[str] = ""
    needs: tuple[str, ...] = ()
    cost: ClassVar[str] = ""
    source: ClassVar[str] = ""
    ceiling: ClassVar[bool] = False

    _view: View | None = None
    _seed = 0

    def reset(self, view: View, seed: int = 0) -> None:
        """Starts an episode.

        Args:
            view: ``env.unwrapped.view`` of an environment that has been reset.
            seed: Decides the agent's random choices, together with the cycle.

        Raises:
            MissingHead: The recipe does not offer what the agent needs; the message says what would.
            InvalidQuery: The seed is not a whole number of at least 0, or something else than a view was given.
        """
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise InvalidQuery(f"seed={seed!r} was given to an agent; give a whole number of at least 0.")
        if not hasattr(view, "require"):
            kind = type(view).__name__
            raise InvalidQuery(f"A {kind} was given to an agent; give the view, env.unwrapped.view.")
        view.require(self.needs)
        self._view = view
        self._seed = int(seed)

    @property
    def view(self) -> View:
        """The view that the agent was given."""
        if self._view is None:
            raise NotReset(
                "The agent was used before its first reset; call agent.reset(env.unwrapped.view, seed=0) first."
            )
        return self._view

    def act(self, observation: Any) -> Indices:
        """Chooses the next query.

        Args:
            observation: The environment's last observation; agents that read the view ignore it.

        Returns:
            int64 (B,) distinct unlabeled pool indices.
        """
        raise NotImplementedError

    def act_in_batch(self, batch: BatchView, seeds: Sequence[int]) -> Indices | None:
        """Chooses the next query of many episodes at once, where the agent can; it needs no ``reset`` for that.

        Args:
            batch: What may be read of E episodes.
            seeds: E seeds, as ``reset`` takes them.

        Returns:
            int64 (E, B), what ``act`` would return in each episode; None where that takes an agent in each.
        """
        return None

    def lend(self, env: ActiveLearningEnv | BatchedEnv) -> None:
        """Hands the environment itself to a ceiling, before ``reset``; no other agent is ever given it.

        Args:
            env: Without wrappers, made with ``allow_peek=True`` and a validation split.
        """

    def update(self, reward: float | None, info: dict[str, Any]) -> None:
        """Tells the agent what its query earned; only agents that learn while they play listen.

        Args:
            reward: The environment's reward where it comes from a validation split, else None.
            info: The environment's ``info`` without test accuracy (see ``feedback``).
        """

    def get_state(self) -> dict[str, Any]:
        """Returns what the agent has learned while playing, as tensors and scalars; empty for most."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave, after ``reset``."""

    def stream(self) -> torch.Generator:
        """Returns the CPU generator of this cycle."""
        return torch_stream(self._seed, Purpose.AGENT, self.view.cycle)


class Strategy(Agent):
    """A fixed rule for choosing ``count`` of some ``indices``; subclasses define ``pick``.

    Args:
        pool: ``"all"`` unlabeled images, or this cycle's ``"candidates"``; None = as published.

    Raises:
        UnknownName: There is no such pool.
    """

    default_pool: ClassVar[str] = "all"

    def __init__(self, pool: str | None = None) -> None:
        self.pool = self.default_pool if pool is None else pool
        if self.pool not in POOLS:
            raise unknown("pool", pool, POOLS)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Chooses from given images.

        Args:
            view: What may be read.
            indices: int64 (n,) distinct unlabeled pool indices, left unchanged.
            count: How many to choose, at most n.
            generator: A CPU generator, the only source of randomness.

        Returns:
            int64 (count,) distinct members of ``indices``.
        """
        raise NotImplementedError

    def act(self, observation: Any) -> Indices:
        """Picks int64 (B,) from the pool or from the candidates; the observation is not used.

        Raises:
            InvalidQuery: Fewer than B unlabeled images are left.
        """
        return self.query(self.view, self.stream())

    def query(self, view: View, generator: torch.Generator) -> Indices:
        """Returns a query, int64 (B,), for the state that ``view`` shows.

        Candidates that repeat count once; where fewer than B remain, all unlabeled images are used.

        Raises:
            InvalidQuery: Fewer than B unlabeled images are left.
        """
        count = view.query_size
        indices = view.unlabeled
        if self.pool == "candidates" and len(indices):  # an exhausted pool fills them with labeled images
            indices = np.unique(view.candidates)
        if len(indices) < count:
            indices = view.unlabeled
        if len(indices) < count:
            raise InvalidQuery(f"A query takes {count} images, and only {len(indices)} are unlabeled.")
        if len(indices) == count:
            return np.array(indices, dtype=np.int64)
        return self.pick(view, indices, count, generator)


def best(scores: Tensor, count: int, generator: torch.Generator) -> Tensor:
    """Returns the positions of the ``count`` highest of ``scores`` (n,), best first, as int64 on the CPU.

    Equal scores are ordered at random; NaN, the mark of a diverged classifier, is lowest.
    """
    scores = scores.detach().cpu().nan_to_num(nan=-torch.inf, posinf=torch.inf, neginf=-torch.inf)
    shuffled = torch.randperm(len(scores), generator=generator)
    order = scores[shuffled].argsort(descending=True, stable=True)
    return shuffled[order[:count]]


def in_order(batch: BatchView) -> Indices | None:
    """Returns the places (E, K) of the candidates in ascending order of their indices, as ``Strategy.query`` has them.

    None where candidates repeat, or there are no more of them than a query takes: then each episode takes an agent.
    """
    candidates = batch.candidates
    order: Indices = np.argsort(candidates, axis=1)
    ascending = np.take_along_axis(candidates, order, axis=1)
    if candidates.shape[1] <= batch.query_size or (ascending[:, 1:] == ascending[:, :-1]).any():
        return None
    return order


def at_random(indices: Indices, count: int, generator: torch.Generator) -> Indices:
    """Returns ``count`` of ``indices`` (n,), drawn uniformly without replacement, as int64 (count,)."""
    drawn: Indices = indices[torch.randperm(len(indices), generator=generator)[:count].numpy()]
    return drawn


def feedback(reward: float, info: dict[str, Any]) -> tuple[float | None, dict[str, Any]]:
    """Returns what an agent may be told after its query, for ``update``: nothing that the test set decides.

    Args:
        reward: What ``step`` returned.
        info: Its ``info``.

    Returns:
        The reward, None where it is that of the test set, and the info without test accuracy.
    """
    told = {name: value for name, value in info.items() if name != "test_accuracy"}
    return (float(reward) if "validation_accuracy" in info else None), told
