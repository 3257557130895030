"""The learners by name: a decorator registers one under what ``head=`` takes, and every file here is found."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any, TypeVar, cast

from alenv import plugins
from alenv.errors import UnknownName, unknown
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
    if plugins.is_own(name):
        found: Any = plugins.load(name, "head")
        if not (
            inspect.isclass(found) and all(hasattr(found, each) for each in ("build", "offers", "infer"))
        ):
            raise UnknownName(f"{name!r} is no learner; give a class with the methods of alenv.Learner.")
        return cast("type[Learner]", found)
    if name not in _registered():
        raise unknown("head", name, _LEARNERS)
    return _LEARNERS[name]
