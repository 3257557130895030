"""The scenarios by name: every file of the catalog registers its own."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterable
from typing import Any

from alenv import plugins
from alenv.errors import UnknownName, unknown
from scenarios.plan.scenario import Scenario

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
    """Builds a scenario by name, or one of a user's own (``FILE.py:FUNCTION``, ``MODULE:FUNCTION``).

    Raises:
        UnknownName: There is no such scenario, or it has no such option.
    """
    allowed = options(name)
    for option in chosen:
        if option not in allowed:
            raise unknown(f"option of scenario {name!r}", option, allowed)
    found = _builder(name)(**chosen)
    if not isinstance(found, Scenario):
        raise UnknownName(f"{name!r} is no scenario; give a function that returns a scenarios.Scenario.")
    return found


def check_option(kind: str, given: str, allowed: Iterable[str]) -> None:
    """Raises ``UnknownName`` unless ``given`` is one of ``allowed``."""
    if given not in (choices := tuple(allowed)):
        raise unknown(kind, given, choices)


def _builder(name: str) -> Builder:
    if plugins.is_own(name):
        found = plugins.load(name, "scenario")
        if not callable(found):
            raise UnknownName(f"{name!r} is no scenario; give a function that returns a scenarios.Scenario.")
        builder: Builder = found
        return builder
    _load()
    if name not in _BUILDERS:
        raise unknown("scenario", name, _BUILDERS)
    return _BUILDERS[name]


def _load() -> None:
    """Imports every file of the catalog, each of which registers its scenarios."""
    plugins.walk("scenarios.catalog")  # a name, because its files import this one
