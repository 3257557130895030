"""How agents are written on the command line.

``margin``; ``margin:pool=all`` (options of the agent, each after a colon); ``coreset+margin`` (a diverse
subset, then the best of it); ``ll4al@joint=loss_prediction`` (environment kwargs of this arm alone, each
after an at sign); ``policy=FOLDER`` or the folder itself (a saved policy); ``mine.py:Class`` or
``module:Class`` in the place of a name (an agent of one's own).
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from alenv.errors import UnknownName

POLICY = "policy"
POLICY_CONFIG = "config.json"


@dataclass(frozen=True)
class Spelling:
    """A parsed agent.

    Attributes:
        names: The agent's name, or where its class is; two for a subset and what follows.
        options: Keyword arguments of the agent.
        env_kwargs: Keyword arguments of the environment.
    """

    names: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)
    env_kwargs: dict[str, Any] = field(default_factory=dict)


def parse(text: str) -> Spelling:
    """Reads an agent as it is spelled on the command line; does not look whether it exists.

    Values are read as JSON scalars (``true``, ``null``, ``3``, ``0.5``), anything else as text.

    Raises:
        UnknownName: The text is not of the form above.
    """
    if not isinstance(text, str):
        raise UnknownName(f"{text!r} was given as an agent; give its name, such as 'margin'.")
    agent, *settings = text.split("@")
    env_kwargs = _settings(settings, text)
    path = agent.removeprefix(f"{POLICY}=")
    if path != agent or (Path(agent) / POLICY_CONFIG).is_file():
        return Spelling((POLICY,), {"path": path}, env_kwargs)
    names, options = _names_and_options(agent)
    if not all(names) or len(names) > 2:
        raise UnknownName(
            f"The agent {text!r} cannot be read; write a name, such as margin, or two, as in coreset+margin."
        )
    return Spelling(names, _settings(options, text), env_kwargs)


def _names_and_options(agent: str) -> tuple[tuple[str, ...], list[str]]:
    """Parts an agent at the first colon with a setting behind it; those before it belong to FILE.py:CLASS."""
    parts = agent.split(":")
    first = next((at for at, part in enumerate(parts) if at and ("=" in part or not part)), len(parts))
    return tuple(":".join(parts[:first]).split("+")), parts[first:]


def _settings(parts: list[str], text: str) -> dict[str, Any]:
    settings = {}
    for part in parts:
        name, equals, value = part.partition("=")
        if not name or not equals or name in settings:
            raise UnknownName(
                f"{part!r} in the agent {text!r} cannot be read; write each once as name=value."
            )
        settings[name] = _scalar(value)
    return settings


def _scalar(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    finite = not isinstance(value, float) or math.isfinite(value)
    return value if finite and not isinstance(value, dict | list) else text
