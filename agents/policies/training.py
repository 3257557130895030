"""What every way of training a policy has in common: it goes on in rounds, and can be saved between them."""

from __future__ import annotations

import inspect
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, ClassVar, TypeVar

import gymnasium as gym
from gymnasium.vector import AutoresetMode

from alenv import BatchedEnv, plugins
from alenv.errors import InvalidQuery, InvalidRecipe, MissingHead, UnknownName

# Training draws its episodes from seeds below the first, selection from there on, reports from the second on.
SELECTION_SEEDS = 10_000
REPORT_SEEDS = 20_000


@dataclass(frozen=True)
class LearningTask:
    """An environment to learn in.

    Attributes:
        env_id: A registered id.
        settings: Its kwargs, JSON values.
    """

    env_id: str
    settings: Mapping[str, Any] = field(default_factory=dict)

    @property
    def title(self) -> str:
        """How the command line spells it."""
        return "@".join([self.env_id, *(f"{name}={value}" for name, value in self.settings.items())])


def peeking(task: LearningTask, episodes: int, candidates: int, who: str) -> BatchedEnv:
    """Makes a task's environments as one batch that may be peeked at.

    Args:
        task: The environment.
        episodes: E.
        candidates: K, where the task does not say.
        who: The trainer, for sentences.

    Raises:
        InvalidRecipe: The episodes cannot be played in a batch.
        MissingHead: There is no validation split to peek at.
        InvalidQuery: A query takes more images than there are candidates.
    """
    given = {"observe": "progress", "candidates": candidates, **task.settings, "allow_peek": True}
    name = task.env_id.rpartition(":")[2]  # what lies before it has registered it
    if gym.spec(name).vector_entry_point is None:
        raise InvalidRecipe(
            f"{task.env_id} was given, and {who} peeks at many episodes at once; give an environment with a ridge "
            "head, such as ALDigitsRidge-v0 or ALMix-v0."
        )
    env = gym.make_vec(name, num_envs=episodes, autoreset_mode=AutoresetMode.DISABLED, **given).unwrapped
    assert isinstance(env, BatchedEnv), "no other environment has a vector version of its own"
    if not env.protocol.validation:
        raise MissingHead(f"{task.env_id} has no validation split to peek at; add validation=1000.")
    if (env.options.candidates or 0) < env.protocol.query_size:
        raise InvalidQuery(
            f"candidates={env.options.candidates} were given, and a query of {task.env_id} takes "
            f"{env.protocol.query_size}; give as many or more."
        )
    return env


class Trainer(ABC):
    """Trains a policy round by round; ``alenv train`` saves it after each.

    All randomness of a round comes from (seed, round), and episodes begin and end within one, so that a training that
    was stopped goes on to the same bytes on a CPU.

    Args:
        tasks: Where to learn.
        seed: Decides the training.

    Attributes:
        name: How ``alenv train`` calls it.
        round: Rounds that are done.
        steps: Steps that are done, in the trainer's own unit (``unit``).
    """

    name: ClassVar[str] = ""
    unit: ClassVar[str] = "steps"
    source: ClassVar[str] = ""

    def __init__(self, tasks: Sequence[LearningTask], seed: int = 0) -> None:
        self.tasks, self.seed = tuple(tasks), seed
        self.round = self.steps = 0

    @classmethod
    def option_names(cls) -> tuple[str, ...]:
        """Names what ``alenv train --option`` may say."""
        return tuple(name for name in inspect.signature(cls).parameters if name not in ("tasks", "seed"))

    @abstractmethod
    def advance(self, total: int) -> dict[str, float]:
        """Plays and learns one round more.

        Args:
            total: Steps of the whole training, for schedules; a round does not go far beyond it.

        Returns:
            What there is to be told of the round, by the name that TensorBoard shows.
        """

    @abstractmethod
    def save(self, path: Path, made: Mapping[str, Any]) -> None:
        """Writes the policy as a folder that ``agents.make("policy=FOLDER")`` loads.

        Args:
            path: The folder to make.
            made: How it was made, JSON values, kept with it.

        Raises:
            RunConflict: The path exists.
        """

    @abstractmethod
    def get_state(self) -> dict[str, Any]:
        """Returns all that the next round depends on, as tensors and scalars."""

    @abstractmethod
    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""


_TRAINERS: dict[str, type[Trainer]] = {}
Kind = TypeVar("Kind", bound=type[Trainer])


def trainer(kind: Kind) -> Kind:
    """Registers a trainer under its ``name``; a class decorator."""
    _TRAINERS[kind.name] = kind
    return kind


def trainers() -> dict[str, type[Trainer]]:
    """Returns all trainers by name; every file of ``agents.policies`` is looked through."""
    plugins.walk("agents.policies")
    return dict(_TRAINERS)


def find_trainer(name: str) -> type[Trainer]:
    """Returns a trainer's class.

    Raises:
        UnknownName: There is none of that name.
    """
    found = trainers()
    if name not in found:
        listed = ", ".join(sorted(found))
        raise UnknownName(f"There is no agent {name!r} that can be trained; choose one of {listed}.")
    return found[name]
