"""A scenario as plain data: arms, seeds, sizes, the claim it tests and the numbers to compare with."""

from __future__ import annotations

import importlib
import inspect
import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from alenv.errors import AlenvError, UnknownName, unknown


@dataclass(frozen=True)
class Arm:
    """An environment with an agent: one line of the picture.

    Attributes:
        label: The name in tables and pictures; unique within a comparison.
        env_id: A registered environment id.
        agent: An agent as it is spelled on the command line, for instance ``"coreset+margin"``; environment
            kwargs in the spelling (``"ll4al@joint=loss_prediction"``) belong to this arm alone.
        env_kwargs: Keyword arguments of the environment; JSON values.
        agent_kwargs: Keyword arguments of the agent; JSON values.
        content: Checksums of the files behind these names (the dataset, an embedding, pretrained weights, a
            saved policy), so that a changed file is a changed configuration.
    """

    label: str
    env_id: str
    agent: str
    env_kwargs: Mapping[str, Any] = field(default_factory=dict)
    agent_kwargs: Mapping[str, Any] = field(default_factory=dict)
    content: Mapping[str, str] = field(default_factory=dict)

    def resolved(self) -> Arm:
        """Returns the same arm, the agent's environment kwargs in ``env_kwargs``, no prefix before the id.

        Raises:
            UnknownName: The spelling cannot be read, or names what is no setting of an environment.
        """
        from agents.spelling import parse  # noqa: PLC0415  (agents load torch; listing scenarios does not)

        spelled = parse(self.agent).env_kwargs
        refuse_reserved(spelled)
        agent = self.agent.split("@", 1)[0]
        env_id = self.env_id.removeprefix("alenv:")  # which only imports alenv, as everything here does
        return replace(self, env_id=env_id, agent=agent, env_kwargs={**self.env_kwargs, **spelled})

    def configuration(self) -> dict[str, Any]:
        """Returns what identifies the arm, without its label, as JSON values in a fixed order."""
        return {
            "env_id": self.env_id,
            "env_kwargs": dict(sorted(self.env_kwargs.items())),
            "agent": self.agent,
            "agent_kwargs": dict(sorted(self.agent_kwargs.items())),
            **({"content": dict(sorted(self.content.items()))} if self.content else {}),
        }


def refuse_reserved(settings: Iterable[str]) -> None:
    """Raises ``UnknownName`` for names that ``gym.make`` keeps for itself."""
    for name in settings:
        if name in ("id", "max_episode_steps", "disable_env_checker"):
            raise UnknownName(f"{name}= was given; it is no setting of an environment, so leave it out.")


def check_environment(env_id: str) -> None:
    """Checks that an id is one of an active-learning environment, without making it.

    Raises:
        UnknownName: It is an environment of another kind; an id that nobody registered is Gymnasium's own error.
    """
    module, _, name = env_id.rpartition(":")
    if module:  # as gym.make does, and unlike gym.spec
        importlib.import_module(module)
    entry = gym.spec(name).entry_point
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    if inspect.isclass(creator) and not hasattr(creator, "view"):
        raise UnknownName(
            f"{env_id} was given, which is no active-learning environment; `alenv envs` lists those there are."
        )


def product(
    env_id: str,
    agents: Sequence[str],
    env_kwargs: Mapping[str, Any] | None = None,
    variants: Mapping[str, Mapping[str, Any]] | None = None,
) -> tuple[Arm, ...]:
    """Crosses agents with variants of one environment.

    Args:
        env_id: A registered environment id.
        agents: Agent spellings.
        env_kwargs: Keyword arguments that all arms share.
        variants: What is appended to the label -> further environment kwargs; by default one variant that
            changes nothing.
    """
    return tuple(
        Arm(agent.split("@", 1)[0] + suffix, env_id, agent, {**(env_kwargs or {}), **extra})
        for (suffix, extra), agent in itertools.product((variants or {"": {}}).items(), agents)
    )


@dataclass(frozen=True)
class Grid:
    """One size of a scenario: its arms, how many seeds, and what it asks of the machine."""

    arms: tuple[Arm, ...]
    seeds: int
    note: str

    def __post_init__(self) -> None:
        labels = [arm.label for arm in self.arms]
        if len(set(labels)) != len(labels):
            raise AlenvError(f"Two arms share a label in {labels}; give every arm its own.")


@dataclass(frozen=True)
class View:
    """One picture and table of a scenario: which arms are shown against which reference arm."""

    name: str
    title: str
    labels: tuple[str, ...]
    reference: str


@dataclass(frozen=True)
class Reference:
    """A published number to compare with: accuracy in percent at a number of labeled images."""

    label: str
    labeled: int
    accuracy: float
    sd: float | None
    source: str


@dataclass(frozen=True)
class Scenario:
    """Arms x seeds in three sizes, the pictures drawn from them, and the claim they test.

    Attributes:
        name: The name on the command line.
        title: One line for headings.
        claim: What the paper says that the runs should show.
        source: Section or figure of the paper.
        sizes: ``paper`` (as published), ``small`` (a CPU, minutes to an hour), ``smoke`` (seconds).
        views: The pictures; the first one is ``curve.png``.
        references: Published numbers of the ``paper`` size.
    """

    name: str
    title: str
    claim: str
    source: str
    sizes: Mapping[str, Grid]
    views: tuple[View, ...]
    references: tuple[Reference, ...] = ()

    def grid(self, size: str) -> Grid:
        """Returns the arms and seeds of one size.

        Raises:
            UnknownName: There is no such size.
        """
        if size not in self.sizes:
            raise unknown("size", size, self.sizes)
        return self.sizes[size]


Builder = Callable[..., Scenario]
_BUILDERS: dict[str, Builder] = {}


def register(builder: Builder) -> Builder:
    """Registers a function that builds a scenario under its own name; its parameters are the options."""
    _BUILDERS[builder.__name__] = builder
    return builder


def names() -> tuple[str, ...]:
    """Returns the names of all scenarios."""
    _load()
    return tuple(sorted(_BUILDERS))


def options(name: str) -> dict[str, Any]:
    """Returns the options of a scenario with their defaults."""
    return {key: value.default for key, value in inspect.signature(_builder(name)).parameters.items()}


def build(name: str, **chosen: Any) -> Scenario:
    """Builds a scenario by name.

    Raises:
        UnknownName: There is no such scenario, or it has no such option.
    """
    allowed = options(name)
    for option in chosen:
        if option not in allowed:
            raise unknown(f"option of scenario {name!r}", option, allowed)
    return _builder(name)(**chosen)


def check_option(kind: str, given: str, allowed: Iterable[str]) -> None:
    """Raises ``UnknownName`` unless ``given`` is one of ``allowed``."""
    if given not in (choices := tuple(allowed)):
        raise unknown(kind, given, choices)


def _builder(name: str) -> Builder:
    _load()
    if name not in _BUILDERS:
        raise unknown("scenario", name, _BUILDERS)
    return _BUILDERS[name]


def _load() -> None:
    """Imports the files that register scenarios."""
    import scenarios.paper  # noqa: F401, PLC0415  (they import this file)
