"""All fixed strategies by their spelling."""

from __future__ import annotations

from agents import badge, coreset, kmeans, ll4al, uncertainty, uniform
from agents.base import Strategy, construct, registered
from agents.spelling import Spelling, parse
from agents.subset import Subset
from alenv.errors import UnknownName

_FAMILIES = (badge, coreset, kmeans, ll4al, uncertainty, uniform)  # imported so that they register


def strategy(text: str) -> Strategy:
    """Makes a fixed strategy from its spelling.

    Raises:
        UnknownName: There is no such strategy or option.
    """
    return from_spelling(parse(text))


def from_spelling(spelled: Spelling) -> Strategy:
    """Makes a fixed strategy from a parsed spelling.

    Raises:
        UnknownName: There is no such strategy or option.
    """
    if len(spelled.names) == 1:
        return construct(registered(spelled.names[0]), spelled.options)
    by, then = (construct(registered(name), {}) for name in spelled.names)
    if not {"by", "then"}.isdisjoint(spelled.options):
        raise UnknownName(
            "A subset is spelled by+then, so by and then are no options; write 'coreset+margin'."
        )
    return construct(Subset, {"by": by, "then": then, **spelled.options})
