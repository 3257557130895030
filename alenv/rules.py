"""What is allowed for a setting or an option, in words and as a test."""

from __future__ import annotations

import dataclasses
import math
import numbers
from collections.abc import Callable
from typing import Any

from alenv.errors import AlenvError

Rule = tuple[str, Callable[[Any], bool]]  # what is allowed, in words, and the test for it


def field_of(default: Any, rule: Rule) -> Any:
    """Declares a field with the rule that ``check_fields`` applies."""
    return dataclasses.field(default=default, metadata={"rule": rule})


def is_integer(value: Any) -> bool:
    """Tells whether a value is a whole number, and no truth value."""
    return isinstance(value, numbers.Integral) and not isinstance(value, bool)


def is_real(value: Any) -> bool:
    """Tells whether a value is a finite number, and no truth value."""
    return isinstance(value, numbers.Real) and not isinstance(value, bool) and math.isfinite(value)


def choice(default: str | None, *allowed: str | None) -> Any:
    """Declares a field of some names."""
    return field_of(default, one_of(*allowed))


def one_of(*allowed: str | None) -> Rule:
    """Allows some names."""
    words = ", ".join("None" if name is None else repr(name) for name in allowed)
    return f"one of {words}", lambda value: value in allowed


def whole(least: int) -> Rule:
    """Allows whole numbers of at least ``least``."""
    return f"a whole number of at least {least}", lambda value: is_integer(value) and value >= least


def number(least: float = 0.0, most: float = math.inf, above: bool = False) -> Rule:
    """Allows finite numbers from ``least`` (with ``above``: without it) to ``most``."""
    words = f"a number {'above' if above else 'of at least'} {least:g}"
    words += "" if most == math.inf else f" and at most {most:g}"

    def test(value: Any) -> bool:
        return is_real(value) and (value > least if above else value >= least) and value <= most

    return words, test


def integer(default: int, least: int) -> Any:
    """Declares a field of whole numbers."""
    return field_of(default, whole(least))


def real(default: float, least: float = 0.0, most: float = math.inf, above: bool = False) -> Any:
    """Declares a field of numbers."""
    return field_of(default, number(least, most, above))


def flag(default: bool) -> Any:
    """Declares a field of truth values."""
    return field_of(default, ("True or False", lambda value: isinstance(value, bool)))


def optional(spec: Any) -> Any:
    """Declares a field that may also be None, its default."""
    words, test = spec.metadata["rule"]
    return field_of(None, (f"None or {words}", lambda value: value is None or test(value)))


def text(default: str) -> Any:
    """Declares a field of any text."""
    return field_of(default, ("a string", lambda value: isinstance(value, str)))


def text_or_none() -> Any:
    """Declares a field of any text or None, its default."""
    return field_of(None, ("None or a string", lambda value: value is None or isinstance(value, str)))


def or_word(word: str, spec: Any) -> Any:
    """Declares a field that may also be one word."""
    words, test = spec.metadata["rule"]
    return field_of(spec.default, (f"{word!r} or {words}", lambda value: value == word or test(value)))


def check_fields(settings: Any, error: type[AlenvError]) -> None:
    """Raises ``error`` for the first field whose value its rule does not allow."""
    for spec in dataclasses.fields(settings):
        value = getattr(settings, spec.name)
        words, test = spec.metadata["rule"]
        if not test(value):
            raise error(f"{spec.name}={value!r} was given; it must be {words}.")
