"""The learners by name: a decorator registers one under what ``head=`` takes, and every file here is found."""

from __future__ import annotations

from collections.abc import Callable
from typing import TypeVar

from alenv import plugins
from alenv.learners.protocol import Learner

_LEARNERS: dict[str, type[Learner]] = {}
Kind = TypeVar("Kind", bound=type[Learner])


def register(name: str) -> Callable[[Kind], Kind]:
    """Registers a learner under the name that ``head=`` takes; a class decorator."""

    def add(learner: Kind) -> Kind:
        _LEARNERS[name] = learner
        return learner

    return add


def _registered() -> dict[str, type[Learner]]:
    plugins.walk("alenv.learners")
    return _LEARNERS


def names() -> list[str]:
    """Names every learner."""
    return sorted(_registered())


def find(name: str) -> type[Learner]:
    """Returns the class of ``head=name``: a registered one, or a user's own.

    Raises:
        UnknownName: There is none.
    """
    refusal = "is no learner; give a class with the methods of alenv.Learner."
    return plugins.find(name, "head", _registered, _has_methods, refusal)


def _has_methods(kind: type) -> bool:
    return all(hasattr(kind, each) for each in ("build", "offers", "infer"))
