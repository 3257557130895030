"""The typed errors of alenv: each takes one sentence that says what was given, what is allowed, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


class AlenvError(ValueError):
    """Base class of every error that alenv raises on purpose."""


class UnknownName(AlenvError):
    """A dataset, backbone, agent, device, option or scenario that does not exist."""


class InvalidRecipe(AlenvError):
    """A recipe field has a value, or a combination of values, that cannot be trained."""


class InvalidProtocol(AlenvError):
    """Initial set, query size, budget or split do not fit the dataset or each other."""


class InvalidQuery(AlenvError):
    """An action that is not a legal query; the environment's state is unchanged."""


class InvalidState(AlenvError):
    """A saved state that does not belong to this environment."""


class NotReset(AlenvError):
    """The environment was used before its first ``reset``."""


class EpisodeOver(AlenvError):
    """The budget is spent; only ``reset`` is possible."""


class PeekNotAllowed(AlenvError):
    """``peek`` without ``allow_peek=True`` or without a validation split."""


class HiddenLabel(AlenvError):
    """A label was asked for that has not been bought."""


class LabelLeak(AlenvError):
    """A run in which labels were revealed that nobody paid for."""


class MissingHead(AlenvError):
    """The recipe does not provide what an agent or a view method needs."""


class DatasetNotFound(AlenvError):
    """The dataset is neither cached nor can it be downloaded."""


class CorruptDataset(AlenvError):
    """Cached or downloaded data does not match its checksum."""


class UnreadableImages(AlenvError):
    """An image folder holds files that cannot be decoded, or holds no usable images."""


class InvalidLabels(AlenvError):
    """A file of labels cannot be read, or does not fit the images."""


class StorageError(AlenvError):
    """A file could not be written (disk full, folder read-only)."""


class RunConflict(AlenvError):
    """A run folder belongs to another configuration or to a running process."""


class CorruptRun(AlenvError):
    """A run folder holds files that cannot be read."""


def unknown(kind: str, given: object, allowed: Iterable[str]) -> UnknownName:
    """Builds the error for a name that does not exist, naming the nearest one that does.

    Args:
        kind: What was looked up, for instance ``"backbone"``.
        given: The name that was given.
        allowed: Every name that exists.
    """
    names = sorted(allowed)
    near = difflib.get_close_matches(str(given), names, n=1, cutoff=0.5)
    hint = f"did you mean {near[0]!r}?" if near else f"choose one of {', '.join(names)}."
    return UnknownName(f"There is no {kind} {given!r}; {hint}")
