"""Rules for the options of agents: what breaks one is refused when the agent is made."""

from __future__ import annotations

import math
from collections.abc import Sequence

from alenv.errors import InvalidQuery, unknown


def whole(name: str, value: int, least: int = 1) -> int:
    """Returns an option that is a whole number of at least ``least``.

    Raises:
        InvalidQuery: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise InvalidQuery(f"{name}={value!r} was given; give a whole number of at least {least}.")
    return value


def number(
    name: str, value: float, *, least: float = 0.0, most: float = math.inf, above: bool = False
) -> float:
    """Returns an option that is a finite number from ``least`` (with ``above``: larger than it) to ``most``.

    Raises:
        InvalidQuery: It is not.
    """
    real = isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value)
    if not real or not least <= value <= most or (above and value == least):
        allowed = f"a number {'above' if above else 'of at least'} {least:g}"
        allowed += "" if most == math.inf else f" and at most {most:g}"
        raise InvalidQuery(f"{name}={value!r} was given; give {allowed}.")
    return float(value)


def share(name: str, value: float) -> float:
    """Returns an option that is a number of at least 0 and at most 1.

    Raises:
        InvalidQuery: It is not.
    """
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= 1:
        raise InvalidQuery(f"{name}={value!r} was given; it must be a number of at least 0 and at most 1.")
    return float(value)


def flag(name: str, value: bool) -> bool:
    """Returns an option that is True or False.

    Raises:
        InvalidQuery: It is neither.
    """
    if not isinstance(value, bool):
        raise InvalidQuery(f"{name}={value!r} was given; give true or false.")
    return value


def word(name: str, value: str, allowed: Sequence[str]) -> str:
    """Returns an option that is one of some words.

    Raises:
        UnknownName: It is none of them.
    """
    if value not in allowed:
        raise unknown(name, value, allowed)
    return value
