"""Which environment a saved state belongs to."""

from __future__ import annotations

import dataclasses
from typing import Any

from alenv.episode import Episode
from alenv.errors import InvalidState
from alenv.recipe import Protocol, Recipe

VERSION = 2
UNREADABLE = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
)  # what reading nonsense raises


def fingerprint(recipe: Recipe, protocol: Protocol, checksum: str) -> dict[str, Any]:
    """Returns what a state depends on, as loadable values: recipe, protocol and the checksum of the data."""
    return {
        "recipe": dataclasses.asdict(recipe),
        "protocol": dataclasses.asdict(protocol),
        "dataset": checksum,
    }


def check(saved: Any, recipe: Recipe, protocol: Protocol, checksum: str) -> Episode:
    """Checks that a state was saved from an environment with these settings, and returns its episode.

    Raises:
        InvalidState: It was not; the message names what differs.
    """
    if not isinstance(saved, dict) or saved.get("version") != VERSION:
        raise InvalidState("The state was not written by this version of alenv; start the episode anew.")
    for part in ("environment", "episode", "learner", "previous"):
        first = part == "previous" and part in saved and saved[part] is None  # cycle 0 has none before it
        if not first and not isinstance(saved.get(part), dict):
            raise InvalidState(f"The state has no {part}; give what get_state returned, unchanged.")
    theirs = saved["environment"]
    for group, value in fingerprint(recipe, protocol, checksum).items():
        other = theirs.get(group)
        if other == value:
            continue
        known = isinstance(value, dict) and isinstance(other, dict)
        names = [k for k in value if value[k] != other.get(k)] if known else [group]
        raise InvalidState(
            f"The state belongs to an environment with another {group} ({', '.join(names)}); make the "
            "environment with the settings it was saved from."
        )
    try:
        return Episode.from_state(saved["episode"])
    except UNREADABLE as error:
        raise InvalidState(f"The episode of the state cannot be read ({error!r}).") from error
