"""Which environment a saved state belongs to."""

from __future__ import annotations

import dataclasses
from typing import Any

from alenv.errors import InvalidState
from alenv.recipe import Protocol, Recipe

VERSION = 1


def fingerprint(recipe: Recipe, protocol: Protocol, checksum: str) -> dict[str, Any]:
    """Returns what a state depends on, as JSON-like values: recipe, protocol and the checksum of the data."""
    return {
        "recipe": _plain(dataclasses.asdict(recipe)),
        "protocol": _plain(dataclasses.asdict(protocol)),
        "dataset": checksum,
    }


def check(saved: Any, recipe: Recipe, protocol: Protocol, checksum: str) -> None:
    """Checks that a state was saved from an environment with these settings.

    Raises:
        InvalidState: It was not; the message names what differs.
    """
    if not isinstance(saved, dict) or saved.get("version") != VERSION:
        raise InvalidState("The state was not written by this version of alenv; start the episode anew.")
    theirs = saved["environment"]
    for group, value in fingerprint(recipe, protocol, checksum).items():
        other = theirs.get(group)
        if other == value:
            continue
        names = [k for k in value if value[k] != other.get(k)] if isinstance(value, dict) else [group]
        raise InvalidState(
            f"The state belongs to an environment with another {group} ({', '.join(names)}); make the "
            "environment with the settings it was saved from."
        )


def _plain(value: Any) -> Any:
    """Turns tuples into lists, as a file would."""
    if isinstance(value, dict):
        return {name: _plain(each) for name, each in value.items()}
    return [_plain(each) for each in value] if isinstance(value, (tuple, list)) else value
