"""What all environments for policies have in common: what is restored, and how a query is made inside."""

from __future__ import annotations

from abc import abstractmethod
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium import spaces
from numpy.typing import NDArray

from alenv import ActiveLearningEnv, MixEnv, View, core
from alenv.errors import InvalidQuery, InvalidState

Float32 = NDArray[np.float32]


class Choices(spaces.Discrete):
    """A number from 0 to n - 1, whose ``sample`` takes a mask and otherwise draws uniformly."""

    def sample(self, mask: Any = None, probability: Any = None) -> np.int64:
        """Draws a number uniformly.

        Args:
            mask: None, or bool or int8 (n,): only numbers with True or 1 are drawn.
            probability: None; sampling is uniform.

        Raises:
            InvalidQuery: The mask has another form or allows nothing, or a probability was given.
        """
        if probability is not None:
            raise InvalidQuery("A probability was given; choices are sampled uniformly, so leave it out.")
        if mask is None:
            return super().sample()
        allowed = np.asarray(mask)
        if allowed.shape != (self.n,) or allowed.dtype not in (np.dtype(bool), np.dtype(np.int8)):
            raise InvalidQuery(
                f"A mask of shape {allowed.shape} and type {allowed.dtype} was given; give bool or int8 of shape "
                f"({self.n},), one entry per choice."
            )
        if not allowed.any():
            raise InvalidQuery("A mask allows no choice; allow at least one.")
        return np.int64(self.np_random.choice(np.flatnonzero(allowed)))


class PolicyEnv(gym.Wrapper[Any, Any, Any, Any], gym.utils.RecordConstructorArgs):
    """An environment of alenv whose actions and observations are those of a policy; subclasses say which.

    The environment inside shows nothing that is used: make it with ``observe="progress"``, so that it infers nothing
    of its own.
    """

    def __init__(self, env: gym.Env[Any, Any], **arguments: Any) -> None:
        """Wraps an environment of alenv; ``arguments`` are those of the subclass, as JSON values."""
        gym.utils.RecordConstructorArgs.__init__(self, **arguments)
        gym.Wrapper.__init__(self, env)

    @property
    def inside(self) -> ActiveLearningEnv | MixEnv:
        """The active-learning environment."""
        return inside(self.env)

    @property
    def view(self) -> View:
        """What may be read of the pool."""
        return self.inside.view

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[Any, dict[str, Any]]:
        """Resets the environment and what the wrapper keeps; see there.

        Args:
            seed: Decides the whole episode.
            options: ``{"state": s}`` restores what ``get_state`` gave, this one's or the environment's own.

        Raises:
            MissingHead: The recipe does not offer what an agent inside needs.
        """
        given = dict(options or {})
        kept: dict[str, Any] = {}
        if isinstance(given.get("state"), dict) and "wrapper" in given["state"]:
            kept, given["state"] = given["state"]["wrapper"], given["state"]["env"]
        _, info = self.env.reset(seed=seed, options=given or None)
        self._begin(kept)
        return self._observation(), info

    def get_state(self) -> dict[str, Any]:
        """Returns the state of the environment and of this wrapper, for ``reset(options={"state": s})``.

        Raises:
            InvalidState: The environment is ``ALMix-v0``, which keeps none.
        """
        if isinstance(self.inside, MixEnv):
            raise InvalidState("ALMix-v0 keeps no state; reset it with the seed of the episode instead.")
        return {"env": self.inside.get_state(), "wrapper": self._kept()}

    def _begin(self, kept: dict[str, Any]) -> None:
        """Starts an episode, from what ``_kept`` returned if anything."""

    def _kept(self) -> dict[str, Any]:
        """Returns what a state holds of this wrapper, as tensors and scalars."""
        return {}

    @abstractmethod
    def _observation(self) -> Any:
        """Returns what the policy is shown."""


def inside(env: gym.Env[Any, Any]) -> ActiveLearningEnv | MixEnv:
    """Returns the active-learning environment inside ``env``, however it is wrapped.

    Raises:
        UnknownName: There is none.
    """
    found = env.unwrapped
    return found if isinstance(found, MixEnv) else core(env)


def as_array(action: Any) -> Any:
    """Returns an action as NumPy sees it: tensors are taken as well."""
    return action.detach().cpu().numpy() if isinstance(action, torch.Tensor) else np.asarray(action)


def chosen_number(action: Any, space: spaces.Space[Any], what: str) -> int:
    """Returns an action as a member of a ``Discrete`` space.

    Raises:
        InvalidQuery: It is none.
    """
    assert isinstance(space, spaces.Discrete)
    number = action if isinstance(action, int) else as_array(action)
    if not space.contains(number):
        raise InvalidQuery(f"{what} {action!r} was chosen; give a whole number from 0 to {int(space.n) - 1}.")
    return int(number)


def chosen_scores(action: Any, count: int, what: str) -> Float32:
    """Returns an action as float32 (count,); numbers outside [-1, 1] count as the nearest inside.

    Raises:
        InvalidQuery: It is of another shape, or not all of it are finite numbers.
    """
    try:
        scores = as_array(action).astype(np.float32)
    except (TypeError, ValueError):
        scores = np.full(1, np.nan, dtype=np.float32)
    if scores.shape != (count,) or not np.isfinite(scores).all():
        raise InvalidQuery(
            f"Scores of shape {scores.shape} were given; give {count} finite numbers from -1 to 1, one per {what}."
        )
    clipped: Float32 = scores.clip(-1.0, 1.0)
    return clipped
