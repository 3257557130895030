"""Active learning played again on labels that are known: many splits of them, every strategy on each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

import joblib
import numpy as np
import torch
from numpy.typing import NDArray

import agents
from alenv import Asking, Recipe, offers
from alenv.pool import OUTLIER
from alenv.progress import progress

Indices = NDArray[np.int64]

QUERIES = 5
PLAYS = 2  # of each split, from other initial sets: what they share tells how far splits that overlap agree
_MOST = 500  # images of a pool: with more labels, others measure instead
_MOST_TEST = 2000
_SPLITS_A_WORKER = 10  # at least, or starting processes takes longer than they save
# A cycle costs milliseconds, where logistic regression takes tenths of seconds.
_RIDGE = Recipe(head="ridge", ridge_penalty="auto", embedding="features")
OFFERED = offers(_RIDGE)  # what agents may read


@dataclass(frozen=True)
class Plan:
    """What is played on each split.

    Attributes:
        pool: Images of the pool.
        test: Images that measure.
        initial_size: Labels before the first query.
        query_size: Labels of a query, of which there are ``QUERIES``.
        splits: How many.
    """

    pool: int
    test: int
    initial_size: int
    query_size: int
    splits: int

    @property
    def budget(self) -> int:
        """Labels after the last query, half of the pool."""
        return self.initial_size + QUERIES * self.query_size


def planned(labels: int, num_classes: int, splits: int) -> Plan:
    """Returns what can be played with so many labels: a third of them measures, half of the others are bought.

    With more than 750 labels the pool has 500 images, and the others measure, at most 2000.
    """
    pool = min(labels - labels // 3, _MOST)
    initial = min(2 * num_classes, pool // 5)
    return Plan(
        pool, min(labels - pool, _MOST_TEST), initial, max(1, (pool // 2 - initial) // QUERIES), splits
    )


@dataclass(frozen=True)
class SimulatedCurves:
    """What was reached on every split, in percent of the test images.

    Attributes:
        accuracy: {agent: float64 (splits, PLAYS, QUERIES + 1)}, with the initial set and after each query.
        whole: float64 (splits,), with the labels of the whole pool.
    """

    accuracy: Mapping[str, NDArray[np.float64]]
    whole: NDArray[np.float64]

    def area(self, agent: str) -> NDArray[np.float64]:
        """Returns the mean accuracy after the queries of each play, (splits, PLAYS)."""
        return np.asarray(self.accuracy[agent][..., 1:].mean(-1))


def simulated(
    rows: np.ndarray, labels: Indices, num_classes: int, names: Sequence[str], plan: Plan, seed: int
) -> SimulatedCurves:
    """Plays every agent on every split, each from the same initial set.

    The head is ridge regression on the features, its penalty chosen in every cycle.

    Args:
        rows: Features, float32 (n, D).
        labels: int64 (n,), all of them known.
        num_classes: C.
        names: The agents.
        plan: Sizes.
        seed: Decides the splits and the agents' random choices.
    """
    workers = min(joblib.cpu_count(), plan.splits // _SPLITS_A_WORKER) or 1
    found: dict[str, list[NDArray[np.float64]]] = {name: [] for name in names}
    whole = []
    each = joblib.Parallel(n_jobs=workers, return_as="generator")(
        joblib.delayed(_played)(rows[own], labels[own], num_classes, names, plan, seed + number)
        for number, own in enumerate(_drawn(len(labels), plan, seed))
    )
    with progress("splits", plan.splits) as advance:
        for curves, reached in each:
            for name in names:
                found[name].append(curves[name])
            whole.append(reached)
            advance(1)
    return SimulatedCurves({name: np.stack(curves) for name, curves in found.items()}, np.array(whole))


def _drawn(count: int, plan: Plan, seed: int) -> Iterator[Indices]:
    """Yields the images of each split, those of its pool first."""
    for split in range(plan.splits):
        yield np.random.default_rng([seed, split]).permutation(count)[: plan.pool + plan.test]


def _played(
    rows: np.ndarray, labels: Indices, num_classes: int, names: Sequence[str], plan: Plan, seed: int
) -> tuple[dict[str, NDArray[np.float64]], float]:
    """Plays every agent on one split, {agent: (PLAYS, QUERIES + 1)}; and the accuracy with all labels of its pool."""
    found = {name: np.zeros((PLAYS, QUERIES + 1)) for name in names}
    with _one_thread():
        for play in range(PLAYS):
            order = np.random.default_rng([seed, play]).permutation(plan.pool)
            order = np.concatenate([order, np.arange(plan.pool, len(labels))])
            one = _Split(rows[order], labels[order], num_classes, plan, PLAYS * seed + play)
            for name in names:
                found[name][play] = one.played(name)
        return found, one.accuracy(np.arange(plan.pool))


@contextmanager
def _one_thread() -> Iterator[None]:
    """Keeps torch to one thread: sums this small wait for each other, and on a busy machine thirty times as long."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)


class _Split:
    """One split: the first ``plan.pool`` images are the pool, in random order, the others measure."""

    def __init__(self, rows: np.ndarray, labels: Indices, num_classes: int, plan: Plan, seed: int) -> None:
        self._rows, self._labels, self._plan = rows, labels, plan
        self._num_classes, self._seed = num_classes, seed

    def played(self, name: str) -> NDArray[np.float64]:
        """Returns the accuracies of an episode, (QUERIES + 1,)."""
        plan, agent = self._plan, agents.make(name)
        labeled = np.arange(plan.initial_size)
        asking = self._asking(labeled)
        reached = [self._right(asking)]
        for cycle in range(QUERIES):
            agent.reset(asking.view(plan.query_size), 1000 * self._seed + cycle)
            labeled = np.concatenate([labeled, asking.rows[agent.act(None)]])
            asking = self._asking(labeled)
            reached.append(self._right(asking))
        return np.array(reached)

    def accuracy(self, labeled: Indices) -> float:
        """Returns the accuracy with some labels."""
        return self._right(self._asking(labeled))

    def _right(self, asking: Asking) -> float:
        test = np.arange(self._plan.pool, len(self._labels))
        return 100 * float((asking.predict(test) == self._labels[test]).mean())

    def _asking(self, labeled: Indices) -> Asking:
        known, test = (
            np.full(len(self._labels), OUTLIER, dtype=np.int64),
            np.arange(self._plan.pool, len(self._labels)),
        )
        known[labeled] = self._labels[labeled]
        return Asking(self._rows, known, self._num_classes, left_out=test, recipe=_RIDGE, seed=self._seed)
