"""The agents by name: a decorator registers one, and every file of ``strategies`` and ``policies`` is found."""

from __future__ import annotations

import inspect
from typing import Any, TypeVar

from agents.base import Agent, Strategy
from alenv import plugins
from alenv.errors import UnknownName, unknown

_AGENTS: dict[str, type[Agent]] = {}
Kind = TypeVar("Kind", bound=type[Agent])


def register(agent: Kind) -> Kind:
    """Registers an agent under its ``name``; a class decorator.

    Raises:
        UnknownName: It has no name, or an agent of alenv's own has it already.
    """
    if not agent.name or any(mark in agent.name for mark in ":+@=,"):
        raise UnknownName(f"{agent.__name__}.name is {agent.name!r}; give a word without any of : + @ = ,")
    known = _AGENTS.get(agent.name)
    if known is not None and known.__module__ != agent.__module__ and known.__module__.startswith("agents."):
        raise UnknownName(f"There is an agent {agent.name!r} already; give {agent.__name__} another name.")
    _AGENTS[agent.name] = agent
    return agent


def _registered() -> dict[str, type[Agent]]:
    plugins.walk("agents.strategies")
    plugins.walk("agents.policies", holding="@register")  # not what loads Stable-Baselines3 for a second
    return _AGENTS


def find(name: str) -> type[Agent]:
    """Returns the class of a registered name, or of a user's own agent (``FILE.py:NAME``, ``MODULE:NAME``).

    Raises:
        UnknownName: There is none.
    """
    if plugins.is_own(name):
        _refuse_misspelled(name)
    refusal = "is no agent; give a subclass of agents.Agent or agents.Strategy."
    return plugins.find(name, "agent", _registered, lambda kind: issubclass(kind, Agent), refusal)


def _refuse_misspelled(name: str) -> None:
    """Tells an option without a value (``margin:pool``) from a module of a user's own."""
    agent, _, option = name.partition(":")
    if agent in _registered():
        raise UnknownName(
            f"{option!r} in the agent {name!r} cannot be read; write each option as name=value."
        )


def construct(name: str, options: dict[str, Any]) -> Agent:
    """Makes an agent, naming an option that it does not have.

    Raises:
        UnknownName: There is no such agent or option.
    """
    agent = find(name)
    check_options(agent, name, options)
    return agent(**options)


def strategy(name: str) -> Strategy:
    """Makes an agent that chooses from given images, as compositions need.

    Raises:
        UnknownName: There is no such agent, or it is no strategy.
    """
    found = construct(name, {})
    if not isinstance(found, Strategy):
        raise UnknownName(
            f"{name} is no strategy, so it chooses from no subset; only strategies go with a +."
        )
    return found


def check_options(agent: type[Agent], name: str, options: dict[str, Any]) -> None:
    """Raises ``UnknownName`` for an option that an agent's class does not take."""
    allowed = list(inspect.signature(agent).parameters)
    for option in options:
        if option not in allowed:
            raise unknown(f"option of the agent {name}", option, allowed)
