"""What every agent is, what a fixed strategy is, and the registry of both."""

from __future__ import annotations

import inspect
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

import gymnasium as gym
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from alenv.errors import InvalidQuery, NotReset, unknown
from alenv.seeding import Purpose, torch_stream

if TYPE_CHECKING:
    from alenv import View

Indices = NDArray[np.int64]
POOLS = ("all", "candidates")


class Agent:
    """Whatever chooses queries: it sees an environment's view, and nothing else of the environment.

    Attributes:
        name: How the agent is spelled.
        needs: Methods of the view that not every recipe offers and that this agent calls.
        needs_validation: Whether it reads validation accuracy, so that a comparison gives every arm a split.
        cost: What a query costs, in words.
        source: The publication.
    """

    name: ClassVar[str] = ""
    needs: tuple[str, ...] = ()
    needs_validation: bool = False
    cost: ClassVar[str] = ""
    source: ClassVar[str] = ""

    _view: View | None = None
    _seed = 0

    def reset(self, env: gym.Env[Any, Any], seed: int = 0) -> None:
        """Starts an episode in an environment that has been reset.

        Args:
            env: The environment, wrapped or not.
            seed: Decides the agent's random choices, together with the cycle.

        Raises:
            MissingHead: The recipe does not offer what the agent needs; the message says what would.
            NotReset: The environment was not reset yet.
            InvalidQuery: The seed is not a whole number of at least 0.
        """
        if isinstance(seed, bool) or not isinstance(seed, (int, np.integer)) or seed < 0:
            raise InvalidQuery(f"seed={seed!r} was given to an agent; give a whole number of at least 0.")
        self._view = env.unwrapped.view  # type: ignore[attr-defined]  # gym.Env knows no view
        self._seed = int(seed)
        self.check(self.view)

    @property
    def view(self) -> View:
        """The view of the environment that the agent plays in."""
        if self._view is None:
            raise NotReset("The agent was used before its first reset; call agent.reset(env, seed=0) first.")
        return self._view

    def check(self, view: View) -> None:
        """Raises ``MissingHead`` where the view lacks what the agent needs."""
        for method in self.needs:
            getattr(view, method)(view.unlabeled[:0])  # raises before it infers anything

    def act(self, observation: Any) -> Indices:
        """Chooses the next query.

        Args:
            observation: The environment's last observation; agents that read the view ignore it.

        Returns:
            int64 (B,) distinct unlabeled pool indices.
        """
        raise NotImplementedError

    def update(self, reward: float, info: dict[str, Any]) -> None:
        """Tells the agent what its query earned; only agents that learn while they play listen."""

    def get_state(self) -> dict[str, Any]:
        """Returns what the agent has learned while playing, as tensors and scalars; empty for most."""
        return {}

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""

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


_AGENTS: dict[str, type[Strategy]] = {}
Kind = TypeVar("Kind", bound=type[Strategy])


def register(agent: Kind) -> Kind:
    """Registers a strategy under its ``name``; a class decorator."""
    _AGENTS[agent.name] = agent
    return agent


def names() -> tuple[str, ...]:
    """Returns the names of all registered agents."""
    return tuple(sorted(_AGENTS))


def registered(name: str) -> type[Strategy]:
    """Returns the class of a name.

    Raises:
        UnknownName: There is none.
    """
    if name not in _AGENTS:
        raise unknown("agent", name, _AGENTS)
    return _AGENTS[name]


def construct(agent: type[Strategy], options: dict[str, Any]) -> Strategy:
    """Makes a strategy, naming an option that it does not have.

    Raises:
        UnknownName: An option does not exist.
    """
    allowed = list(inspect.signature(agent).parameters)
    for option in options:
        if option not in allowed:
            raise unknown(f"option of the agent {agent.name}", option, allowed)
    return agent(**options)
