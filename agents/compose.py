"""Agents made of agents: a strategy that picks from what another chose, and parts that are told and saved."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import torch

from agents.base import Agent, Indices, Strategy
from agents.registry import check_options, construct, strategy
from agents.spelling import Spelling, parse
from alenv.errors import InvalidQuery, UnknownName

if TYPE_CHECKING:
    from alenv import View


def made(text: str) -> Agent:
    """Makes an agent from the spelling of a name or a composition, as wrappers of agents take them.

    Raises:
        UnknownName: There is no such agent or option.
    """
    return composed(parse(text))


def made_inside(text: str) -> Agent:
    """Makes an agent for use inside a policy: a strategy chooses from the candidates unless its spelling says else.

    A policy is trained over thousands of steps, and the whole pool takes many times as long as the candidates.

    Raises:
        UnknownName: There is no such agent or option.
    """
    spelled = parse(text)
    agent = composed(spelled)
    if isinstance(agent, Strategy) and "pool" not in spelled.options:
        agent.pool = "candidates"
    return agent


def composed(spelled: Spelling) -> Agent:
    """Makes the agent of a parsed name, or the subset of two.

    Raises:
        UnknownName: There is no such agent or option.
    """
    if len(spelled.names) == 1:
        return construct(spelled.names[0], spelled.options)
    by, then = (strategy(name) for name in spelled.names)
    if not {"by", "then"}.isdisjoint(spelled.options):
        raise UnknownName(
            "A subset is spelled by+then, so by and then are no options; write 'coreset+margin'."
        )
    check_options(Subset, Subset.name, spelled.options)
    return Subset(by, then, **spelled.options)


def needs_of(parts: Sequence[Agent]) -> tuple[str, ...]:
    """Returns what any of some agents needs, each once."""
    return tuple(dict.fromkeys(need for part in parts for need in part.needs))


def states_of(parts: Sequence[Agent]) -> dict[str, Any]:
    """Returns the states of some agents by position; empty where none has any."""
    states = {str(position): part.get_state() for position, part in enumerate(parts)}
    return states if any(states.values()) else {}


def restore(parts: Sequence[Agent], states: dict[str, Any]) -> None:
    """Gives some agents what ``states_of`` returned."""
    for position, part in enumerate(parts):
        if states:
            part.set_state(states[str(position)])


class Subset(Strategy):
    """``by`` chooses ``factor`` x B images, of which ``then`` picks B; spelled ``by+then``.

    Both are told what the query earned, and keep their states.

    Args:
        by: Chooses the subset.
        then: Picks the query from it.
        factor: Size of the subset in queries, at least 1.
        pool: What ``by`` chooses from; None = all unlabeled images.

    Raises:
        InvalidQuery: ``factor`` is not a whole number of at least 1.
    """

    name: ClassVar[str] = "by+then"
    cost: ClassVar[str] = "that of both strategies, the first for 10 B images"
    source: ClassVar[str] = "the paper, A.16: a diverse subset, then the most uncertain of it"

    def __init__(self, by: Strategy, then: Strategy, factor: int = 10, pool: str | None = None) -> None:
        super().__init__(pool)
        if not isinstance(factor, int) or factor < 1:
            raise InvalidQuery(
                f"factor={factor!r} was given; the subset is a whole number of queries, at least 1."
            )
        self.by, self.then, self.factor = by, then, factor
        self.needs = needs_of([by, then])

    def reset(self, view: View, seed: int = 0) -> None:
        """Starts an episode for both strategies."""
        super().reset(view, seed)
        self.by.reset(view, seed)
        self.then.reset(view, seed)

    def pick(self, view: View, indices: Indices, count: int, generator: torch.Generator) -> Indices:
        """Lets ``then`` choose from what ``by`` chose."""
        size = min(self.factor * count, len(indices))
        subset = indices if size == len(indices) else self.by.pick(view, indices, size, generator)
        return self.then.pick(view, subset, count, generator)

    def update(self, reward: float | None, info: dict[str, Any]) -> None:
        """Tells both strategies."""
        self.by.update(reward, info)
        self.then.update(reward, info)

    def get_state(self) -> dict[str, Any]:
        """Returns the states of both strategies."""
        return states_of([self.by, self.then])

    def set_state(self, state: dict[str, Any]) -> None:
        """Restores what ``get_state`` gave."""
        restore([self.by, self.then], state)
