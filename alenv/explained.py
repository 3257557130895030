"""Every setting of an environment in words, from the rules and docstrings of their classes."""

from __future__ import annotations

import dataclasses
import inspect
from dataclasses import dataclass
from typing import Any

from alenv.settings import Options, Protocol, Recipe

_INNER = ("joint_options", "default_device")  # fields that are no settings of gym.make


@dataclass(frozen=True)
class Explained:
    """One setting, as its class says it.

    Attributes:
        name: What ``gym.make`` takes.
        group: ``"recipe"``, ``"protocol"`` or ``"environment"``.
        default: The value where neither the id nor the user gives one.
        allowed: What may be given.
        meaning: What it does, plain text.
    """

    name: str
    group: str
    default: Any
    allowed: str
    meaning: str


def explained() -> list[Explained]:
    """Returns every setting of an environment in the order of their classes, from their rules and docstrings."""
    groups = {"recipe": Recipe, "protocol": Protocol, "environment": Options}
    found = []
    for group, settings in groups.items():
        meanings = _meanings(settings)
        for spec in dataclasses.fields(settings):
            if spec.name not in _INNER:
                allowed = spec.metadata["rule"][0]
                found.append(Explained(spec.name, group, spec.default, allowed, meanings[spec.name]))
    return found


def _meanings(settings: type[Recipe] | type[Protocol] | type[Options]) -> dict[str, str]:
    """Reads the attributes' section of a docstring: name -> one paragraph."""
    section = inspect.cleandoc(settings.__doc__ or "").partition("Attributes:\n")[2].partition("\n\n")[0]
    found: dict[str, str] = {}
    name = ""
    for line in section.splitlines():
        if line.startswith("        "):
            found[name] += " " + line.strip()
        else:
            name, _, first = line.strip().partition(": ")
            found[name] = first
    return {name: meaning.replace("``", "") for name, meaning in found.items()}
