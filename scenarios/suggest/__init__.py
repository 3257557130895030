"""Which images to label next, asked of a person; and which strategy to ask by."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenarios.suggest.advising import Advice, advise
    from scenarios.suggest.suggesting import apply, suggest
    from scenarios.suggest.suggestion import Suggestion

__all__ = ["Advice", "Suggestion", "advise", "apply", "suggest"]

_PLACES = {"Advice": "advising", "advise": "advising"}


def __getattr__(name: str) -> Any:
    from importlib import import_module  # noqa: PLC0415  (torch loads when a name is asked for)

    if name not in __all__:
        raise AttributeError(f"module 'scenarios.suggest' has no attribute {name!r}")
    return getattr(import_module(f"scenarios.suggest.{_PLACES.get(name, 'suggesting')}"), name)
