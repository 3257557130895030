"""What has happened in many episodes so far, as arrays."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.episode import Episode
from alenv.pool import OUTLIER

Indices = NDArray[np.int64]


class EpisodeBatch:
    """The purchases and the accuracies of E episodes with one protocol, each in a cycle of its own.

    Attributes:
        keys: E episode keys.
        initial_size: int64 (E,), labels of the initial set.
        cycle: int64 (E,), queries answered.
        count: int64 (E,), labels bought.
        labeled: int64 (E, most) pool indices in the order of purchase, the first ``count`` of each row.
        labels: int64 (E, most), their labels; ``OUTLIER`` for images of no class, and behind the last.
        taken: bool (E, N), what is labeled.
        class_counts: int64 (E, C), labels bought of each class.
        replaced: int64 (E,), indices of the last query that were replaced.
        correct: int64 (E, T + 1), rightly classified images after each cycle, of ``"test"`` and ``"validation"``.
    """

    def __init__(
        self, episodes: int, pool_size: int, num_classes: int, initial_size: int, query_size: int, cycles: int
    ) -> None:
        """Allocates the arrays; ``begin`` starts an episode."""
        most = initial_size + query_size * cycles
        self.initial_size = np.full(episodes, initial_size, dtype=np.int64)
        self.keys = [0] * episodes
        self.cycle, self.count, self.replaced = (np.zeros(episodes, dtype=np.int64) for _ in range(3))
        self.labeled = np.zeros((episodes, most), dtype=np.int64)
        self.labels = np.full((episodes, most), OUTLIER, dtype=np.int64)
        self.taken = np.zeros((episodes, pool_size), dtype=bool)
        self.class_counts = np.zeros((episodes, num_classes), dtype=np.int64)
        self.correct = {
            name: np.zeros((episodes, cycles + 1), dtype=np.int64) for name in ("test", "validation")
        }

    def begin(self, which: Indices, keys: list[int]) -> None:
        """Forgets some episodes (n,) and gives them new keys."""
        for index, key in zip(which, keys, strict=True):
            self.keys[index] = key
        for state in (self.cycle, self.count, self.replaced, self.taken, self.class_counts):
            state[which] = 0
        self.labels[which] = OUTLIER

    def add(self, which: Indices, indices: Indices, labels: Indices) -> None:
        """Adds pool indices (n, B), none of them labeled, and their labels (n, B) to some episodes (n,)."""
        rows = which[:, None]
        columns = self.count[rows] + np.arange(indices.shape[1])
        self.labeled[rows, columns], self.labels[rows, columns] = indices, labels
        self.taken[rows, indices] = True
        self.count[which] += indices.shape[1]
        known = labels != OUTLIER
        np.add.at(self.class_counts, (np.broadcast_to(rows, labels.shape)[known], labels[known]), 1)

    def wrong(self, which: Indices, queries: Indices) -> NDArray[np.bool_]:
        """Tells which queries, int64 (n, B), of some episodes (n,) name a labeled or a repeated index, bool (n,)."""
        ordered = np.sort(queries, axis=1)
        repeated = (ordered[:, 1:] == ordered[:, :-1]).any(axis=1)
        return np.asarray(self.taken[which[:, None], queries].any(axis=1) | repeated)

    def now(self, name: str) -> Indices:
        """Returns the rightly classified images of ``"test"`` or ``"validation"`` after the last cycle, int64 (E,)."""
        found: Indices = self.correct[name][np.arange(len(self.keys)), self.cycle]
        return found

    def before(self, name: str) -> Indices:
        """Returns the same one cycle before, or at cycle 0 those of now."""
        found: Indices = self.correct[name][np.arange(len(self.keys)), (self.cycle - 1).clip(0)]
        return found

    def of(self, index: int, measured: tuple[str, ...]) -> Episode:
        """Returns one episode by itself.

        Args:
            index: Which.
            measured: What accuracy is measured on: ``"test"``, ``"validation"``, or both.
        """
        count, past = self.count[index], self.cycle[index] + 1
        correct = {
            name: tuple(counts[index, :past].tolist()) if name in measured else ()
            for name, counts in self.correct.items()
        }
        return Episode(
            self.keys[index],
            self.labeled[index, :count].copy(),
            self.labels[index, :count].copy(),
            int(self.initial_size[index]),
            correct["test"],
            correct["validation"],
            int(self.replaced[index]),
        )
