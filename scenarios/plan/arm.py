"""An arm: an environment with an agent, and what must hold before either is made."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import gymnasium as gym
from gymnasium.envs.registration import load_env_creator

from alenv.errors import UnknownName, unknown
from alenv.registration import ENVIRONMENTS, known_id

CODE = ("agent", "embedding", "environment", "head", "joint")  # what a user's own code can be


@dataclass(frozen=True)
class Arm:
    """An environment with an agent: one line of the picture.

    Attributes:
        label: The name in tables and pictures; unique within a comparison.
        env_id: A registered environment id; ``FILE.py:ID`` and ``MODULE:ID`` run what registers it first.
        agent: An agent as it is spelled on the command line, for instance ``"coreset+margin"``; environment
            kwargs in the spelling (``"ll4al@joint=loss_prediction"``) belong to this arm alone.
        env_kwargs: Keyword arguments of the environment; JSON values.
        agent_kwargs: Keyword arguments of the agent; JSON values.
        content: Checksums of the files behind these names (the dataset, an embedding, pretrained weights, a
            saved policy, code of a user's own), so that a changed file is a changed configuration.
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

    def settings(self, threads: int | None) -> dict[str, Any]:
        """Returns what ``gym.make`` is given: the arm's own settings go before those of every run."""
        given = {} if threads is None else {"threads": threads}
        return {"observe": "progress", "on_invalid": "raise", **given, **self.env_kwargs}

    def without_code(self) -> dict[str, Any]:
        """Returns the configuration without the user's own code: edited code is played anew, not refused."""
        found = self.configuration()
        found["content"] = {name: digest for name, digest in self.content.items() if not _is_code(name)}
        return found

    def configuration(self) -> dict[str, Any]:
        """Returns what identifies the arm, without its label, as JSON values in a fixed order."""
        return {
            "env_id": self.env_id,
            "env_kwargs": dict(sorted(self.env_kwargs.items())),
            "agent": self.agent,
            "agent_kwargs": dict(sorted(self.agent_kwargs.items())),
            **({"content": dict(sorted(self.content.items()))} if self.content else {}),
        }


def _is_code(name: str) -> bool:
    return name.partition("/")[0] in CODE and "/" in name


def refuse_reserved(settings: Iterable[str]) -> None:
    """Raises ``UnknownName`` for names that ``gym.make`` keeps for itself."""
    for name in settings:
        if name in ("id", "max_episode_steps", "disable_env_checker"):
            raise UnknownName(f"{name}= was given; it is no setting of an environment, so leave it out.")


def check_environment(env_id: str) -> None:
    """Checks that an id is one of an active-learning environment, without making it.

    Raises:
        UnknownName: There is no such id, or it is an environment of another kind.
    """
    known = known_id(env_id)
    try:
        entry = gym.spec(known).entry_point
    except gym.error.Error as error:
        raise unknown("environment", known, ENVIRONMENTS) from error
    creator = load_env_creator(entry) if isinstance(entry, str) else entry
    if inspect.isclass(creator) and not hasattr(creator, "view"):
        raise UnknownName(
            f"{env_id} was given, which is no active-learning environment; `alenv envs` lists those there are."
        )


def make_environment(arm: Arm, threads: int | None, render: bool = False) -> gym.Env[Any, Any]:
    """Makes an arm's environment as every run plays it, with ``render`` one that draws its cycles."""
    shown = {"render_mode": "rgb_array"} if render else {}
    return gym.make(known_id(arm.env_id), **{**arm.settings(threads), **shown})


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
