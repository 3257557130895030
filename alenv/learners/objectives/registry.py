"""The joint objectives by name: a decorator registers one, and every file here is found."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable
from typing import Any, TypeVar

from alenv import plugins
from alenv.errors import InvalidRecipe, unknown
from alenv.explained import Explained
from alenv.learners.objectives.base import Objective
from alenv.rules import Rule, number
from alenv.settings import Recipe

_OBJECTIVES: dict[str, type[Objective]] = {}
Kind = TypeVar("Kind", bound=type[Objective])


def register(name: str) -> Callable[[Kind], Kind]:
    """Registers an ``Objective`` under the name that ``joint=`` takes; a class decorator."""

    def add(objective: Kind) -> Kind:
        _OBJECTIVES[name] = objective
        return objective

    return add


def _registered() -> dict[str, type[Objective]]:
    plugins.walk("alenv.learners.objectives")
    return _OBJECTIVES


def names() -> list[str]:
    """Names every joint objective."""
    return sorted(_registered())


def providing(score: str) -> list[str]:
    """Names the joint objectives that give pool images a ``score``."""
    return sorted(name for name, objective in _registered().items() if score in objective.provides)


def find(name: str | None) -> type[Objective]:
    """Returns the class of ``joint=name``: a registered one, a user's own, or the plain loss for None.

    Raises:
        UnknownName: There is none.
    """
    if name is None:
        return Objective
    refusal = "is no objective; give a subclass of alenv.Objective."
    return plugins.find(name, "objective", _registered, lambda kind: issubclass(kind, Objective), refusal)


def make(recipe: Recipe) -> Objective:
    """Builds the objective of a recipe, the plain classification loss when ``joint`` is None.

    Raises:
        UnknownName: There is no such objective, or it has no such option.
        InvalidRecipe: An option has a value that is not allowed.
    """
    objective = find(recipe.joint)
    for name, value in recipe.joint_options:
        if name not in objective.options:
            raise unknown(f"option of joint={recipe.joint!r}", name, objective.options)
        words, test = objective.rules.get(name) or _like(objective.options[name])
        if not test(value):
            raise InvalidRecipe(f"{name}={value!r} was given; it must be {words}.")
    return objective(recipe, **dict(recipe.joint_options))


def explained(name: str) -> list[Explained]:
    """Returns the options of an objective, as ``alenv.explained`` does those of environments."""
    objective = find(name)
    document = inspect.cleandoc(objective.__doc__ or "")
    return [
        Explained(
            option,
            f"joint={name}",
            default,
            (objective.rules.get(option) or _like(default))[0],
            document.partition("\n\n")[0].replace("\n", " "),
        )
        for option, default in objective.options.items()
    ]


def _like(default: Any) -> Rule:
    """Allows values of the type of ``default``; a whole number will do for a fraction."""
    if isinstance(default, float):
        return number(-math.inf)
    words = f"of type {type(default).__name__}, like its default {default!r}"
    return words, lambda value: type(value) is type(default)
