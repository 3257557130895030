"""What makes a query legal, and which unlabeled images are shown as candidates."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from alenv.episode import Episode
from alenv.errors import InvalidProtocol, InvalidQuery
from alenv.seeding import Purpose, numpy_stream

Indices = NDArray[np.int64]


def parse(action: Any, pool_size: int, query_size: int) -> Indices:
    """Reads an action as pool indices.

    Args:
        action: What the agent gave.
        pool_size: N.
        query_size: B.

    Returns:
        A copy, int64 (B,), each in [0, N).

    Raises:
        InvalidQuery: Shape, dtype or a value is outside the action space.
    """
    wanted = f"give {query_size} whole numbers from 0 to {pool_size - 1} as int64"
    try:
        query = np.asarray(action.detach().cpu() if isinstance(action, Tensor) else action)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidQuery(f"A query that is no array was given ({error}); {wanted}.") from error
    if query.shape != (query_size,):
        raise InvalidQuery(f"A query of shape {query.shape} was given; {wanted}.")
    if not (np.issubdtype(query.dtype, np.integer) and np.can_cast(query.dtype, np.int64)):
        raise InvalidQuery(f"A query of dtype {query.dtype} was given; {wanted}.")
    outside = query[(query < 0) | (query >= pool_size)]
    if len(outside):
        raise InvalidQuery(f"Pool index {outside[0]} was given; {wanted}.")
    return query.astype(np.int64)


def legalize(query: Indices, episode: Episode, pool_size: int, refuse: bool) -> tuple[Indices, int]:
    """Replaces, or refuses, indices that are labeled or stand in the query before.

    Args:
        query: int64 (B,), changed in place.
        episode: Says what is labeled; the replacements come from its stream.
        pool_size: N.
        refuse: Whether to raise instead of replacing.

    Returns:
        The query and the number of replaced indices.

    Raises:
        InvalidQuery: With ``refuse``, an index is labeled or repeated.
    """
    taken = np.zeros(pool_size, dtype=bool)
    taken[episode.labeled] = True
    return legalized(query, taken, episode.key, episode.cycle, refuse)


def legalized(
    query: Indices, taken: NDArray[np.bool_], key: int, cycle: int, refuse: bool
) -> tuple[Indices, int]:
    """As ``legalize``, with what is labeled as a mask, bool (N,), that is changed too."""
    first = np.zeros(len(query), dtype=bool)
    first[np.unique(query, return_index=True)[1]] = True
    wrong = taken[query] | ~first
    if not wrong.any():
        return query, 0
    if refuse:
        index = query[wrong][0]
        why = "is labeled already" if taken[index] else "stands in the query twice"
        raise InvalidQuery(
            f"Pool index {index} {why}; query distinct indices of view.unlabeled, or make the environment "
            "with on_invalid='replace'."
        )
    taken[query[~wrong]] = True
    random = numpy_stream(key, Purpose.REPLACEMENT, cycle)
    query[wrong] = random.choice(np.flatnonzero(~taken), wrong.sum(), replace=False)
    return query, int(wrong.sum())


def candidate_count(given: int | None, query_size: int, room: int) -> int:
    """Returns K, the number of candidates.

    Args:
        given: What the user asked for; None = ten queries, or what the pool has.
        query_size: B.
        room: Images that are unlabeled after the initial set.

    Raises:
        InvalidProtocol: More were asked for than there are.
    """
    count = given or max(1, min(10 * query_size, room))
    if count > max(1, room):
        raise InvalidProtocol(
            f"candidates={count} was given, but only {room} unlabeled images follow the initial "
            f"set; use at most {room}."
        )
    return count


def draw_candidates(episode: Episode, pool_size: int, count: int) -> Indices:
    """Returns K unlabeled indices, drawn uniformly; repeated cyclically if there are fewer.

    They are the first unlabeled ones of a draw that does not depend on what was bought, so that arms with one
    seed see much the same images. Once nothing is left unlabeled (the last observation of an exhausted pool)
    labeled indices fill the shape.

    Args:
        episode: Gives key, cycle and the labeled indices.
        pool_size: N.
        count: K.
    """
    taken = np.zeros(pool_size, dtype=bool)
    taken[episode.labeled] = True
    return drawn_candidates(taken, len(episode.labeled), episode.key, episode.cycle, count)


def drawn_candidates(taken: NDArray[np.bool_], labeled: int, key: int, cycle: int, count: int) -> Indices:
    """As ``draw_candidates``, with what is labeled as a mask, bool (N,), and a number."""
    enough = min(count + labeled, len(taken))  # at most the labeled ones of them are passed over
    random = numpy_stream(key, Purpose.CANDIDATES, cycle)
    order = random.choice(len(taken), enough, replace=False)
    drawn = order[~taken[order]][:count]
    if len(drawn) == count:
        return drawn
    return np.resize(drawn if len(drawn) else order, count)
