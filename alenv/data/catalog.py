"""The datasets by name."""

from __future__ import annotations

from alenv import errors
from alenv.data import digits
from alenv.data.dataset import Dataset

_LOADED: dict[str, Dataset] = {}


def names() -> tuple[str, ...]:
    """Returns the name of every dataset."""
    return (digits.NAME,)


def load(name: str) -> Dataset:
    """Returns a dataset."""
    if name not in names():
        raise errors.unknown("dataset", name, names())
    if name not in _LOADED:
        _LOADED[name] = digits.load()
    return _LOADED[name]
