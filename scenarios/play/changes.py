"""Says in words what differs between what a run was begun with and what it would go on with."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

_UNSET = "(unset)"


def difference(found: Any, wanted: Any, name: str) -> str | None:
    """Describes the first field in which two JSON values differ, or returns None.

    Args:
        found: What a run was begun with.
        wanted: What it would go on with.
        name: What the values are called.

    Returns:
        The end of "The run was ...": ``"begun with lr=0.1, not lr=0.2"``, or of a checksum, which says nothing to a
        reader, ``"begun before the images of the dataset changed"``.
    """
    if isinstance(found, Mapping) and isinstance(wanted, Mapping):
        # Another file is said by its name; only the same name with another content is a changed file.
        for key in sorted({*found, *wanted} - {"content"}):
            change = difference(found.get(key, _UNSET), wanted.get(key, _UNSET), key)
            if change is not None:
                return "begun before the images of the dataset changed" if key == "checksum" else change
        return _changed_content(found, wanted)
    if json.dumps(found) == json.dumps(wanted):
        return None
    before, now = (f"{name} unset" if value == _UNSET else f"{name}={value!r}" for value in (found, wanted))
    return f"begun with {before}, not {now}"


def _changed_content(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> str | None:
    """Names the first file of two arms' ``content`` that has changed."""
    before, now = found.get("content", {}), wanted.get("content", {})
    for name in sorted({*before, *now}):
        if before.get(name) != now.get(name):
            return f"begun before {_called(name, wanted.get('env_kwargs', {}))} changed"
    return None


def _called(name: str, settings: Mapping[str, Any]) -> str:
    """Returns what to call an entry of ``Arm.content`` in a sentence."""
    kind, _, file = name.partition("/")
    if name == "dataset":
        return "the images of the dataset"
    if kind == "policy":
        return "the policy"
    if file:
        return f"the code of the {kind} in {file}"
    return f"{'weights' if name == 'pretraining' else name} file {PurePath(str(settings.get(name, ''))).name}"
