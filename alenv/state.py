"""Saved states: what they hold, which environment they belong to, and whether they can be."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from alenv.episode import Episode
from alenv.errors import InvalidState
from alenv.pool import OUTLIER
from alenv.settings import Protocol, Recipe

VERSION = 3
UNREADABLE = (
    LookupError,
    TypeError,
    ValueError,
    AttributeError,
    RuntimeError,
)  # what reading nonsense raises
UNCHANGED = "give what get_state returned, unchanged"


@dataclasses.dataclass(frozen=True)
class Fingerprint:
    """What a state depends on, and the sizes that bound what it can hold.

    Attributes:
        recipe: How the classifier is trained.
        protocol: What is bought when, with the budget resolved.
        checksum: Of the dataset.
        pool_size: N.
        num_classes: C.
        test_size: Test images; 0 where accuracy on them is not measured.
    """

    recipe: Recipe
    protocol: Protocol
    checksum: str
    pool_size: int
    num_classes: int
    test_size: int

    def as_dict(self) -> dict[str, Any]:
        """Returns what identifies the environment, as loadable values."""
        return {
            "recipe": dataclasses.asdict(self.recipe),
            "protocol": dataclasses.asdict(self.protocol),
            "dataset": self.checksum,
        }


def check(saved: Any, own: Fingerprint) -> tuple[Episode, NDArray[np.int64]]:
    """Checks that a state was saved from such an environment and that an episode can be as it says.

    Args:
        saved: What ``get_state`` gave.
        own: The environment that is to take it.

    Returns:
        The episode, and the pool indices (n,) of all labels that were revealed in it.

    Raises:
        InvalidState: It was not, or it cannot be; the message names what is wrong.
    """
    if not isinstance(saved, dict) or saved.get("version") != VERSION:
        raise InvalidState("The state was not written by this version of alenv; start the episode anew.")
    for part in ("environment", "episode", "learner", "previous"):
        first = part == "previous" and part in saved and saved[part] is None  # cycle 0 has none before it
        if not first and not isinstance(saved.get(part), dict):
            raise InvalidState(f"The state has no {part}; {UNCHANGED}.")
    theirs = saved["environment"]
    for group, value in own.as_dict().items():
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
        wrong = next(_impossibilities(saved, own), None)
        if wrong is None:
            return Episode.from_state(saved["episode"]), saved["revealed"].numpy().copy()
    except UNREADABLE as error:
        raise InvalidState(f"The episode of the state cannot be read ({error!r}).") from error
    raise InvalidState(f"The state cannot be one of an episode here ({wrong}); {UNCHANGED}.")


def _impossibilities(saved: dict[str, Any], own: Fingerprint) -> Iterator[str]:
    """Yields what no episode of this environment can hold; what follows a first one may make no sense."""
    protocol, episode = own.protocol, saved["episode"]
    measured = max(len(episode["test_correct"]), len(episode["validation_correct"]))
    cycle, labels = measured - 1, episode["labels"]
    if not _whole(episode["key"], 2**63 - 1):
        yield "its key is no whole number below 2**63"
    if not 0 <= cycle <= protocol.cycles:
        yield f"it has {measured} accuracies"
    if (saved["previous"] is None) != (cycle == 0):
        yield "the weights of the cycle before do not belong to its cycle"
    for name, given in (("labeled", episode["labeled"]), ("revealed", saved["revealed"])):
        if not _are_indices(given, own.pool_size):
            yield f"its {name} images are no distinct pool indices"
    if episode["initial_size"] != protocol.initial_size:
        yield f"its initial set has {episode['initial_size']} images"
    if len(episode["labeled"]) != protocol.initial_size + cycle * protocol.query_size:
        yield f"it has {len(episode['labeled'])} labels after {cycle} queries"
    if labels.shape != episode["labeled"].shape or labels.dtype != torch.int64:
        yield "its labels are not one whole number per labeled image"
    if len(labels) and not OUTLIER <= int(labels.min()) <= int(labels.max()) < own.num_classes:
        yield "a label is none of the classes"
    counts = [
        ("test", own.test_size, episode["test_correct"]),
        ("validation", protocol.validation, episode["validation_correct"]),
    ]
    for name, most, given in counts:
        if len(given) != (measured if most else 0) or not all(_whole(count, most) for count in given):
            yield f"its {len(given)} {name} accuracies do not fit"
    if not _whole(episode["replaced"], protocol.query_size):
        yield f"{episode['replaced']} replaced indices"


def _whole(value: object, most: int) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= most


def _are_indices(given: Any, size: int) -> bool:
    """Tells whether ``given`` is an int64 tensor of distinct pool indices."""
    if not isinstance(given, torch.Tensor) or given.ndim != 1 or given.dtype != torch.int64:
        return False
    inside = not len(given) or 0 <= int(given.min()) <= int(given.max()) < size
    return inside and len(set(given.tolist())) == len(given)
