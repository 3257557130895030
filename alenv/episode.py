"""What has happened in the episode so far."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from alenv.pool import OUTLIER

Indices = NDArray[np.int64]


@dataclass(frozen=True)
class Episode:
    """The purchases and the accuracies of one episode; nothing in it can be changed.

    Attributes:
        key: The episode key that every random stream is derived from.
        labeled: int64 (L,) pool indices in the order of purchase, the initial set first.
        labels: int64 (L,), their labels as the oracle gave them; ``OUTLIER`` (-1) for images of no class.
        initial_size: Size of the initial set.
        test_correct: Rightly classified test images after each cycle; empty where they are left out.
        validation_correct: The same on the validation split; empty without one.
        replaced: Indices of the last query that were replaced.
    """

    key: int
    labeled: Indices
    labels: Indices
    initial_size: int
    test_correct: tuple[int, ...] = ()
    validation_correct: tuple[int, ...] = ()
    replaced: int = 0

    def __post_init__(self) -> None:
        self.labeled.setflags(write=False)
        self.labels.setflags(write=False)

    @property
    def cycle(self) -> int:
        """The number of queries that were answered."""
        return max(len(self.test_correct), len(self.validation_correct)) - 1

    def class_counts(self, num_classes: int) -> Indices:
        """Returns how many labels of each class were bought, int64 (C,); outliers are not counted."""
        return np.bincount(self.labels[self.labels != OUTLIER], minlength=num_classes)

    def bought(self, query: Indices, labels: Indices, replaced: int) -> Episode:
        """Returns the episode with one more query, int64 (B,), and its labels, int64 (B,); not yet measured."""
        return replace(
            self,
            labeled=np.concatenate([self.labeled, query]),
            labels=np.concatenate([self.labels, labels]),
            replaced=replaced,
        )

    def measured(self, test: int | None, validation: int | None) -> Episode:
        """Returns the episode with rightly classified images of one more cycle; None adds nothing."""
        return replace(
            self,
            test_correct=self.test_correct if test is None else (*self.test_correct, test),
            validation_correct=(
                self.validation_correct if validation is None else (*self.validation_correct, validation)
            ),
        )

    def before(self) -> Episode:
        """Returns the episode with the labels of now and the accuracies up to one cycle before."""
        return replace(
            self, test_correct=self.test_correct[:-1], validation_correct=self.validation_correct[:-1]
        )

    def get_state(self) -> dict[str, Any]:
        """Returns tensors and scalars only."""
        return {
            "key": self.key,
            "labeled": torch.from_numpy(self.labeled.copy()),
            "labels": torch.from_numpy(self.labels.copy()),
            "initial_size": self.initial_size,
            "test_correct": list(self.test_correct),
            "validation_correct": list(self.validation_correct),
            "replaced": self.replaced,
        }

    @classmethod
    def from_state(cls, state: dict[str, Any]) -> Episode:
        """Rebuilds the episode that ``get_state`` described."""
        return cls(
            key=int(state["key"]),
            labeled=state["labeled"].numpy().copy(),
            labels=state["labels"].numpy().copy(),
            initial_size=int(state["initial_size"]),
            test_correct=tuple(int(count) for count in state["test_correct"]),
            validation_correct=tuple(int(count) for count in state["validation_correct"]),
            replaced=int(state["replaced"]),
        )
