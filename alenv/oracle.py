"""The oracle: the only holder of labels that have not been bought, and of the record of those that were."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from alenv.errors import HiddenLabel, InvalidState
from alenv.pool import OUTLIER
from alenv.seeding import Purpose, numpy_stream

Indices = NDArray[np.int64]


class Oracle:
    """Reveals labels of pool images, and keeps a ledger of all that it ever revealed in an episode."""

    def __init__(self, labels: Indices, num_classes: int, noise: float) -> None:
        """Takes the true labels.

        Args:
            labels: int64 (N,); ``OUTLIER`` for images of no class.
            num_classes: C.
            noise: Share of labels that are replaced by another class, drawn anew for every episode.
        """
        self._true = labels.astype(np.int64)
        self._num_classes = num_classes
        self._noise = noise
        self._answers = self._true
        self._bought = np.zeros(len(labels), dtype=bool)
        self._ledger = np.zeros(len(labels), dtype=bool)
        self._key: int | None = None
        self._left: dict[int, NDArray[np.bool_]] = {}  # key -> ledger of an episode whose state was saved
        self._saved = False

    def begin(self, key: int) -> None:
        """Forgets what was bought and draws the label noise of an episode."""
        if self._saved and self._key is not None:
            self._left[self._key] = self._ledger
        self._key, self._saved = key, False
        self._answers = self._noisy(key)
        self._bought = np.zeros(len(self._true), dtype=bool)
        self._ledger = np.zeros(len(self._true), dtype=bool)

    def _noisy(self, key: int) -> Indices:
        if not self._noise:
            return self._true
        random = numpy_stream(key, Purpose.LABEL_NOISE)
        wrong = (random.random(len(self._true)) < self._noise) & (self._true != OUTLIER)
        shift = random.integers(1, self._num_classes, size=len(self._true))
        return np.where(wrong, (self._true + shift) % self._num_classes, self._true)

    def reveal(self, indices: Indices) -> Indices:
        """Returns the labels (n,) of pool indices (n,) and marks them as bought."""
        self._bought[indices] = True
        self._ledger[indices] = True
        return self._answers[indices]

    def hide(self, indices: Indices) -> None:
        """Takes the purchase of pool indices (n,) back, when the cycle it belonged to did not complete.

        Nobody has seen their labels: what the view shows changes only when a cycle is complete.
        """
        self._bought[indices] = False
        self._ledger[indices] = False

    def bought(self, indices: Indices) -> Indices:
        """Returns the labels (n,) of pool indices (n,) that were bought before.

        Raises:
            HiddenLabel: At least one was not bought.
        """
        hidden = indices[~self._bought[indices]]
        if len(hidden):
            raise HiddenLabel(
                f"The label of pool index {hidden[0]} has not been bought; ask only for labels of indices in "
                "view.labeled."
            )
        return self._answers[indices]

    def answer(self, indices: Indices) -> Indices:
        """Returns the labels (n,) that ``reveal`` would give, without buying; for ``peek`` alone."""
        return self._answers[indices]

    def stratified(self, count: int, random: np.random.Generator) -> Indices:
        """Draws pool indices (n,) with the shares of the classes that the pool has; for the initial set alone.

        Shares are rounded so that they sum to ``count``: down, and then up for those with the largest rest. Images of
        no class are a class of their own.
        """
        _, classes, sizes = np.unique(self._true, return_inverse=True, return_counts=True)
        exact = count * sizes / len(self._true)
        shares = np.floor(exact).astype(np.int64)
        shares[np.argsort(shares - exact, kind="stable")[: count - int(shares.sum())]] += 1
        drawn = [
            random.choice(np.flatnonzero(classes == label), share, replace=False)
            for label, share in enumerate(shares)
        ]
        return random.permutation(np.concatenate(drawn))

    # ---- the ledger -----------------------------------------------------------------------------------------

    def ledger(self) -> Indices:
        """Returns the pool indices of all labels revealed in this episode, ascending, int64 (n,)."""
        return np.flatnonzero(self._ledger)

    def saved(self) -> None:
        """Is told that a state of this episode was handed out, to which somebody may want to return."""
        self._saved = True

    def check(self, key: int, labeled: Indices, labels: Indices, revealed: Indices, rewind: bool) -> None:
        """Compares what a saved state says of an episode with what this oracle knows of it.

        Args:
            key: The episode key.
            labeled: int64 (L,) pool indices that the state holds as bought.
            labels: int64 (L,), the labels that it holds.
            revealed: int64 (n,), its ledger.
            rewind: Whether labels may have been revealed that it does not hold as bought.

        Raises:
            InvalidState: A label is another than the oracle's, or labels were revealed that the state does not
                hold as bought.
        """
        wrong = labeled[self._noisy(key)[labeled] != labels]
        if len(wrong):
            raise InvalidState(
                f"The state holds another label of pool index {wrong[0]} than the oracle gave; give what get_state "
                "returned, unchanged."
            )
        if rewind:
            return
        known = np.zeros(len(self._true), dtype=bool)
        known[revealed] = True
        here = self._ledger if key == self._key else self._left.get(key)
        if here is not None:
            known |= here
        known[labeled] = False
        if known.any():
            raise InvalidState(
                f"The label of pool index {np.flatnonzero(known)[0]} was revealed in this episode and the state does "
                "not hold it as bought; go on from a later state, start an episode anew, or make an environment of "
                "its own (one with allow_peek=True may go back)."
            )

    def resume(self, key: int, labeled: Indices, revealed: Indices) -> None:
        """Takes up an episode whose state was checked: labels (L,) are bought, and (n,) were ever revealed."""
        before = self._ledger if key == self._key else self._left.get(key)
        self.begin(key)
        self._bought[labeled] = True
        self._ledger[np.concatenate([labeled, revealed])] = True
        if before is not None:
            self._ledger |= before
